//! The model cache of one container: the contract's section 4.

use super::super::path::{self, Path};
use super::super::reason::Reason;
use super::super::settings::Layout;
use super::container::{ContainerPlan, Directory, Mounted, Value};
use super::mount::{self, MountRequest};
use super::refusal::Refusal;
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
) -> Result<(), Refusal> {
    if context.settings.skip.model {
        return Err(Reason::SkippedByUser.into());
    }
    let settings = &context.settings.model;
    let Placement { mount_at, home, hub } = placement(context, volumes, planned)?;
    if let Some(path) = mount_at {
        let request = MountRequest {
            cache: Cache::Model,
            volume: MODEL_VOLUME,
            claim: &settings.claim,
            objection: path.is_an_engines_own().then_some(Reason::PathUnsafe),
            path,
            read_only: settings.read_only,
            origin: ["HF_HUB_CACHE", "HF_HOME"].into_iter().find(|name| planned.has(name)).unwrap_or(MOUNT_PATH),
        };
        mount::add(context, volumes, planned, request)?;
    }
    let mut set = |name, path: Option<&Path<'_>>| {
        if let Some(path) = path {
            planned.set(Cache::Model, name, path.as_str().to_owned());
        }
    };
    set("HF_HOME", home.as_ref());
    set("HF_HUB_CACHE", hub.as_ref());
    add_local_files(context, volumes, planned, home.as_ref());
    if settings.offline {
        planned.set(Cache::Model, "HF_HUB_OFFLINE", "1");
    }
    if let Some(endpoint) = &settings.endpoint {
        planned.set(Cache::Model, "HF_ENDPOINT", endpoint.clone());
    }
    let mount = planned.whole_mount(volumes, &settings.claim);
    let mount = mount.filter(|mount| context.check_enterable(planned, &mount.path).is_ok());
    let writable = mount.filter(|mount| !mount.read_only && !context.only_reads(&settings.claim));
    if let Some(root) = writable.map(|mount| mount.path.clone()) {
        if MODELSCOPE.iter().any(|name| planned.is_on(name)) {
            planned.set(Cache::Model, "MODELSCOPE_CACHE", root.join("modelscope").as_str().to_owned());
        }
        if loras_are_enabled(planned) {
            planned.set(Cache::Model, "DYN_LORA_PATH", root.join("loras").as_str().to_owned());
        }
    }
    Ok(())
}

/// The setting that chooses the path where no variable does.
const MOUNT_PATH: &str = "model-mount-path";

/// The variables with which engines download from `ModelScope`, whose client has a cache of its own.
const MODELSCOPE: [&str; 3] = ["DYN_USE_MODELSCOPE", "SGLANG_USE_MODELSCOPE", "VLLM_USE_MODELSCOPE"];

/// The variables that keep Hugging Face clients off the network.
const OFFLINE: [&str; 2] = ["HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"];

/// Adds the variables of what belongs on no claim: chunks in transit; code that is executed, which must not lie where others
/// write; and the token, which would follow `HF_HOME`.
fn add_local_files<'p>(
    context: &PlanContext<'_>,
    volumes: &mut Volumes<'p>,
    planned: &mut ContainerPlan<'p, '_>,
    added_home: Option<&Path<'_>>,
) {
    let mut local = vec![("HF_XET_CACHE", "/tmp/huggingface/xet"), ("HF_MODULES_CACHE", "/tmp/huggingface/modules")];
    if token_follows(volumes, planned, &context.settings.model.claim, added_home) {
        match token_of_user(context, planned) {
            Some(path) => planned.set(Cache::Model, "HF_TOKEN_PATH", path),
            None => local.push(("HF_TOKEN_PATH", "/tmp/huggingface/token")),
        }
    }
    local.retain(|(name, _)| !planned.has(name));
    if local.is_empty() || scratch::plan(context, volumes, planned) {
        for (name, path) in local {
            planned.set(Cache::Model, name, path);
        }
    } else {
        planned.without_scratch = local.into_iter().map(|(name, _)| name).collect();
    }
}

