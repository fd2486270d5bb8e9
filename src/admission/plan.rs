//! What should change in a component, and why; it decides and cannot write JSON.

use std::borrow::Cow;

use super::cache::{Cache, Skipped};
use super::claim::Claims;
use super::classification::{ContainerIndex, DetectedEngine, SelectedContainer};
use super::path::Path;
use super::pod::Pod;
use super::reason::Reason;
use super::settings::Settings;
use super::warning::Warning;

mod compile;
mod container;
mod earlier;
mod express;
mod init_container;
mod load_format;
mod model;
mod mount;
mod refusal;
mod scratch;
mod volumes;

use compile::Stage;
use container::ContainerPlan;
use earlier::Earlier;
use refusal::Refusal;
use volumes::Volumes;

pub use init_container::{Bounds, Identity, InitContainer, InitMount, InitResources, InitVariable, Source};

/// What the volume of the model claim is called where we add it.
pub const MODEL_VOLUME: &str = "dynamo-cache-model";

/// What the volume for files of one container is called, where its root file system can only be read.
pub const SCRATCH_VOLUME: &str = "dynamo-cache-scratch";

/// Where Hugging Face clients keep what belongs to no claim: on local disk, and where only the container itself writes.
pub const SCRATCH_PATH: &str = "/tmp/huggingface";

/// What the volume of the compile claim is called where we add it.
pub const COMPILE_VOLUME: &str = "dynamo-cache-compile";

/// What the volume of the local disk is called, on which an engine works in mode `staged`.
pub const LOCAL_VOLUME: &str = "dynamo-cache-local";

/// What the volume of our program is called in mode `staged`.
pub const TOOL_VOLUME: &str = "dynamo-cache-tool";

/// Whether a folder in the root of a claim is a compile cache, by its name: one of mode `direct` whose key has all parts.
pub fn is_compile_folder(name: &str) -> bool {
    compile::is_whole_name(name)
}

/// A plan: the changes, and the pod as it leaves us.
#[derive(Debug, Default)]
pub struct Plan<'p> {
    /// What changes, in the order in which it was decided.
    pub changes: Vec<Change<'p>>,
    /// Each selected container with the caches in place there.
    pub containers: Vec<(&'p str, Vec<Cache>)>,
    /// What is not in place, and why.
    pub skipped: Vec<Skipped<'p>>,
    /// The containers that lack `HF_XET_CACHE` or `HF_MODULES_CACHE`, and which of these: where they would point, nothing is
    /// writable and the container's own.
    pub without_scratch: Vec<(&'p str, Vec<&'static str>)>,
    /// Whether the compile cache that is in place is on local disk.
    pub is_staged: bool,
    /// What the user should act on.
    pub warnings: Vec<Warning>,
}

/// One change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change<'p> {
    /// Something is added to a container.
    Container {
        /// Which one.
        index: ContainerIndex,
        /// What.
        added: Added<'p>,
        /// For which cache.
        cache: Cache,
    },
    /// The ownership of the pod's volumes is changed on a mismatch of the root only; and the pod gets a group, where it has
    /// none and the settings name one.
    FsGroup(Option<i64>),
    /// The pod gets init containers of ours.
    InitContainers {
        /// For which container's compile cache.
        of: ContainerIndex,
        /// Before which of its init containers; their number: behind the last.
        position: usize,
        /// The containers.
        containers: Box<[InitContainer<'p>; 3]>,
    },
    /// The pod's status annotation gets this value.
    Status(String),
    /// The pod gets a volume on the node's disk.
    EmptyDir {
        /// Its name.
        name: &'static str,
    },
    /// The pod gets a volume of a claim.
    Volume {
        /// Its name.
        name: &'static str,
        /// The claim.
        claim: String,
        /// Whether it can only be read.
        read_only: bool,
    },
}

impl Change<'_> {
    /// The container that changes; none where the pod itself does.
    pub fn index(&self) -> Option<ContainerIndex> {
        match self {
            Change::Container { index, .. } => Some(*index),
            Change::EmptyDir { .. }
            | Change::FsGroup(_)
            | Change::InitContainers { .. }
            | Change::Status(_)
            | Change::Volume { .. } => None,
        }
    }
}

/// What is added to a container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Added<'p> {
    /// Arguments, at the end.
    Args(Vec<String>),
    /// A mount.
    Mount {
        /// The volume.
        volume: Cow<'p, str>,
        /// Where.
        path: Path<'p>,
        /// Whether it can only be read.
        read_only: bool,
        /// The part of the volume.
        sub_path: Option<Cow<'p, str>>,
    },
    /// A variable.
    Variable {
        /// Its name.
        name: &'static str,
        /// Its value.
        value: Cow<'p, str>,
    },
}

/// Everything that is the same for all containers of a pod.
struct PlanContext<'s> {
    settings: &'s Settings,
    claims: &'s Claims,
    pod: &'s Pod<'s>,
}

