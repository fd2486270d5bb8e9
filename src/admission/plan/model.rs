//! The model cache of one container: the contract's section 4.

use super::super::path::Path;
use super::super::reason::Reason;
use super::super::settings::Layout;
use super::container::{ContainerPlan, Directory, Value};
use super::mount::{self, MountRequest};
use super::scratch;
use super::volumes::Volumes;
use super::{Cache, MODEL_VOLUME, PlanContext};

/// What follows from the container's variables and mounts.
struct Placement {
    /// Where the claim is to be mounted; none: it is mounted where it has to be.
    mount_at: Option<Path<'static>>,
    /// `HF_HOME`, where it is to be added.
    home: Option<Path<'static>>,
    /// `HF_HUB_CACHE`, where it is to be added.
    hub: Option<Path<'static>>,
}

/// Plans the model cache.
///
/// # Errors
/// Why it is not; nothing was added then.
pub(super) fn plan<'p>(
    context: &PlanContext<'_>,
    volumes: &mut Volumes<'p>,
    planned: &mut ContainerPlan<'p, '_>,
) -> Result<(), Reason> {
    if context.settings.skip.model {
        return Err(Reason::SkippedByUser);
    }
    let settings = &context.settings.model;
    let Placement { mount_at, home, hub } = placement(context, volumes, planned)?;
    if let Some(path) = mount_at {
        let request = MountRequest {
            cache: Cache::Model,
            volume: MODEL_VOLUME,
            claim: &settings.claim,
            path,
            read_only: settings.read_only,
            objection: None,
        };
        mount::add(context, volumes, planned, request)?;
    }
    let mut set = |name, path: Option<Path<'_>>| {
        if let Some(path) = path {
            planned.set(Cache::Model, name, path.as_str().to_owned());
        }
    };
    set("HF_HOME", home);
    set("HF_HUB_CACHE", hub);
    // Code that is executed must not lie where others write, and both break on parallel file systems.
    let missing: Vec<_> = scratch::VARIABLES.into_iter().filter(|(name, _)| !planned.has(name)).collect();
    if missing.is_empty() || scratch::plan(context, volumes, planned) {
        for (name, path) in missing {
            planned.set(Cache::Model, name, path);
        }
    } else {
        planned.without_scratch = missing.into_iter().map(|(name, _)| name).collect();
    }
    if settings.offline {
        planned.set(Cache::Model, "HF_HUB_OFFLINE", "1");
    }
    let mount = planned.whole_mount(volumes, &settings.claim);
    let mount = mount.filter(|mount| context.check_enterable(planned, &mount.path).is_ok());
    let writable = mount.filter(|mount| !mount.read_only && !context.only_reads(&settings.claim));
    if let Some(path) = writable.map(|mount| mount.path.join("loras"))
        && loras_are_enabled(planned)
    {
        planned.set(Cache::Model, "DYN_LORA_PATH", path.as_str().to_owned());
    }
    Ok(())
}

fn loras_are_enabled(planned: &ContainerPlan<'_, '_>) -> bool {
    match planned.variable("DYN_LORA_ENABLED") {
        Some(Value::Literal(text)) => text == "1" || text.eq_ignore_ascii_case("true"),
        _ => false,
    }
}

