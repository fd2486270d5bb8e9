//! What should change in a component, and why; it decides and cannot write JSON.

use std::borrow::Cow;
use std::fmt;

use serde::{Serialize, Serializer};

use super::claim::Claims;
use super::component::{Chosen, Place};
use super::path::Path;
use super::pod::Pod;
use super::reason::Reason;
use super::settings::Settings;
use super::told::Warning;

mod compile;
mod draft;
mod earlier;
mod express;
mod load;
mod model;
mod mount;
mod volumes;

use draft::Draft;
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
    /// Each chosen container with the caches in place there.
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
        place: Place,
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
    pub fn place(&self) -> Option<Place> {
        match self {
            Change::Container { place, .. } => Some(*place),
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

/// What is cached, or how it is loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cache {
    /// What the engine compiles.
    Compile,
    /// Loading weights through Model Express.
    LoadFormat,
    /// The models.
    Model,
    /// The address of Model Express.
    ModelExpress,
}

/// A cache that is not in place in a container of whose row it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Skipped<'p> {
    /// The container.
    pub container: &'p str,
    /// The cache.
    pub cache: Cache,
    /// Why.
    pub reason: Reason,
    /// The claim that the reason is about, where it is about one.
    pub claim: Option<String>,
}

impl Cache {
    /// The word for it in the status annotation.
    pub fn word(self) -> &'static str {
        match self {
            Cache::Compile => "compile",
            Cache::LoadFormat => "load-format",
            Cache::Model => "model",
            Cache::ModelExpress => "model-express",
        }
    }
}

impl Serialize for Cache {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.word())
    }
}

impl fmt::Display for Cache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// Everything that is the same for all containers of a pod.
struct Scene<'s> {
    settings: &'s Settings,
    claims: &'s Claims,
    pod: &'s Pod<'s>,
}

/// Plans the caches of the chosen containers, one after another; each sees what the earlier ones added.
pub fn plan<'p>(pod: &'p Pod<'p>, chosen: &[Chosen<'p>], settings: &Settings, claims: &Claims) -> Plan<'p> {
    let scene = Scene { settings, claims, pod };
    let mut volumes = Volumes::of(pod);
    let mut plan = Plan::default();
    let earlier = Earlier::of(pod);
    for chosen in chosen {
        let mut draft = Draft::of(chosen, &volumes);
        let name = chosen.container.name();
        let mut in_place = Vec::new();
        let mut settle =
            |plan: &mut Plan<'p>, cache: Cache, claim: Option<&str>, result: Result<(), Reason>| match result {
                Ok(()) => in_place.push(cache),
                Err(reason) => plan.leave_out(name, cache, reason, claim),
            };
        // What another dynamo-cache has put there is in place, whatever ours would have done.
        let or_earlier = |volumes: &Volumes<'_>, draft: &Draft<'_, '_>, cache: Cache, result: Result<(), Reason>| {
            result.or_else(|reason| {
                let stands = reason != Reason::SkippedByUser && earlier.holds(&scene, volumes, draft, cache);
                if stands { Ok(()) } else { Err(reason) }
            })
        };
        let model_claim = &*settings.model.claim;
        let mut model = Ok(());
        if chosen.wants_model_cache() {
            model = model::plan(&scene, &mut volumes, &mut draft);
            let model = or_earlier(&volumes, &draft, Cache::Model, model);
            settle(&mut plan, Cache::Model, Some(model_claim), model);
        }
        if chosen.wants_compile_cache() {
            let compile = compile::plan(&scene, &mut volumes, &mut draft, model);
            let compile = or_earlier(&volumes, &draft, Cache::Compile, compile);
            settle(&mut plan, Cache::Compile, Some(&settings.compile.claim), compile);
        }
        if let Some(url) = &settings.express.url {
            let address = express::plan(&scene, &mut draft, url);
            settle(&mut plan, Cache::ModelExpress, None, address);
            if address.is_ok() {
                if let Err(reason) = express::plan_stream(&scene, &volumes, &mut draft, model) {
                    plan.leave_out(name, Cache::ModelExpress, reason, None);
                }
                let load = load::plan(&scene, &mut draft);
                plan.warnings.extend(load.warnings);
                if let Err(reason) = load.result {
                    plan.leave_out(name, Cache::LoadFormat, reason, None);
                }
            }
        } else if !settings.skip.express && earlier.holds(&scene, &volumes, &draft, Cache::ModelExpress) {
            settle(&mut plan, Cache::ModelExpress, None, Ok(()));
        }
        plan.changes.extend(draft.into_changes());
        plan.containers.push((name, in_place));
    }
    let added = volumes.into_changes();
    if let Some(group) = settings.fs_group.filter(|_| !added.is_empty() && has_no_fs_group(pod)) {
        plan.changes.push(Change::FsGroup(group));
    }
    plan.changes.splice(0..0, added);
    plan
}

impl<'p> Plan<'p> {
    fn leave_out(&mut self, container: &'p str, cache: Cache, reason: Reason, claim: Option<&str>) {
        let skipped = Skipped { container, cache, reason, claim: claim.map(str::to_owned) };
        self.warnings.extend(Warning::left_out(&skipped));
        self.skipped.push(skipped);
    }
}

fn has_no_fs_group(pod: &Pod<'_>) -> bool {
    let context = pod.spec.as_ref().and_then(|spec| spec.security_context.as_ref());
    context.is_none_or(|context| context.fs_group.is_none() && context.fs_group_change_policy.is_none())
}