/// Plans the caches of the selected containers, one after another; each sees what the earlier ones added. Containers that may
/// be engines and were not recognised are skipped.
pub fn plan<'p>(
    pod: &'p Pod<'p>,
    selected: &[SelectedContainer<'p>],
    unknown: &[&'p str],
    settings: &Settings,
    claims: &Claims,
) -> Plan<'p> {
    let context = PlanContext { settings, claims, pod };
    let mut volumes = Volumes::new(pod);
    let mut plan = Plan::default();
    let earlier = Earlier::new(pod);
    let engines = selected.iter().filter(|selected| selected.wants_compile_cache()).count();
    let mut init_containers = None;
    for selected in selected {
        let mut planned = ContainerPlan::new(selected, &volumes);
        let name = selected.container.name();
        let mut in_place = Vec::new();
        let mut settle =
            |plan: &mut Plan<'p>, cache: Cache, claim: Option<&str>, result: Result<(), Refusal>| match result {
                Ok(()) => in_place.push(cache),
                Err(refusal) => plan.skip(name, cache, refusal, claim),
            };
        // What another dynamo-cache has put there is in place, whatever ours would have done, unless the user asks to skip it.
        let or_earlier =
            |volumes: &Volumes<'_>, planned: &ContainerPlan<'_, '_>, cache: Cache, result: Result<(), Refusal>| {
                let is_skipped = match cache {
                    Cache::Compile => settings.skip.compile || selected.engine == DetectedEngine::None,
                    _ => settings.skip.model,
                };
                result.or_else(|refusal| {
                    let stands = !is_skipped && earlier.holds(&context, volumes, planned, cache);
                    if stands { Ok(()) } else { Err(refusal) }
                })
            };
        let model_claim = &*settings.model.claim;
        // Why the model cache is not put in place here, and whether it is in place after all.
        let (mut model, mut has_model_cache) = (Ok(()), false);
        if selected.wants_model_cache() {
            let planned_now = model::plan(&context, &mut volumes, &mut planned);
            model = planned_now.as_ref().map_or_else(|refusal| Err(refusal.reason), |()| Ok(()));
            let model = or_earlier(&volumes, &planned, Cache::Model, planned_now);
            has_model_cache = model.is_ok();
            settle(&mut plan, Cache::Model, Some(model_claim), model);
        }
        if selected.wants_compile_cache() {
            let compile = compile::plan(&context, &mut volumes, &mut planned, engines, model);
            let result = or_earlier(&volumes, &planned, Cache::Compile, compile.result);
            settle(&mut plan, Cache::Compile, Some(&settings.compile.claim), result);
            for part in compile.parts {
                plan.skip(name, Cache::Compile, part, None);
            }
            plan.is_staged |= compile.stage.is_some();
            if let Some(Stage::Added(containers)) = compile.stage {
                init_containers = Some((selected.index, containers));
            }
        }
        let mut has_address = false;
        if let Some(url) = &settings.express.url {
            let address = express::plan(&context, &mut planned, url);
            has_address = address.is_ok();
            settle(&mut plan, Cache::ModelExpress, None, address.map_err(Refusal::from));
            if has_address && let Err(reason) = express::plan_stream(&context, &volumes, &mut planned, model) {
                plan.skip(name, Cache::ModelExpress, reason.into(), None);
            }
        } else if !settings.skip.express && earlier.holds(&context, &volumes, &planned, Cache::ModelExpress) {
            settle(&mut plan, Cache::ModelExpress, None, Ok(()));
        }
        let load = load_format::plan(&context, &mut planned, has_address, has_model_cache);
        plan.warnings.extend(load.warnings);
        if let Err(reason) = load.result {
            plan.skip(name, Cache::LoadFormat, reason.into(), None);
        }
        let without_scratch = std::mem::take(&mut planned.without_scratch);
        plan.without_scratch.extend((!without_scratch.is_empty()).then_some((name, without_scratch)));
        plan.changes.extend(planned.into_changes());
        plan.containers.push((name, in_place));
    }
    for name in unknown {
        for cache in [Cache::Model, Cache::Compile] {
            plan.skip(name, cache, Reason::ContainerUnknown.into(), None);
        }
    }
    let added = volumes.into_changes();
    if added.iter().any(|change| matches!(change, Change::Volume { .. })) {
        plan.changes.extend(fs_group(pod, settings));
    }
    plan.changes.splice(0..0, added);
    plan.changes.extend(init_containers.map(|(of, containers)| {
        let position = if of.init { of.position } else { pod.init_containers().len() };
        Change::InitContainers { of, position, containers }
    }));
    plan
}

impl<'p> Plan<'p> {
    fn skip(&mut self, container: &'p str, cache: Cache, refusal: Refusal, claim: Option<&str>) {
        let Refusal { reason, fix: own_fix } = refusal;
        let skipped = Skipped { container, cache, reason, claim: claim.map(str::to_owned), own_fix };
        self.warnings.extend(Warning::cache_skipped(&skipped));
        self.skipped.push(skipped);
    }
}

/// What becomes of the group that owns the pod's volumes, where a volume of a claim is added. With a group and without a policy
/// the kubelet walks through the whole model cache at each start; beside another claim of the user's, the policy is the user's.
fn fs_group(pod: &Pod<'_>, settings: &Settings) -> Option<Change<'static>> {
    let context = pod.spec.as_ref().and_then(|spec| spec.security_context.as_ref());
    let (group, policy) =
        context.map_or((None, None), |context| (context.fs_group, context.fs_group_change_policy.as_ref()));
    let has_claims = !pod.templates.is_empty() || pod.volumes().iter().any(|volume| volume.claim.is_some());
    if policy.is_some() || has_claims {
        return None;
    }
    match group {
        Some(_) => Some(Change::FsGroup(None)),
        None => settings.fs_group.map(|group| Change::FsGroup(Some(group))),
    }
}
