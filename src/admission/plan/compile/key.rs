//! What separates this container's compile cache from others, as the name of a folder.
//!
//! One folder below the root of a claim that an engine writes to, with nothing between: engines make folders that no other user may
//! write to, so a second user below a parent that the first one made would fail.

use sha2::{Digest as _, Sha256};

use super::super::super::classification;
use super::super::super::pod::Container;
use super::super::super::settings::COMPILE_PATH;
use super::super::PlanContext;
use super::super::container::ContainerPlan;
use super::super::volumes::Volumes;
use super::{arguments, gpu};

/// Before the other parts where the compile cache shares the claim of the models.
const SHARED: &str = "compile";

/// The hex digits of an image and of a command line.
const DIGITS: usize = 12;

/// The name where nothing separates the archives.
const ALL: &str = "all";

/// The longest GPU part that is written out. All parts together fit the name of a file, 255 bytes.
const LONGEST_GPU: usize = 100;

/// The folder's name on a claim that the engine writes to, empty where nothing separates the caches.
pub(super) fn name(context: &PlanContext<'_>, volumes: &Volumes<'_>, planned: &ContainerPlan<'_, '_>) -> String {
    let container = planned.container();
    // Who runs an image that says so itself follows from the image.
    let by_image =
        || (!context.settings.compile.key.image && container.image.is_some()).then(|| planned.user_of_image());
    let user = context.user(planned).or_else(by_image).map(|user| format!("u{user}"));
    let name = container.name();
    let engine = classification::is_numbered_engine(name).then(|| name.to_owned());
    let shared = context.shares_one_claim().then(|| SHARED.to_owned());
    let [image, gpu, args] = parts(context, volumes, planned);
    joined([shared, image, gpu, args, user, engine])
}

/// The folder's name for an engine on local disk. Its archive is for every user, and for these paths alone: what is compiled has
/// absolute paths in it.
pub(super) fn name_staged(
    context: &PlanContext<'_>,
    volumes: &Volumes<'_>,
    planned: &ContainerPlan<'_, '_>,
    own_places: &[String],
) -> String {
    let path = context.settings.compile.mount_path.as_str();
    let moved = (path != COMPILE_PATH).then_some(path);
    let mut places = moved.into_iter().chain(own_places.iter().map(String::as_str)).peekable();
    let places = places.peek().is_some().then(|| {
        let mut hash = Hash::default();
        places.for_each(|place| hash.add(&[place]));
        format!("p{}", hash.short())
    });
    let [image, gpu, args] = parts(context, volumes, planned);
    let name = joined([image, gpu, args, places]);
    if name.is_empty() { ALL.to_owned() } else { name }
}

/// Whether a name is one that [`name`] makes with all parts of the key, which no other program's folder has. With fewer parts it
/// could be anything.
pub(in super::super) fn is_whole_name(name: &str) -> bool {
    let without_number = |name: &str, prefix: &str| match name.rsplit_once(prefix) {
        Some((rest, digits)) if !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()) => {
            rest.to_owned()
        }
        _ => name.to_owned(),
    };
    let name = without_number(&without_number(name, "-engine-"), "-u");
    let name = name.strip_prefix(SHARED).and_then(|rest| rest.strip_prefix('-')).unwrap_or(&name);
    let is_hash = |part: &str| part.len() == DIGITS && part.bytes().all(|byte| byte.is_ascii_hexdigit());
    let (Some((image, rest)), Some((_, args))) = (name.split_once('-'), name.rsplit_once('-')) else { return false };
    let gpu = rest.strip_suffix(args).and_then(|rest| rest.strip_suffix('-')).unwrap_or_default();
    is_hash(image) && is_hash(args) && !gpu.is_empty() && gpu.len() <= LONGEST_GPU && gpu::is_part(gpu)
}

