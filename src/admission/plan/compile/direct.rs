//! The compile cache on its claim, which is mounted into the engine's container: the contract's section 5.

use super::super::super::engine::Engine;
use super::super::super::path::Path;
use super::super::super::reason::Reason;
use super::super::container::{ContainerPlan, Directory, Mounted, Value};
use super::super::mount::{self, MountRequest};
use super::super::refusal::Refusal;
use super::super::volumes::Volumes;
use super::super::{COMPILE_VOLUME, Cache, PlanContext};
use super::{cache_of_user, key, objection};

/// Plans the compile cache on its claim.
///
/// # Errors
/// Why it is not; nothing was added then.
pub(super) fn plan<'p>(
    context: &PlanContext<'_>,
    volumes: &mut Volumes<'p>,
    planned: &mut ContainerPlan<'p, '_>,
    engine: Engine,
    model: Result<(), Reason>,
) -> Result<(), Refusal> {
    let settings = &context.settings.compile;
    let variable = engine.compile_variable().ok_or(Reason::NotShareable)?;
    let mounted = match use_by_user(context, volumes, planned, variable)? {
        Use::Variable(mount) => {
            context.check_shared(model)?;
            check_writable(context, &mount)?;
            return Ok(context.check_enterable(planned, &mount.path)?);
        }
        Use::Mount(mount) => Some(mount),
        Use::Nothing => None,
    };
    if mounted.is_none() && context.shares_one_claim() {
        context.check_user_namespace()?;
    }
    context.check_shared(model)?;
    let root = match mounted {
        Some(mount) => {
            check_writable(context, &mount)?;
            context.check_proof(planned, Cache::Compile, &settings.claim)?;
            context.check_enterable(planned, &mount.path)?;
            mount.path.into_owned()
        }
        None => add_mount(context, volumes, planned, engine.compile_folder())?,
    };
    let name = key::name(context, volumes, planned);
    let directory = if name.is_empty() { root } else { root.join(&name) };
    // Of several mounts of the user's at one path, another may be the one that the engine would write to.
    if let Some(mount) = planned.cover(&directory).filter(|mount| !mount.is_whole(volumes, &settings.claim)) {
        return Err(Refusal::user_cache(volumes, mount, "compile-claim"));
    }
    planned.set(Cache::Compile, variable, directory.as_str().to_owned());
    Ok(())
}

/// What the container has of the cache already.
enum Use<'p> {
    /// The engine's variable points to this mount of the claim.
    Variable(Mounted<'p>),
    /// The claim is mounted here, and no variable says so.
    Mount(Mounted<'p>),
    Nothing,
}

/// What the container has of the cache.
///
/// # Errors
/// `env-set-by-user` where the engine's variable, or a script, puts the cache elsewhere.
fn use_by_user<'p>(
    context: &PlanContext<'_>,
    volumes: &Volumes<'p>,
    planned: &ContainerPlan<'p, '_>,
    variable: &str,
) -> Result<Use<'p>, Refusal> {
    let set_by_user = |source: &str| {
        Refusal::with_fix(Reason::EnvSetByUser, format!("Remove {variable} from the {source} to get the shared cache."))
    };
    if planned.assigns(variable) {
        return Err(set_by_user("script"));
    }
    let claim = &context.settings.compile.claim;
    let mounted = planned.whole_mount(volumes, claim);
    let used = match (planned.directory(variable), planned.variable(variable)) {
        (Directory::Unset, _) => return Ok(mounted.map_or(Use::Nothing, |mount| Use::Mount(mount.clone()))),
        (Directory::At(path), _) => planned.cover(&path).filter(|mount| mount.is_whole(volumes, claim)),
        (Directory::NotLiteral, Some(Value::Literal(_))) => None,
        (Directory::NotLiteral, _) => mounted,
    };
    used.map(|mount| Use::Variable(mount.clone())).ok_or_else(|| set_by_user("container's variables"))
}

/// Refuses a mount of the container's that can only be read.
fn check_writable(context: &PlanContext<'_>, mount: &Mounted<'_>) -> Result<(), Reason> {
    let only_reads = mount.read_only || context.only_reads(&context.settings.compile.claim);
    if only_reads { Err(Reason::ClaimReadOnly) } else { Ok(()) }
}

fn add_mount<'p>(
    context: &PlanContext<'_>,
    volumes: &mut Volumes<'p>,
    planned: &mut ContainerPlan<'p, '_>,
    folder: &str,
) -> Result<Path<'static>, Refusal> {
    let settings = &context.settings.compile;
    let path = settings.mount_path.clone();
    if let Some(mount) = cache_of_user(planned, &path, folder) {
        return Err(Refusal::user_cache(volumes, mount, "compile-claim"));
    }
    let request = MountRequest {
        cache: Cache::Compile,
        volume: COMPILE_VOLUME,
        claim: &settings.claim,
        path: path.clone(),
        read_only: false,
        objection: objection(context, volumes, planned, &path),
        origin: "compile-mount-path",
    };
    mount::add(context, volumes, planned, request)?;
    Ok(path)
}