/// The table: which variables the container has, and what covers the hub that they name.
fn placement(
    context: &PlanContext<'_>,
    volumes: &Volumes<'_>,
    planned: &ContainerPlan<'_, '_>,
) -> Result<Placement, Reason> {
    let layout = context.settings.model.layout;
    let (hub_variable, home_variable) = (planned.directory("HF_HUB_CACHE"), planned.directory("HF_HOME"));
    match (hub_variable, home_variable) {
        (Directory::NotLiteral, _) | (Directory::Unset, Directory::NotLiteral) => Err(Reason::EnvNotLiteral),
        (Directory::At(hub), _) => {
            let mount_at = match layout {
                Layout::Home if hub.ends_with("/hub") => Ok(hub.parent().into_owned()),
                Layout::Home => Err(Reason::EnvSetByUser),
                Layout::Hub => Ok(hub.clone()),
            };
            let mount_at = uncovered(context, volumes, planned, &hub, mount_at)?;
            Ok(Placement { mount_at, home: None, hub: None })
        }
        (Directory::Unset, _) if planned.has("HUGGINGFACE_HUB_CACHE") => Err(Reason::EnvSetByUser),
        (Directory::Unset, Directory::At(home)) => {
            let hub = home.join("hub");
            let mount_at = match layout {
                Layout::Home => Ok(home),
                Layout::Hub => Err(Reason::EnvSetByUser),
            };
            let mount_at = uncovered(context, volumes, planned, &hub, mount_at)?;
            Ok(Placement { mount_at, home: None, hub: Some(hub) })
        }
        (Directory::Unset, Directory::Unset) => placement_without_variables(context, volumes, planned),
    }
}

/// Where to mount for a hub that the variables name: nowhere where our claim covers it.
fn uncovered(
    context: &PlanContext<'_>,
    volumes: &Volumes<'_>,
    planned: &ContainerPlan<'_, '_>,
    hub: &Path<'_>,
    mount_at: Result<Path<'static>, Reason>,
) -> Result<Option<Path<'static>>, Reason> {
    let claim = &context.settings.model.claim;
    match planned.cover(hub) {
        Some(mount) if mount.is_whole(volumes, claim) => {
            context.check_enterable(planned, &mount.path)?;
            Ok(None)
        }
        Some(_) => Err(Reason::UserCache),
        None if planned.whole_mount(volumes, claim).is_some() => Err(Reason::EnvSetByUser),
        None => mount_at.map(Some),
    }
}

/// The same where no variable says where the cache is.
fn placement_without_variables(
    context: &PlanContext<'_>,
    volumes: &Volumes<'_>,
    planned: &ContainerPlan<'_, '_>,
) -> Result<Placement, Reason> {
    const CACHES: [&str; 3] = ["/.cache/huggingface", "/.cache/huggingface/hub", "/.cache"];
    let settings = &context.settings.model;
    let is_ours = |mount: &super::container::Mounted<'_>| mount.is_whole(volumes, &settings.claim);
    let covered_by_another = |path: &Path<'_>| planned.cover(path).is_some_and(|mount| !is_ours(mount));
    let xdg = planned.literal_directory("XDG_CACHE_HOME");

    let mut others = planned.mounts.iter().filter(|mount| !is_ours(mount));
    let at_a_cache = others.any(|mount| CACHES.iter().any(|end| mount.path.ends_with(end)));
    if at_a_cache || xdg.as_ref().is_some_and(covered_by_another) {
        return Err(Reason::UserCache);
    }
    let mounted = planned.whole_mount(volumes, &settings.claim).map(|mount| mount.path.clone().into_owned());
    let (at, home) = match &mounted {
        Some(at) => {
            let home = match xdg {
                Some(xdg) if at.covers(&xdg) => Some(xdg.join("huggingface")),
                _ if at.ends_with("/hub") || settings.layout == Layout::Hub => None,
                _ if at.ends_with("/.cache") => Some(at.join("huggingface")),
                _ => Some(at.clone()),
            };
            (at, home)
        }
        None => (&settings.mount_path, (settings.layout == Layout::Home).then(|| settings.mount_path.clone())),
    };
    let hub = home.as_ref().map_or_else(|| at.clone(), |home| home.join("hub"));
    if covered_by_another(&hub) || (mounted.is_none() && covered_by_another(at)) {
        return Err(Reason::UserCache);
    }
    if let Some(mounted) = &mounted {
        context.check_enterable(planned, mounted)?;
    }
    Ok(Placement { mount_at: mounted.is_none().then(|| at.clone()), home, hub: Some(hub) })
}
