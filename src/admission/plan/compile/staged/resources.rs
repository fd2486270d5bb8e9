//! What the containers of ours ask for: no more than the pod asks for anyway, but for the sidecar, and nothing that changes the class
//! of the pod.

use super::super::super::super::classification::ContainerIndex;
use super::super::super::super::pod::{Container, Pod};
use super::super::super::super::quantity::Quantity;
use super::super::super::super::settings::{Amounts, Staging};
use super::super::super::init_container::{Bounds, InitResources};

/// What each of the containers asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Shares {
    pub tool: InitResources,
    pub stage: InitResources,
    pub gate: InitResources,
}

/// The resources that count, by their names in Kubernetes.
const RESOURCES: [&str; 2] = ["cpu", "memory"];

/// What each of the containers asks for; none where the pod as a whole has bounds, in which theirs might not fit.
pub(super) fn shares(pod: &Pod<'_>, engine: ContainerIndex, settings: &Staging) -> Option<Shares> {
    let of_pod = pod.spec.as_ref().and_then(|spec| spec.resources.as_ref());
    if of_pod.is_some_and(|of_pod| RESOURCES.iter().any(|name| of_pod.request(name).is_some())) {
        return None;
    }
    let (is_guaranteed, later) = (is_guaranteed(pod), later(pod, engine));
    let cpu = |amounts: &Amounts| if is_guaranteed { shared(amounts.cpu) } else { amounts.cpu };
    let memory = |amounts: &Amounts| amounts.memory;
    let requests = |amount: &dyn Fn(&Amounts) -> Quantity| {
        let request = amount(&settings.resources.requests);
        Bounds { request, limit: request }
    };
    let sidecar = |amount: &dyn Fn(&Amounts) -> Quantity| {
        let (request, limit) = (amount(&settings.resources.requests), amount(&settings.resources.limits));
        Bounds { request: if is_guaranteed { limit } else { request }, limit }
    };
    let (stage_cpu, stage_memory) = (sidecar(&cpu), sidecar(&memory));
    let (cpu, memory) = (requests(&cpu), requests(&memory));
    Some(Shares {
        // It ends before the sidecar starts, and asks for no more.
        tool: InitResources { cpu, memory },
        stage: InitResources { cpu: stage_cpu, memory: stage_memory },
        gate: InitResources { cpu: at_most(cpu, &later, "cpu"), memory: at_most(memory, &later, "memory") },
    })
}

/// Processors that a container shares with others. In a Guaranteed pod, a kubelet that pins gives a container that asks for a
/// whole number processors of its own, and may refuse a pod whose number is not that of whole cores.
/// <https://kubernetes.io/docs/tasks/administer-cluster/cpu-management-policies/#static-policy>
fn shared(cpu: Quantity) -> Quantity {
    cpu.fractional()
}

/// Whether the pod's class is Guaranteed: every container has limits, and requests as much. A container that does not would end
/// that, and with it the pinning of the engine to processors of its own.
fn is_guaranteed(pod: &Pod<'_>) -> bool {
    let mut all = pod.init_containers().iter().chain(pod.containers());
    all.all(|container| {
        container.resources.as_ref().is_some_and(|resources| {
            RESOURCES.iter().all(|name| {
                let limit = resources.limit(name).filter(|limit| *limit > Quantity::ZERO);
                limit.is_some() && limit == resources.request(name)
            })
        })
    })
}

/// The containers that start when the gate has ended: what they ask for, the pod asks for anyway.
fn later<'p>(pod: &'p Pod<'p>, engine: ContainerIndex) -> Vec<&'p Container<'p>> {
    let from = if engine.init { engine.position } else { usize::MAX };
    let sidecars = pod.init_containers().iter().skip(from).filter(|container| container.is_restartable());
    sidecars.chain(pod.containers()).collect()
}

/// The bounds, or what the containers ask for together where that is less.
fn at_most(bounds: Bounds, containers: &[&Container<'_>], name: &str) -> Bounds {
    let resources = || containers.iter().map(|container| container.resources.as_ref());
    let requested: Quantity = resources().filter_map(|resources| resources?.request(name)).sum();
    // Where one has no limit, nothing limits them together.
    let limited: Option<Vec<_>> = resources().map(|resources| resources?.limit(name)).collect();
    let limit = limited.map_or(bounds.limit, |limits| bounds.limit.min(limits.into_iter().sum()));
    Bounds { request: bounds.request.min(requested).min(limit), limit }
}
