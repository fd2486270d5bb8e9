//! The compile cache of one container: the contract's section 5.

use sha2::{Digest as _, Sha256};

use super::super::component::{self, Runs};
use super::super::engine::{CacheVariable, Engine};
use super::super::path::Path;
use super::super::pod::{Container, Pod};
use super::super::reason::Reason;
use super::draft::Draft;
use super::mount::{self, Wish};
use super::volumes::Volumes;
use super::{COMPILE_VOLUME, Cache, Scene};

/// What the GPU part of a key is where nothing tells the GPU.
const ANY_GPU: &str = "any";

/// Brings the compile cache in place.
///
/// # Errors
/// Why it is not; nothing was added then.
pub(super) fn plan<'p>(
    scene: &Scene<'_>,
    volumes: &mut Volumes<'p>,
    draft: &mut Draft<'p, '_>,
    model: Result<(), Reason>,
) -> Result<(), Reason> {
    let settings = &scene.settings.compile;
    let engine = match draft.chosen.engine {
        _ if scene.settings.skip.compile => return Err(Reason::SkippedByUser),
        Runs::None => return Err(Reason::SkippedByUser),
        Runs::Unknown => return Err(Reason::EngineUnknown),
        Runs::Engine(engine) => engine,
    };
    if !settings.multi_node && spans_nodes(scene.pod, draft, engine) {
        return Err(Reason::MultiNode);
    }
    let gpu = gpu(scene.pod, draft.container());
    let variables: Vec<_> = variables(scene, draft.container(), engine, &gpu).collect();
    let mounted = draft.whole_mount(volumes, &settings.claim).cloned();
    if mounted.is_none() && variables.iter().all(|variable| draft.has(variable.name)) {
        return Err(Reason::EnvSetByUser);
    }
    let shared = settings.claim == scene.settings.model.claim;
    if shared {
        model?;
    }
    let root = match mounted {
        Some(mount) => {
            if mount.read_only || scene.only_reads(&settings.claim) {
                return Err(Reason::ClaimReadOnly);
            }
            scene.user_can_enter(draft, &mount.path)?;
            mount.path.into_owned()
        }
        None => add_mount(scene, volumes, draft, engine)?,
    };
    let root = if shared { root.join("compile") } else { root };
    let directory = key(scene, draft.container(), &gpu).iter().fold(root, |above, part| above.join(part));
    for variable in variables {
        let path = match variable.below {
            "" => directory.as_str().to_owned(),
            below => directory.join(below).as_str().to_owned(),
        };
        draft.set(Cache::Compile, variable.name, path);
    }
    Ok(())
}

/// Whether ranks of the engine run on several nodes, as far as the pod tells.
fn spans_nodes(pod: &Pod<'_>, draft: &Draft<'_, '_>, engine: Engine) -> bool {
    draft.chosen.shown.spans_nodes
        || pod.label("leaderworkerset.sigs.k8s.io/name").is_some()
        || (engine == Engine::Trtllm && pod.label("grove.io/podcliquescalinggroup").is_some())
}

/// The engine's variables that make sense here.
///
/// What nothing checks on load is cached only where its key tells the image and the GPU.
fn variables(
    scene: &Scene<'_>,
    container: &Container<'_>,
    engine: Engine,
    gpu: &str,
) -> impl Iterator<Item = CacheVariable> {
    let key = scene.settings.compile.key;
    let told_apart = key.image && key.gpu && gpu != ANY_GPU && image_is_fixed(container);
    engine.compile_variables().iter().copied().filter(move |variable| told_apart || !variable.unchecked)
}

fn add_mount<'p>(
    scene: &Scene<'_>,
    volumes: &mut Volumes<'p>,
    draft: &mut Draft<'p, '_>,
    engine: Engine,
) -> Result<Path<'static>, Reason> {
    let settings = &scene.settings.compile;
    let of_engine = Path::new(engine.compile_mount_path());
    let path = settings.mount_path.clone().unwrap_or_else(|| of_engine.clone());
    if user_has_a_cache(draft, &path, of_engine.last()) {
        return Err(Reason::UserCache);
    }
    let wish = Wish {
        cache: Cache::Compile,
        volume: COMPILE_VOLUME,
        claim: &settings.claim,
        path: path.clone(),
        read_only: false,
        objection: meets_the_model_cache(scene, volumes, draft, &path).then_some(Reason::PathTaken),
    };
    mount::add(scene, volumes, draft, wish)?;
    Ok(path)
}

/// Whether a mount, none of which is the compile claim's, is where this engine looks for its cache.
fn user_has_a_cache(draft: &Draft<'_, '_>, path: &Path<'_>, engine: &str) -> bool {
    let of_engine = format!("/.cache/{engine}");
    let xdg = draft.literal_directory("XDG_CACHE_HOME");
    draft.mounts.iter().any(|mount| {
        mount.path.ends_with("/.cache")
            || mount.path.ends_with(&of_engine)
            || mount.path.covers(path)
            || xdg.as_ref().is_some_and(|xdg| mount.path.covers(xdg))
    })
}

