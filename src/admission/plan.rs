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
mod load_format;
mod model;
mod mount;
mod volumes;

use container::ContainerPlan;
use earlier::Earlier;
use volumes::Volumes;

/// What the volume of the model claim is called where we add it.
pub const MODEL_VOLUME: &str = "dynamo-cache-model";

/// What the volume of the compile claim is called where we add it.
pub const COMPILE_VOLUME: &str = "dynamo-cache-compile";

/// A plan: the changes, and the pod as it leaves us.
#[derive(Debug, Default)]
pub struct Plan<'p> {
    /// What changes, in the order in which it was decided.
    pub changes: Vec<Change<'p>>,
    /// Each selected container with the caches in place there.
    pub containers: Vec<(&'p str, Vec<Cache>)>,
    /// What is not in place, and why.
    pub skipped: Vec<Skipped<'p>>,
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
    /// The pod gets a group for its volumes, changed on a mismatch of the root only.
    FsGroup(i64),
    /// The pod's status annotation gets this value.
    Status(String),
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
            Change::FsGroup(_) | Change::Status(_) | Change::Volume { .. } => None,
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
        sub_path: Option<&'static str>,
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
    for selected in selected {
        let mut planned = ContainerPlan::new(selected, &volumes);
        let name = selected.container.name();
        let mut in_place = Vec::new();
        let mut settle =
            |plan: &mut Plan<'p>, cache: Cache, claim: Option<&str>, result: Result<(), Reason>| match result {
                Ok(()) => in_place.push(cache),
                Err(reason) => plan.skip(name, cache, reason, claim),
            };
        // What another dynamo-cache has put there is in place, whatever ours would have done, unless the user asks to skip it.
        let or_earlier =
            |volumes: &Volumes<'_>, planned: &ContainerPlan<'_, '_>, cache: Cache, result: Result<(), Reason>| {
                let is_skipped = match cache {
                    Cache::Compile => settings.skip.compile || selected.engine == DetectedEngine::None,
                    _ => settings.skip.model,
                };
                result.or_else(|reason| {
                    let stands = !is_skipped && earlier.holds(&context, volumes, planned, cache);
                    if stands { Ok(()) } else { Err(reason) }
                })
            };
        let model_claim = &*settings.model.claim;
        let mut model = Ok(());
        if selected.wants_model_cache() {
            model = model::plan(&context, &mut volumes, &mut planned);
            let model = or_earlier(&volumes, &planned, Cache::Model, model);
            settle(&mut plan, Cache::Model, Some(model_claim), model);
        }
        if selected.wants_compile_cache() {
            let compile = compile::plan(&context, &mut volumes, &mut planned, model);
            let compile = or_earlier(&volumes, &planned, Cache::Compile, compile);
            settle(&mut plan, Cache::Compile, Some(&settings.compile.claim), compile);
        }
        if let Some(url) = &settings.express.url {
            let address = express::plan(&context, &mut planned, url);
            settle(&mut plan, Cache::ModelExpress, None, address);
            if address.is_ok() {
                if let Err(reason) = express::plan_stream(&context, &volumes, &mut planned, model) {
                    plan.skip(name, Cache::ModelExpress, reason, None);
                }
                let load = load_format::plan(&context, &mut planned);
                plan.warnings.extend(load.warnings);
                if let Err(reason) = load.result {
                    plan.skip(name, Cache::LoadFormat, reason, None);
                }
            }
        } else if !settings.skip.express && earlier.holds(&context, &volumes, &planned, Cache::ModelExpress) {
            settle(&mut plan, Cache::ModelExpress, None, Ok(()));
        }
        plan.changes.extend(planned.into_changes());
        plan.containers.push((name, in_place));
    }
    for name in unknown {
        for cache in [Cache::Model, Cache::Compile] {
            plan.skip(name, cache, Reason::ContainerUnknown, None);
        }
    }
    let added = volumes.into_changes();
    if let Some(group) = settings.fs_group.filter(|_| !added.is_empty() && has_no_fs_group(pod)) {
        plan.changes.push(Change::FsGroup(group));
    }
    plan.changes.splice(0..0, added);
    plan
}

impl<'p> Plan<'p> {
    fn skip(&mut self, container: &'p str, cache: Cache, reason: Reason, claim: Option<&str>) {
        let skipped = Skipped { container, cache, reason, claim: claim.map(str::to_owned) };
        self.warnings.extend(Warning::cache_skipped(&skipped));
        self.skipped.push(skipped);
    }
}

fn has_no_fs_group(pod: &Pod<'_>) -> bool {
    let context = pod.spec.as_ref().and_then(|spec| spec.security_context.as_ref());
    context.is_none_or(|context| context.fs_group.is_none() && context.fs_group_change_policy.is_none())
}
