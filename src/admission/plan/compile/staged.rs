//! The compile cache on local disk: the engine sees no claim, and containers of ours restore the disk and publish it.

use super::super::super::engine::Engine;
use super::super::super::names::CONTAINERS;
use super::super::super::path::Path;
use super::super::super::pod::{Container, Pod};
use super::super::super::reason::Reason;
use super::super::container::{ContainerPlan, Mounted};
use super::super::init_container::InitContainer;
use super::super::mount;
use super::super::refusal::Refusal;
use super::super::volumes::Volumes;
use super::super::{COMPILE_VOLUME, Cache, LOCAL_VOLUME, MODEL_VOLUME, PlanContext, TOOL_VOLUME};
use super::{cache_of_user, key, objection};

mod containers;
mod ready;
mod resources;
mod variables;

pub(super) use variables::{own, parts};

/// Where the program lies in the containers of ours.
const TOOL_PATH: &str = "/dynamo-cache-tool";

/// Where the claim is mounted in the container that reads and writes it.
const CLAIM_PATH: &str = "/dynamo-cache-compile";

/// What the variables begin with by which Model Express keeps an engine's compiled files itself.
const ARTIFACTS: &str = "MX_ARTIFACT_";

/// How a container works on local disk.
pub(in super::super) enum Stage<'p> {
    /// These containers are added.
    Added(Box<[InitContainer<'p>; 3]>),
    /// They are there already.
    InPlace,
}

/// What comes of an engine that gets the local disk.
pub(super) struct Staged<'p> {
    /// The containers that restore and publish it.
    pub containers: Box<[InitContainer<'p>; 3]>,
    /// Why some caches are not on it.
    pub parts: Vec<Refusal>,
}

/// Whether an earlier pass has put it in place: all containers are there, by their names, and the engine has the local disk.
pub(super) fn is_in_place(pod: &Pod<'_>, planned: &ContainerPlan<'_, '_>) -> bool {
    let has_local_disk = planned.mounts.iter().any(|mount| mount.volume == LOCAL_VOLUME && mount.sub_path.is_none());
    let is_there = |name: &str| pod.init_containers().iter().any(|container| container.name() == name);
    has_local_disk && CONTAINERS.iter().all(|name| is_there(name))
}

/// Puts the local disk into the engine's container, and returns the containers that restore and publish it.
///
/// # Errors
/// Why not; nothing was added then.
pub(super) fn plan<'p>(
    context: &PlanContext<'_>,
    volumes: &mut Volumes<'p>,
    planned: &mut ContainerPlan<'p, '_>,
    engine: Engine,
) -> Result<Staged<'p>, Refusal> {
    check_containers(context.pod)?;
    check_artifacts(planned)?;
    let settings = &context.settings.compile;
    let path = settings.mount_path.clone();
    if let Some(mount) = cache_of_user(planned, &path, engine.compile_folder()) {
        return Err(Refusal::user_cache(volumes, mount, "compile-claim"));
    }
    let claim = mount::find_volume(context, volumes, planned, &settings.claim)?;
    if claim.existing.is_none() {
        context.check_binding(&settings.claim)?;
    }
    // With one claim for both, the next pass would mount the models by this volume, though theirs could not be added.
    let of_claim: &[_] = match (&claim.existing, context.shares_one_claim()) {
        (Some(_), _) => &[],
        (None, false) => &[COMPILE_VOLUME],
        (None, true) => &[COMPILE_VOLUME, MODEL_VOLUME],
    };
    for name in of_claim.iter().chain(&[LOCAL_VOLUME, TOOL_VOLUME]) {
        volumes.check_name_free(name)?;
    }
    check_path(context, volumes, planned, &path)?;

    let read_only = claim.is_read_only();
    let claim_volume = claim.add(volumes, COMPILE_VOLUME, &settings.claim);
    volumes.add_new_empty_dirs(&[LOCAL_VOLUME, TOOL_VOLUME]);
    let local =
        Mounted { volume: LOCAL_VOLUME.into(), path: path.clone(), sub_path: None, read_only: false, is_added: true };
    planned.mount(Cache::Compile, local);
    let own = variables::own(planned, engine);
    let own_places = variables::mount_own_places(context, volumes, planned, &own);
    let is_certain = key::is_certain(context, planned);
    variables::set(planned, engine, &own, &path, is_certain);
    let key = key::name_staged(context, volumes, planned, &own_places);
    let stage = containers::Stage { context, planned, engine, path: &path, key: &key, claim_volume, read_only };
    Ok(Staged { containers: Box::new(stage.containers()), parts: parts(volumes, planned, &own) })
}

/// Refuses a pod where a container has a name of ours, and not all are there.
fn check_containers(pod: &Pod<'_>) -> Result<(), Refusal> {
    let mut all = pod.init_containers().iter().chain(pod.containers()).map(Container::name);
    match all.find(|name| CONTAINERS.contains(name)) {
        Some(name) => {
            Err(Refusal::with_fix(Reason::VolumeNameTaken, format!("Rename the pod's own container {name}.")))
        }
        None => Ok(()),
    }
}

/// Leaves an engine whose compiled files Model Express keeps.
fn check_artifacts(planned: &ContainerPlan<'_, '_>) -> Result<(), Refusal> {
    let mut variables = planned.container().env.iter().flatten();
    let is_set = variables.any(|variable| variable.name.as_deref().is_some_and(|name| name.starts_with(ARTIFACTS)));
    if is_set || planned.assigns(ARTIFACTS) {
        let fix = format!("Remove the variables {ARTIFACTS}* to get the shared cache.");
        return Err(Refusal::with_fix(Reason::UserCache, fix));
    }
    Ok(())
}

/// Refuses a path of the settings where the local disk cannot be, in the engine's container or in ours.
fn check_path(
    context: &PlanContext<'_>,
    volumes: &Volumes<'_>,
    planned: &ContainerPlan<'_, '_>,
    path: &Path<'_>,
) -> Result<(), Refusal> {
    const ORIGIN: &str = "compile-mount-path";
    context.check_safe(planned, path).map_err(|reason| mount::refused_path(reason, path, ORIGIN))?;
    let meets = |ours: &Path<'_>| ours.covers(path) || path.covers(ours);
    let meets_ours = [TOOL_PATH, CLAIM_PATH].into_iter().map(Path::new).any(|ours| meets(&ours));
    if let Some(reason) = meets_ours.then_some(Reason::PathTaken).or_else(|| objection(context, volumes, planned, path))
    {
        return Err(mount::refused_path(reason, path, ORIGIN));
    }
    mount::check_not_taken(planned, path, ORIGIN)
}
