//! The variables of an engine on local disk: ours, and the user's own, which stay.

use super::super::super::super::engine::{Engine, StagedVariable};
use super::super::super::super::path::{self, Path};
use super::super::super::super::reason::Reason;
use super::super::super::container::{ContainerPlan, Mounted, Value};
use super::super::super::refusal::Refusal;
use super::super::super::volumes::Volumes;
use super::super::super::{Cache, LOCAL_VOLUME, PlanContext, mount};
use super::super::overlaps_model_cache;

/// The engine's variables that the container has, or that a script of it assigns.
pub(in super::super) fn own(planned: &ContainerPlan<'_, '_>, engine: Engine) -> Vec<&'static StagedVariable> {
    let variables = engine.staged_variables().iter();
    variables.filter(|variable| planned.has(variable.name) || planned.assigns(variable.name)).collect()
}

/// Adds all variables but the user's own. `is_certain`: the key says for which GPU and for which image the cache is.
pub(super) fn set(
    planned: &mut ContainerPlan<'_, '_>,
    engine: Engine,
    own: &[&StagedVariable],
    path: &Path<'_>,
    is_certain: bool,
) {
    for variable in engine.staged_variables() {
        if !own.contains(&variable) && (is_certain || !variable.is_unchecked_file) {
            planned.set_new(Cache::Compile, variable.name, path.join(variable.below));
        }
    }
}

/// Mounts the local disk where variables of the user's point and nothing else is mounted, so that these caches are staged as well.
/// Each is in its usual place of the disk. Returns each as `NAME=path`.
pub(super) fn mount_own_places(
    context: &PlanContext<'_>,
    volumes: &Volumes<'_>,
    planned: &mut ContainerPlan<'_, '_>,
    own: &[&'static StagedVariable],
) -> Vec<String> {
    let own = own.iter().filter(|variable| !variable.is_unchecked_file && !planned.assigns(variable.name));
    let own = own.filter_map(|variable| Some((*variable, planned.literal_directory(variable.name)?)));
    let mut own: Vec<(&'static StagedVariable, Path<'static>)> = own.collect();
    // Of two places, the one above the other serves both.
    own.sort_by_key(|(_, path)| path.as_str().len());
    let mut places = Vec::new();
    for (variable, path) in own {
        let is_free = planned.cover(&path).is_none()
            && context.check_safe(planned, &path).is_ok()
            && mount::check_not_taken(planned, &path, variable.name).is_ok()
            && !overlaps_model_cache(context, volumes, planned, &path);
        if is_free {
            places.push(format!("{}={path}", variable.name));
            let (volume, sub_path) = (LOCAL_VOLUME.into(), Some(variable.below.into()));
            planned.mount(Cache::Compile, Mounted { volume, path, sub_path, read_only: false, is_added: true });
        }
    }
    places
}

/// Why some caches of the engine are not on the local disk: those of the user's own variables.
pub(in super::super) fn parts(
    volumes: &Volumes<'_>,
    planned: &ContainerPlan<'_, '_>,
    own: &[&StagedVariable],
) -> Vec<Refusal> {
    let (mut elsewhere, mut of_user) = (Vec::new(), Vec::new());
    for StagedVariable { name, .. } in own {
        let cover = match planned.variable(name) {
            _ if planned.assigns(name) => None,
            None => continue,
            Some(Value::Literal(text)) if path::is_absolute(text) => planned.cover(&Path::new(text)),
            Some(_) => None,
        };
        match cover {
            Some(mount) if mount.volume == LOCAL_VOLUME => {}
            Some(mount) if volumes.outlives_pod(&mount.volume) => of_user.push(*name),
            _ => elsewhere.push(*name),
        }
    }
    let part = |reason: Reason, names: Vec<&str>, what: &str| {
        let fix = || format!("{what} {} to have this on the local disk too.", names.join(", "));
        (!names.is_empty()).then(|| Refusal::with_fix(reason, fix()))
    };
    let elsewhere = part(Reason::EnvSetByUser, elsewhere, "Remove");
    let of_user = part(Reason::UserCache, of_user, "Remove");
    elsewhere.into_iter().chain(of_user).collect()
}
