//! The compile cache of one container: the contract's section 5.

use sha2::{Digest as _, Sha256};

use super::super::annotation::GPU_PRODUCT;
use super::super::classification::{self, DetectedEngine};
use super::super::engine::{CacheVariable, Engine};
use super::super::path::Path;
use super::super::pod::{Container, MIG_PREFIX, Pod};
use super::super::reason::Reason;
use super::container::ContainerPlan;
use super::mount::{self, MountRequest};
use super::volumes::Volumes;
use super::{COMPILE_VOLUME, Cache, PlanContext};

/// The GPU part of a key where the pod does not name a GPU.
const ANY_GPU: &str = "any";

/// Plans the compile cache.
///
/// # Errors
/// Why it is not; nothing was added then.
pub(super) fn plan<'p>(
    context: &PlanContext<'_>,
    volumes: &mut Volumes<'p>,
    planned: &mut ContainerPlan<'p, '_>,
    model: Result<(), Reason>,
) -> Result<(), Reason> {
    let settings = &context.settings.compile;
    let engine = match planned.selected.engine {
        _ if context.settings.skip.compile => return Err(Reason::SkippedByUser),
        DetectedEngine::None => return Err(Reason::SkippedByUser),
        DetectedEngine::Unknown => return Err(Reason::EngineUnknown),
        DetectedEngine::Engine(engine) => engine,
    };
    if !settings.multi_node && spans_nodes(context.pod, planned, engine) {
        return Err(Reason::MultiNode);
    }
    let gpu = gpu_key(context.pod, planned.container());
    let variables: Vec<_> = variables(context, planned.container(), engine, &gpu).collect();
    let mounted = planned.whole_mount(volumes, &settings.claim).cloned();
    if mounted.is_none() && variables.iter().all(|variable| planned.has(variable.name)) {
        return Err(Reason::EnvSetByUser);
    }
    let shared = settings.claim == context.settings.model.claim;
    if shared {
        if mounted.is_none() {
            context.check_user_namespace()?;
        }
        model?;
    }
    let root = match mounted {
        Some(mount) => {
            if mount.read_only || context.only_reads(&settings.claim) {
                return Err(Reason::ClaimReadOnly);
            }
            context.check_enterable(planned, &mount.path)?;
            mount.path.into_owned()
        }
        None => add_mount(context, volumes, planned, engine)?,
    };
    let root = if shared { root.join("compile") } else { root };
    let directory = key(context, planned.container(), &gpu).iter().fold(root, |above, part| above.join(part));
    for variable in variables {
        let path = match variable.below {
            "" => directory.as_str().to_owned(),
            below => directory.join(below).as_str().to_owned(),
        };
        planned.set(Cache::Compile, variable.name, path);
    }
    Ok(())
}

/// Whether ranks of the engine run on several nodes, as far as the pod shows.
fn spans_nodes(pod: &Pod<'_>, planned: &ContainerPlan<'_, '_>, engine: Engine) -> bool {
    planned.selected.command_line.spans_nodes
        || pod.label("leaderworkerset.sigs.k8s.io/name").is_some()
        || (engine == Engine::Trtllm && pod.label("grove.io/podcliquescalinggroup").is_some())
}

/// The engine's variables that make sense here.
///
/// What nothing checks on load is cached only where the key has the image and the GPU.
fn variables(
    context: &PlanContext<'_>,
    container: &Container<'_>,
    engine: Engine,
    gpu: &str,
) -> impl Iterator<Item = CacheVariable> {
    let key = context.settings.compile.key;
    let is_distinct = key.image && key.gpu && gpu != ANY_GPU && image_is_fixed(container);
    engine.compile_variables().iter().copied().filter(move |variable| is_distinct || !variable.unchecked)
}

