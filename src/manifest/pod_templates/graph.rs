//! The pods of a graph, as far as the graph describes them: what its author wrote, and what the Dynamo operator is known to add.
//!
//! Taken from operator 1.5. The operator completes these pods: what it adds from its own configuration and from the cluster is
//! not here, and [`Component::unknown`] says what of that may change the decision.

mod alpha;
mod beta;
mod operator;

use serde_json::{Map, Value, json};

use super::object::{Type, name};
use super::pointer::escape;
use super::search::Search;
use super::{Pod, Template};

/// What a graph says about all of its components.
struct Graph<'g> {
    /// Its name; nothing for a component that belongs to none.
    name: Option<&'g str>,
    labels: Option<&'g Value>,
    annotations: Option<&'g Value>,
    /// The variables of all components.
    env: &'g [Value],
    /// The engine, as `backendFramework`.
    backend: Option<&'g str>,
}

/// A component of a graph, in the form that both versions of the API have in common.
#[derive(Default)]
struct Component {
    name: String,
    /// The type with which its pods are labelled.
    kind: Option<String>,
    labels: Map<String, Value>,
    annotations: Map<String, Value>,
    /// The spec of the pod, without the main container.
    spec: Map<String, Value>,
    /// The main container.
    main: Map<String, Value>,
    /// Its variables that the container itself may override.
    env: Vec<Value>,
    /// The claim of the operator's own compile cache, and where it is to be mounted.
    compile_cache: Option<(String, Option<String>)>,
    /// The size of the memory at `/dev/shm`; `None` if there is to be none.
    shared_memory: Option<String>,
    /// The number of pods in a group.
    nodes: u64,
    /// The container that runs the frontend beside the engine, if the operator completes it, and its place among the others.
    frontend_sidecar: Option<(usize, Map<String, Value>)>,
    /// Whether two engines share the GPUs of the pod.
    has_failover: bool,
    /// Where the GPU Memory Service runs, if there is one.
    memory_service: Option<MemoryService>,
    /// What the operator decides about this component, one line each.
    unknown: Vec<String>,
}

/// Where the GPU Memory Service of a component runs.
#[derive(Clone, Copy, PartialEq, Eq)]
enum MemoryService {
    /// Beside the engine.
    InPod,
    /// In a pod of its own.
    BetweenPods,
}

impl MemoryService {
    /// Reads its settings.
    fn new(settings: &Value) -> Self {
        if is_between_pods(settings) { MemoryService::BetweenPods } else { MemoryService::InPod }
    }
}

/// Whether failover or the GPU Memory Service is set to pods of their own.
fn is_between_pods(settings: &Value) -> bool {
    text(settings, "mode").is_some_and(|mode| mode.eq_ignore_ascii_case("InterPod"))
}

/// The API group of the Dynamo operator.
pub(super) const GROUP: &str = "nvidia.com";

/// The kinds whose pods can be described.
pub(super) const KINDS: [&str; 2] = [GRAPH, COMPONENT];

const GRAPH: &str = "DynamoGraphDeployment";
const COMPONENT: &str = "DynamoComponentDeployment";
const REQUEST: &str = "DynamoGraphDeploymentRequest";
const CHECKPOINT: &str = "DynamoCheckpoint";

/// Whether the Dynamo operator makes the pods of this kind.
pub(super) fn is_operator_managed(kind: Type<'_>) -> bool {
    KINDS.contains(&kind.name) || [REQUEST, CHECKPOINT].contains(&kind.name)
}

/// Whether pods of this kind can be described.
pub(super) fn is_graph(kind: Type<'_>) -> bool {
    KINDS.iter().any(|name| kind.is(GROUP, name))
}

/// The claims that the operator creates for a v1alpha1 graph, each as a name and a claim object.
pub(crate) fn claims(object: &Value, kind: Type<'_>) -> Vec<(String, Value)> {
    let listed = object.pointer("/spec/pvcs").filter(|_| is_graph(kind)).and_then(Value::as_array);
    let created = listed.into_iter().flatten().filter(|claim| claim.get("create") == Some(&Value::Bool(true)));
    let claim = |claim: &Value| {
        let metadata = json!({"namespace": object.pointer("/metadata/namespace")});
        let modes: Vec<_> = claim.get("volumeAccessMode").into_iter().collect();
        let spec = json!({"accessModes": modes, "storageClassName": claim.get("storageClass")});
        Some((text(claim, "name")?, json!({"metadata": metadata, "spec": spec})))
    };
    created.filter_map(claim).collect()
}

/// Adds a pod for each component of a graph, or for the component itself.
pub(super) fn add_components(search: &mut Search<'_>, kind: Type<'_>) {
    let object = search.object;
    let Some(spec) = object.get("spec") else { return };
    let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str);
    let is_graph = kind.name == GRAPH;
    // The variables of v1alpha1, or those of v1beta1. Those of a component alone are its own.
    let env = if is_graph { spec.get("envs").or_else(|| spec.get("env")) } else { None };
    let graph = Graph {
        name: if is_graph {
            text("/metadata/name")
        } else {
            text("/metadata/labels/nvidia.com~1dynamo-graph-deployment-name")
        },
        labels: spec.get("labels").filter(|_| is_graph),
        annotations: spec.get("annotations").filter(|_| is_graph),
        env: env.and_then(Value::as_array).map_or(&[], Vec::as_slice),
        backend: spec.get("backendFramework").and_then(Value::as_str),
    };
    if !is_graph {
        let own = text("/metadata/name").unwrap_or_default();
        let is_beta = spec.get("podTemplate").is_some() || spec.get("type").is_some();
        let component = if is_beta { beta::component(spec, own) } else { alpha::component(spec, own) };
        add(search, &graph, component, "/spec");
        return;
    }
    for (name, service) in spec.get("services").and_then(Value::as_object).into_iter().flatten() {
        add(search, &graph, alpha::component(service, name), &format!("/spec/services/{}", escape(name)));
    }
    for (index, component) in spec.get("components").and_then(Value::as_array).into_iter().flatten().enumerate() {
        add(search, &graph, beta::component(component, ""), &format!("/spec/components/{index}"));
    }
}

fn add(search: &mut Search<'_>, graph: &Graph<'_>, component: Component, pointer: &str) {
    let title = format!("{} {}", name(search.object), component.name).trim_end().to_owned();
    let (pod, unknown) = operator::complete(graph, component);
    let pointer = format!("{}{pointer}", search.at);
    let template = search.new_template(pointer, Pod::Sketch { pod, unknown });
    search.found.push(Template { name: title, ..template });
}

/// The entries of a mapping, if there is one.
fn entries(value: Option<&Value>) -> Map<String, Value> {
    value.and_then(Value::as_object).cloned().unwrap_or_default()
}

/// The items of a list, if there is one.
fn items(value: Option<&Value>) -> Vec<Value> {
    value.and_then(Value::as_array).cloned().unwrap_or_default()
}

/// The text of a field, if it has one.
fn text(value: &Value, key: &str) -> Option<String> {
    value.get(key).and_then(Value::as_str).map(str::to_owned)
}