/// Whether the key says for which GPU and which image a cache is.
pub(super) fn is_certain(context: &PlanContext<'_>, planned: &ContainerPlan<'_, '_>) -> bool {
    let key = context.settings.compile.key;
    let reference = planned.container().image.as_deref().unwrap_or_default();
    let last = reference.rsplit('/').next().unwrap_or_default();
    let tag = last.split_once(':').map(|(_, tag)| tag);
    let is_fixed = digest(reference).is_some() || tag.is_some_and(|tag| !tag.is_empty() && tag != "latest");
    key.image && key.gpu && is_fixed && gpu::is_known(context.pod)
}

/// The parts that the settings name: image, GPU and arguments.
fn parts(context: &PlanContext<'_>, volumes: &Volumes<'_>, planned: &ContainerPlan<'_, '_>) -> [Option<String>; 3] {
    let key = context.settings.compile.key;
    let container = planned.container();
    let gpu = || {
        let gpu = gpu::name(context.pod, container);
        if gpu.len() > LONGEST_GPU { short_hash(&gpu) } else { gpu }
    };
    let args = || {
        let mut hash = Hash::default();
        arguments::each_part(volumes, planned, &mut |pieces| hash.add(pieces));
        hash.short()
    };
    [key.image.then(|| image(container)), key.gpu.then(gpu), key.args.then(args)]
}

fn joined<const N: usize>(parts: [Option<String>; N]) -> String {
    parts.into_iter().flatten().collect::<Vec<_>>().join("-")
}

fn image(container: &Container<'_>) -> String {
    let reference = container.image.as_deref().unwrap_or_default();
    digest(reference).map_or_else(|| short_hash(reference), |hex| hex.chars().take(DIGITS).collect())
}

/// The digest of a pinned image reference, in hex.
fn digest(reference: &str) -> Option<&str> {
    let (_, digest) = reference.split_once('@')?;
    let (_, hex) = digest.split_once(':')?;
    (hex.len() >= DIGITS && hex.bytes().all(|byte| byte.is_ascii_hexdigit())).then_some(hex)
}

/// SHA-256 over parts, joined by one NUL.
#[derive(Default)]
struct Hash {
    hasher: Sha256,
    has_some: bool,
}

impl Hash {
    fn add(&mut self, pieces: &[&str]) {
        if std::mem::replace(&mut self.has_some, true) {
            self.hasher.update([0]);
        }
        for piece in pieces {
            self.hasher.update(piece);
        }
    }

    /// The first 12 hex digits.
    fn short(self) -> String {
        let first = self.hasher.finalize().iter().take(6).fold(0_u64, |number, byte| (number << 8) | u64::from(*byte));
        format!("{first:012x}")
    }
}

fn short_hash(text: &str) -> String {
    let mut hash = Hash::default();
    hash.add(&[text]);
    hash.short()
}

#[cfg(test)]
mod tests {
    use super::is_whole_name;

    #[test]
    fn the_folders_that_the_key_names_are_known_and_no_other() {
        for name in [
            "0123456789ab-any-ba9876543210",
            "0123456789ab-NVIDIA-H100-80GB-HBM3-MIG-1g.10gb-arm64-ba9876543210-u1000",
            "compile-0123456789ab-NVIDIA_L4-ba9876543210-u0-engine-12",
            "0123456789AB-0123456789ab-ba9876543210",
        ] {
            assert!(is_whole_name(name), "{name}");
        }
        for name in [
            "",
            "hub",
            "lost+found",
            "models--Qwen--Qwen3-0.6B",
            "0123456789ab",
            "0123456789ab-ba9876543210",
            "0123456789ab--ba9876543210",
            "0123456789ab-any-ba987654321",
            "0123456789abc-any-ba9876543210",
            "0123456789ab-a/b-ba9876543210",
            "0123456789ab-any-ba9876543210-u",
            "0123456789ab-any-ba9876543210-old",
            ".0123456789ab-any-ba9876543210",
            "x-0123456789ab-any-ba9876543210",
            "0123456789ab-é-ba9876543210",
        ] {
            assert!(!is_whole_name(name), "{name}");
        }
    }
}