fn add_mount<'p>(
    context: &PlanContext<'_>,
    volumes: &mut Volumes<'p>,
    planned: &mut ContainerPlan<'p, '_>,
    engine: Engine,
) -> Result<Path<'static>, Reason> {
    let settings = &context.settings.compile;
    let of_engine = Path::new(engine.compile_mount_path());
    let path = settings.mount_path.clone().unwrap_or_else(|| of_engine.clone());
    if user_has_a_cache(planned, &path, of_engine.last()) {
        return Err(Reason::UserCache);
    }
    let request = MountRequest {
        cache: Cache::Compile,
        volume: COMPILE_VOLUME,
        claim: &settings.claim,
        path: path.clone(),
        read_only: false,
        objection: overlaps_model_cache(context, volumes, planned, &path).then_some(Reason::PathTaken),
    };
    mount::add(context, volumes, planned, request)?;
    Ok(path)
}

/// Whether a mount, none of which is the compile claim's, is where this engine looks for its cache.
fn user_has_a_cache(planned: &ContainerPlan<'_, '_>, path: &Path<'_>, engine: &str) -> bool {
    let of_engine = format!("/.cache/{engine}");
    let xdg = planned.literal_directory("XDG_CACHE_HOME");
    planned.mounts.iter().any(|mount| {
        mount.path.ends_with("/.cache")
            || mount.path.ends_with(&of_engine)
            || mount.path.covers(path)
            || xdg.as_ref().is_some_and(|xdg| mount.path.covers(xdg))
    })
}

/// Whether one cache would hide the other, or land in it.
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
    let mut models = usual.into_iter().chain(literal);
    let caches = ["/.cache", "/.cache/huggingface", "/.cache/huggingface/hub"];
    models.any(|model| model.covers(path) || path.covers(&model))
        || planned.literal_directory("XDG_CACHE_HOME").is_some_and(|xdg| path.covers(&xdg))
        || caches.iter().any(|end| path.ends_with(end))
}

/// What separates this container's cache from others, as the names of directories in each other.
fn key(context: &PlanContext<'_>, container: &Container<'_>, gpu: &str) -> Vec<String> {
    let key = context.settings.compile.key;
    let image = key.image.then(|| image(container));
    let gpu = key.gpu.then(|| gpu.to_owned());
    let args = key.args.then(|| args(container));
    let name = container.name();
    let engine = classification::is_numbered_engine(name).then(|| name.to_owned());
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

/// The GPU that the container will run on, as far as the pod shows.
fn gpu_key(pod: &Pod<'_>, container: &Container<'_>) -> String {
    let Some(product) = gpu_product(pod) else { return ANY_GPU.to_owned() };
    let slice = mig_slice(container).map(|profile| format!("-MIG-{profile}")).unwrap_or_default();
    let gpu = format!("{product}{slice}");
    if is_label_value(&gpu) { gpu } else { ANY_GPU.to_owned() }
}

fn gpu_product<'p>(pod: &'p Pod<'_>) -> Option<&'p str> {
    let spec = pod.spec.as_ref()?;
    if let Some(product) = spec.node_selector.as_ref().and_then(|labels| labels.value(GPU_PRODUCT)) {
        return Some(product);
    }
    let affinity = spec.affinity.as_ref()?.node_affinity.as_ref()?.required.as_ref()?;
    let terms = affinity.node_selector_terms.as_deref().unwrap_or_default();
    let mut products = terms.iter().map(|term| {
        let mut expressions = term.match_expressions.iter().flatten();
        expressions.find_map(|expression| {
            let names = expression.key.as_deref() == Some(GPU_PRODUCT) && expression.operator.as_deref() == Some("In");
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
fn mig_slice<'c>(container: &'c Container<'_>) -> Option<&'c str> {
    let resources = container.resources.as_ref()?;
    let names = resources.limits.iter().chain(&resources.requests).flat_map(|resources| &resources.0);
    names.filter_map(|(name, _)| name.strip_prefix(MIG_PREFIX)).min()
}

/// What Kubernetes accepts as a label's value, which is also a safe name of a directory.
fn is_label_value(text: &str) -> bool {
    let ends = |byte: Option<u8>| byte.is_some_and(|byte| byte.is_ascii_alphanumeric());
    text.len() <= 63
        && ends(text.bytes().next())
        && ends(text.bytes().last())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'))
}