/// Whether one cache would hide the other, or land in it.
fn meets_the_model_cache(scene: &Scene<'_>, volumes: &Volumes<'_>, draft: &Draft<'_, '_>, path: &Path<'_>) -> bool {
    let model = &scene.settings.model;
    let variables = ["HF_HOME", "HF_HUB_CACHE"];
    let mounted = draft.whole_mount(volumes, &model.claim).map(|mount| mount.path.clone().into_owned());
    let none_is_set = !variables.iter().any(|name| draft.has(name));
    let usual = mounted.or_else(|| none_is_set.then(|| model.mount_path.clone()));
    let literal = variables.iter().filter_map(|name| draft.literal_directory(name));
    let mut models = usual.into_iter().chain(literal);
    let caches = ["/.cache", "/.cache/huggingface", "/.cache/huggingface/hub"];
    models.any(|model| model.covers(path) || path.covers(&model))
        || draft.literal_directory("XDG_CACHE_HOME").is_some_and(|xdg| path.covers(&xdg))
        || caches.iter().any(|end| path.ends_with(end))
}

/// What separates this container's cache from others, as the names of directories in each other.
fn key(scene: &Scene<'_>, container: &Container<'_>, gpu: &str) -> Vec<String> {
    let key = scene.settings.compile.key;
    let image = key.image.then(|| image(container));
    let gpu = key.gpu.then(|| gpu.to_owned());
    let args = key.args.then(|| args(container));
    let name = container.name();
    let engine = component::is_numbered_engine(name).then(|| name.to_owned());
    [image, gpu, args, engine].into_iter().flatten().collect()
}

/// The digest of a pinned image reference, in hex.
fn digest<'c>(container: &'c Container<'_>) -> Option<&'c str> {
    let (_, digest) = container.image.as_deref()?.split_once('@')?;
    let (_, hex) = digest.split_once(':')?;
    (hex.len() >= 12 && hex.bytes().all(|byte| byte.is_ascii_hexdigit())).then_some(hex)
}

fn image(container: &Container<'_>) -> String {
    let reference = container.image.as_deref().unwrap_or_default();
    digest(container).map_or_else(|| short_hash([reference]), |hex| hex.chars().take(12).collect())
}

/// Whether the reference means one image for ever, as far as people keep to it: a digest, or a tag other than `latest`.
fn image_is_fixed(container: &Container<'_>) -> bool {
    let reference = container.image.as_deref().unwrap_or_default();
    let name = reference.rsplit('/').next().unwrap_or_default();
    let tag = name.split_once(':').map(|(_, tag)| tag);
    digest(container).is_some() || tag.is_some_and(|tag| !tag.is_empty() && tag != "latest")
}

fn args(container: &Container<'_>) -> String {
    short_hash(container.command_line())
}

/// The first 12 hex digits of SHA-256 over the parts, joined by one NUL.
fn short_hash<'a>(parts: impl IntoIterator<Item = &'a str>) -> String {
    let mut hash = Sha256::new();
    for (index, part) in parts.into_iter().enumerate() {
        if index > 0 {
            hash.update([0]);
        }
        hash.update(part);
    }
    let first = hash.finalize().iter().take(6).fold(0_u64, |number, byte| (number << 8) | u64::from(*byte));
    format!("{first:012x}")
}

/// The GPU that the container will run on, as far as the pod tells.
fn gpu(pod: &Pod<'_>, container: &Container<'_>) -> String {
    let Some(product) = product(pod) else { return ANY_GPU.to_owned() };
    let slice = slice(container).map(|profile| format!("-MIG-{profile}")).unwrap_or_default();
    let gpu = format!("{product}{slice}");
    if is_label_value(&gpu) { gpu } else { ANY_GPU.to_owned() }
}

fn product<'p>(pod: &'p Pod<'_>) -> Option<&'p str> {
    const LABEL: &str = "nvidia.com/gpu.product";
    let spec = pod.spec.as_ref()?;
    if let Some(product) = spec.node_selector.as_ref().and_then(|labels| labels.value(LABEL)) {
        return Some(product);
    }
    let affinity = spec.affinity.as_ref()?.node_affinity.as_ref()?.required.as_ref()?;
    let terms = affinity.node_selector_terms.as_deref().unwrap_or_default();
    let mut products = terms.iter().map(|term| {
        let mut expressions = term.match_expressions.iter().flatten();
        expressions.find_map(|expression| {
            let names = expression.key.as_deref() == Some(LABEL) && expression.operator.as_deref() == Some("In");
            match expression.values.as_deref() {
                Some([value]) if names => Some(&**value),
                _ => None,
            }
        })
    });
    let first = products.next()??;
    products.all(|product| product == Some(first)).then_some(first)
}

/// The alphabetically first MIG profile that the container asks for.
fn slice<'c>(container: &'c Container<'_>) -> Option<&'c str> {
    let resources = container.resources.as_ref()?;
    let names = resources.limits.iter().chain(&resources.requests).flat_map(|resources| &resources.0);
    names.filter_map(|(name, _)| name.strip_prefix("nvidia.com/mig-")).min()
}

/// What Kubernetes accepts as a label's value, which is also a safe name of a directory.
fn is_label_value(text: &str) -> bool {
    let ends = |byte: Option<u8>| byte.is_some_and(|byte| byte.is_ascii_alphanumeric());
    text.len() <= 63
        && ends(text.bytes().next())
        && ends(text.bytes().last())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'))
}
