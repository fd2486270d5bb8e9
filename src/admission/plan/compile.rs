//! The compile cache of one container: on its claim, or on local disk.

use super::super::classification::DetectedEngine;
use super::super::engine::Engine;
use super::super::path::Path;
use super::super::pod::Pod;
use super::super::reason::Reason;
use super::super::settings::Mode;
use super::container::{ContainerPlan, Mounted};
use super::refusal::Refusal;
use super::volumes::Volumes;
use super::{PlanContext, SCRATCH_PATH, SCRATCH_VOLUME};

mod arguments;
mod direct;
mod gpu;
mod key;
mod staged;

use staged::Staged;

pub(super) use key::is_whole_name;
pub(super) use staged::Stage;

/// What came of the compile cache.
pub(super) struct Compile<'p> {
    /// Why it is not in place, if so; nothing was added then.
    pub result: Result<(), Refusal>,
    /// Why parts of it are not where the settings want them.
    pub parts: Vec<Refusal>,
    /// How the container works on local disk, if it does.
    pub stage: Option<Stage<'p>>,
}

impl Compile<'_> {
    fn without_stage(result: Result<(), Refusal>, parts: Vec<Refusal>) -> Self {
        Compile { result, parts, stage: None }
    }
}

/// Plans the compile cache. `engines` is the number of containers of the pod that want one.
pub(super) fn plan<'p>(
    context: &PlanContext<'_>,
    volumes: &mut Volumes<'p>,
    planned: &mut ContainerPlan<'p, '_>,
    engines: usize,
    model: Result<(), Reason>,
) -> Compile<'p> {
    let engine = match engine(context, planned) {
        Ok(engine) => engine,
        Err(reason) => return Compile::without_stage(Err(reason.into()), Vec::new()),
    };
    // What an earlier pass has staged stays so, whatever the settings are now.
    if staged::is_in_place(context.pod, planned) {
        let parts = staged::parts(volumes, planned, &staged::own(planned, engine));
        return Compile { result: Ok(()), parts, stage: Some(Stage::InPlace) };
    }
    if !context.settings.compile.multi_node && spans_nodes(context.pod, planned) {
        return Compile::without_stage(Err(Reason::MultiNode.into()), Vec::new());
    }
    let wants_stage = context.settings.compile.mode == Mode::Staged;
    if wants_stage && engines == 1 && planned.container().image.is_some() {
        return match staged::plan(context, volumes, planned, engine) {
            Ok(Staged { containers, parts }) => {
                Compile { result: Ok(()), parts, stage: Some(Stage::Added(containers)) }
            }
            Err(refusal) => Compile::without_stage(Err(refusal), Vec::new()),
        };
    }
    let direct = direct::plan(context, volumes, planned, engine, model);
    match direct {
        // The fix of this reason is the mode that the pod cannot have.
        Err(Refusal { reason: Reason::NotShareable, .. }) if wants_stage => {
            Compile::without_stage(Err(Reason::StagingOneEngine.into()), Vec::new())
        }
        direct => {
            let parts = if wants_stage { vec![Reason::StagingOneEngine.into()] } else { Vec::new() };
            Compile::without_stage(direct, parts)
        }
    }
}

/// The engine whose cache it is.
///
/// # Errors
/// Why there is none, whatever the mode.
fn engine(context: &PlanContext<'_>, planned: &ContainerPlan<'_, '_>) -> Result<Engine, Reason> {
    match planned.selected.engine {
        _ if context.settings.skip.compile => Err(Reason::SkippedByUser),
        DetectedEngine::None => Err(Reason::SkippedByUser),
        DetectedEngine::Unknown => Err(Reason::EngineUnknown),
        DetectedEngine::Engine(engine) => Ok(engine),
    }
}

impl PlanContext<'_> {
    /// Whether both caches are on one claim, which is mounted once.
    fn shares_one_claim(&self) -> bool {
        self.settings.compile.claim == self.settings.model.claim
    }

    /// Without the model cache there is no compile cache on its claim.
    fn check_shared(&self, model: Result<(), Reason>) -> Result<(), Reason> {
        if self.shares_one_claim() { model } else { Ok(()) }
    }
}

/// Whether ranks of the engine run on several nodes, as far as the pod shows.
fn spans_nodes(pod: &Pod<'_>, planned: &ContainerPlan<'_, '_>) -> bool {
    let leads_workers = pod.label("leaderworkerset.sigs.k8s.io/name").is_some()
        && pod.annotation("leaderworkerset.sigs.k8s.io/size").map(str::trim) != Some("1");
    let scales_as_one = pod.label("grove.io/podcliquescalinggroup").is_some()
        && pod.label("nvidia.com/dynamo-failover-engine-group-member").is_none();
    planned.selected.command_line.flags.spans_nodes() || leads_workers || scales_as_one
}

/// A mount, none of which is the compile claim's, where this engine looks for its cache.
fn cache_of_user<'c, 'p>(planned: &'c ContainerPlan<'p, '_>, path: &Path<'_>, folder: &str) -> Option<&'c Mounted<'p>> {
    let of_engine = format!("/.cache/{folder}");
    let xdg = planned.literal_directory("XDG_CACHE_HOME");
    planned.mounts.iter().filter(|mount| mount.volume != SCRATCH_VOLUME).find(|mount| {
        mount.path.ends_with("/.cache")
            || mount.path.ends_with(&of_engine)
            || mount.path.covers(path)
            || xdg.as_ref().is_some_and(|xdg| mount.path.covers(xdg))
    })
}

/// Why the cache must not be mounted at a path of the settings, whatever is mounted there.
fn objection(
    context: &PlanContext<'_>,
    volumes: &Volumes<'_>,
    planned: &ContainerPlan<'_, '_>,
    path: &Path<'_>,
) -> Option<Reason> {
    if path.is_an_engines_own() {
        return Some(Reason::PathUnsafe);
    }
    overlaps_model_cache(context, volumes, planned, path).then_some(Reason::PathTaken)
}

/// Whether one cache would hide the other, or land in it, or in what belongs to one container alone.
fn overlaps_model_cache(
    context: &PlanContext<'_>,
    volumes: &Volumes<'_>,
    planned: &ContainerPlan<'_, '_>,
    path: &Path<'_>,
) -> bool {
    let model = &context.settings.model;
    let variables = ["HF_HOME", "HF_HUB_CACHE"];
    let mounted = planned.whole_mount(volumes, &model.claim).map(|mount| mount.path.clone().into_owned());
    let none_is_set = !variables.iter().any(|name| planned.has(name));
    let usual = mounted.or_else(|| none_is_set.then(|| model.mount_path.clone()));
    let literal = variables.iter().filter_map(|name| planned.literal_directory(name));
    let mut models = usual.into_iter().chain(literal).chain([Path::new(SCRATCH_PATH)]);
    let caches = ["/.cache/huggingface", "/.cache/huggingface/hub"];
    models.any(|model| model.covers(path) || path.covers(&model))
        || planned.literal_directory("XDG_CACHE_HOME").is_some_and(|xdg| path.covers(&xdg))
        || caches.iter().any(|end| path.ends_with(end))
}