/// Whether a login would put its token on the claim, for everybody, or the user's own token would be looked for there.
fn token_follows(
    volumes: &Volumes<'_>,
    planned: &ContainerPlan<'_, '_>,
    claim: &str,
    added_home: Option<&Path<'_>>,
) -> bool {
    const USUAL: &str = "/.cache/huggingface";
    match planned.directory("HF_HOME") {
        Directory::At(home) => {
            let is_on_ours = planned.cover(&home.join("token")).is_some_and(|mount| mount.is_added);
            let is_mount = |mount: &Mounted<'_>| mount.path == home && mount.is_whole(volumes, claim);
            is_on_ours || (added_home.is_some() && !home.ends_with(USUAL) && planned.mounts.iter().any(is_mount))
        }
        Directory::NotLiteral => false,
        Directory::Unset => planned.mounts.iter().any(|mount| mount.is_added && mount.path.ends_with(USUAL)),
    }
}

/// Where the user has mounted a token, as a file: the client fails on a folder, and on one that it cannot enter.
fn token_of_user(context: &PlanContext<'_>, planned: &ContainerPlan<'_, '_>) -> Option<String> {
    let mut mounts = planned.mounts.iter().filter(|mount| !mount.is_added && mount.sub_path.is_some());
    let token = mounts.find(|mount| {
        mount.path.ends_with("/huggingface/token") && context.check_enterable(planned, &mount.path).is_ok()
    });
    token.map(|mount| mount.path.as_str().to_owned())
}

fn loras_are_enabled(planned: &ContainerPlan<'_, '_>) -> bool {
    match planned.variable("DYN_LORA_ENABLED") {
        Some(Value::Literal(text)) => text == "1" || text.eq_ignore_ascii_case("true"),
        _ => false,
    }
}

/// What the user has arranged in ways that the table does not know: in scripts, by arguments, in the image.
fn check_arrangements(
    context: &PlanContext<'_>,
    volumes: &Volumes<'_>,
    planned: &ContainerPlan<'_, '_>,
) -> Result<(), Refusal> {
    let has_variables = planned.has("HF_HOME") || planned.has("HF_HUB_CACHE");
    let names = ["HF_HOME", "HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "XDG_CACHE_HOME"];
    let counts = |name: &&str| planned.assigns(name) && (*name != "XDG_CACHE_HOME" || !has_variables);
    // What is added here would win over what the script says.
    if let Some(name) = names.into_iter().find(counts) {
        let fix = format!("Remove {name} from the script to get the shared cache.");
        return Err(Refusal::with_fix(Reason::EnvSetByUser, fix));
    }
    let user_cache = |fix: &str| Err(Refusal::with_fix(Reason::UserCache, fix.to_owned()));
    let claim = &context.settings.model.claim;
    let is_on_claim = |path: &Path<'_>| planned.cover(path).is_some_and(|mount| mount.is_whole(volumes, claim));
    if let Some(text) = planned.selected.command_line.flags.download_dir {
        let is_literal = path::is_absolute(text) && !text.contains('$');
        if !is_literal || !is_on_claim(&Path::new(text)) {
            return user_cache("Remove --download-dir to get the shared cache.");
        }
    }
    let is_offline = OFFLINE.iter().any(|name| planned.is_on(name));
    let hub = match planned.directory("HF_HUB_CACHE") {
        Directory::Unset => planned.literal_directory("HF_HOME").map(|home| home.join("hub")),
        Directory::At(hub) => Some(hub),
        Directory::NotLiteral => None,
    };
    // The model is in the image as a rule, and a mount would hide it.
    if is_offline && hub.is_some_and(|hub| planned.cover(&hub).is_none()) {
        return user_cache(
            "Remove HF_HOME and HF_HUB_CACHE to get the shared cache, unless the model is in the image.",
        );
    }
    let mounted = planned.whole_mount(volumes, claim);
    let reads_a_folder = mounted.is_some_and(|mount| {
        let is_hub = ["/huggingface", "/hub", "/.cache"].iter().any(|end| mount.path.ends_with(end));
        !is_hub && (mount.read_only || context.only_reads(claim))
    });
    // A flat folder as a rule; in a home that can only be read, every other download would fail.
    if reads_a_folder && !has_variables && !is_offline && !context.settings.model.offline {
        return user_cache("Set HF_HOME or HF_HUB_CACHE to where the claim's hub is mounted, if it has one.");
    }
    Ok(())
}

/// The table: which variables the container has, and what covers the hub that they name.
fn placement(
    context: &PlanContext<'_>,
    volumes: &Volumes<'_>,
    planned: &ContainerPlan<'_, '_>,
) -> Result<Placement, Refusal> {
    check_arrangements(context, volumes, planned)?;
    let layout = context.settings.model.layout;
    let (hub_variable, home_variable) = (planned.directory("HF_HUB_CACHE"), planned.directory("HF_HOME"));
    match (hub_variable, home_variable) {
        (Directory::NotLiteral, _) | (Directory::Unset, Directory::NotLiteral) => Err(Reason::EnvNotLiteral.into()),
        (Directory::At(hub), _) => {
            let mount_at = match layout {
                Layout::Home if hub.ends_with("/hub") => Ok(hub.parent().into_owned()),
                Layout::Home => Err(Reason::EnvSetByUser),
                Layout::Hub => Ok(hub.clone()),
            };
            let mount_at = uncovered(context, volumes, planned, &hub, mount_at)?;
            Ok(Placement { mount_at, home: None, hub: None })
        }
        (Directory::Unset, _) if planned.has("HUGGINGFACE_HUB_CACHE") => Err(Reason::EnvSetByUser.into()),
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
) -> Result<Option<Path<'static>>, Refusal> {
    let claim = &context.settings.model.claim;
    match planned.cover(hub) {
        Some(mount) if mount.is_whole(volumes, claim) => {
            context.check_enterable(planned, &mount.path)?;
            Ok(None)
        }
        Some(mount) => Err(Refusal::user_cache(volumes, mount, "model-claim")),
        None if planned.whole_mount(volumes, claim).is_some() => Err(Reason::EnvSetByUser.into()),
        None => Ok(Some(mount_at?)),
    }
}

/// The same where no variable says where the cache is.
fn placement_without_variables(
    context: &PlanContext<'_>,
    volumes: &Volumes<'_>,
    planned: &ContainerPlan<'_, '_>,
) -> Result<Placement, Refusal> {
    const CACHES: [&str; 3] = ["/.cache/huggingface", "/.cache/huggingface/hub", "/.cache"];
    let settings = &context.settings.model;
    let is_ours = |mount: &Mounted<'_>| mount.is_whole(volumes, &settings.claim);
    let covered_by_another = |path: &Path<'_>| planned.cover(path).filter(|mount| !is_ours(mount));
    let xdg = planned.literal_directory("XDG_CACHE_HOME");

    let mut others = planned.mounts.iter().filter(|mount| !is_ours(mount));
    let at_a_cache = others.find(|mount| CACHES.iter().any(|end| mount.path.ends_with(end)));
    if let Some(mount) = at_a_cache.or_else(|| covered_by_another(xdg.as_ref()?)) {
        return Err(Refusal::user_cache(volumes, mount, "model-claim"));
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
    let covering = covered_by_another(&hub).or_else(|| covered_by_another(at).filter(|_| mounted.is_none()));
    if let Some(mount) = covering {
        return Err(Refusal::user_cache(volumes, mount, "model-claim"));
    }
    if let Some(mount) = planned.whole_mount(volumes, &settings.claim) {
        if !mount.read_only && !context.only_reads(&settings.claim) {
            context.check_proof(planned, Cache::Model, &settings.claim)?;
        }
        context.check_enterable(planned, &mount.path)?;
    }
    Ok(Placement { mount_at: mounted.is_none().then(|| at.clone()), home, hub: Some(hub) })
}
