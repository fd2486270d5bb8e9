//! The settings that apply to a pod: built-in default, file, namespace annotation, pod annotation; the later wins.

use std::borrow::Cow;
use std::sync::Arc;

use super::annotation::PREFIX;
use super::path::Path;
use super::pod::{Pod, Strings};
use super::reason::Reason;
use super::warning::Warning;

mod origin;
mod staging;
mod table;
mod value;

pub use origin::{Level, Origin, origins};
pub use staging::{Amounts, RELEASE_IMAGE, Resource, Staging};
pub use table::{ALL, MAX_GROUP, Setting, ValueType};

use table::POD_ONLY;

/// The built-in path of the compile cache, the same in every pod: what is compiled has absolute paths in it.
pub const COMPILE_PATH: &str = "/home/dynamo/.cache/dynamo-cache";

/// All settings of one pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The model cache.
    pub model: ModelCache,
    /// The compile cache.
    pub compile: CompileCache,
    /// Model Express.
    pub express: ModelExpress,
    /// Whether a claim that is not in the namespace is used.
    pub missing_claim: Policy,
    /// Whether a `ReadWriteOnce` claim is used.
    pub single_node_claim: Policy,
    /// Whether a claim is used that is not known to be writable for the pod's user.
    pub unproven_claim: Policy,
    /// Whether claims are added to a pod with a user namespace of its own.
    pub user_namespace: Policy,
    /// How engines load weights; none: their own way.
    pub load_format: Option<LoadFormat>,
    /// The group to set on pods that have none.
    pub fs_group: Option<i64>,
    /// The caches that the user asks to skip.
    pub skip: Skip,
    /// The containers of mode `staged`; shared, because an annotation copies all settings.
    pub staging: Arc<Staging>,
}

/// Settings of the model cache.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelCache {
    /// Name of the claim.
    pub claim: String,
    /// Where its root is mounted.
    pub mount_path: Path<'static>,
    /// What its root is.
    pub layout: Layout,
    /// Whether it is mounted read-only.
    pub read_only: bool,
    /// Whether Hugging Face clients stay off the network.
    pub offline: bool,
    /// The address of a mirror of the hub.
    pub endpoint: Option<String>,
}

/// Settings of the compile cache.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CompileCache {
    /// Name of the claim.
    pub claim: String,
    /// Where the engine works.
    pub mode: Mode,
    /// Where the claim's root is mounted, or the local disk in mode `staged`.
    pub mount_path: Path<'static>,
    /// What separates one cache from another.
    pub key: Key,
    /// Whether engines that span nodes get one too.
    pub multi_node: bool,
}

/// Settings of Model Express.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelExpress {
    /// The server's address as `http://host:port`.
    pub url: Option<String>,
    /// Whether the server's disk is the model claim.
    pub shared_storage: bool,
    /// Home of the engine's user.
    pub home: Path<'static>,
}

/// What the model claim's root is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// `HF_HOME`; the hub is `hub/` in it.
    Home,
    /// The hub itself.
    Hub,
}

/// Where an engine works that has a compile cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// On the claim, which is mounted into its container.
    Direct,
    /// On local disk: a container of ours restores it from the claim, and publishes it there.
    Staged,
}

/// The parts of the compile cache's key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Key {
    /// The image.
    pub image: bool,
    /// The GPU product.
    pub gpu: bool,
    /// The command line.
    pub args: bool,
}

/// What happens where a claim is doubtful.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Policy {
    /// Use it anyway.
    Inject,
    /// Skip the cache.
    Skip,
}

/// Caches to skip.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Skip {
    /// The model cache.
    pub model: bool,
    /// The compile cache.
    pub compile: bool,
    /// The Model Express address.
    pub express: bool,
}

/// How an engine loads weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LoadFormat {
    /// `fastsafetensors`: from the claim, in parallel.
    Fastsafetensors,
    /// `modelexpress`: through Model Express.
    Modelexpress,
    /// `mx`, its alias.
    Mx,
    /// `runai_streamer`: from the claim, in parallel.
    RunaiStreamer,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            model: ModelCache {
                claim: "model-cache".to_owned(),
                mount_path: Path::new("/home/dynamo/.cache/huggingface"),
                layout: Layout::Home,
                read_only: false,
                offline: false,
                endpoint: None,
            },
            compile: CompileCache {
                claim: "compilation-cache".to_owned(),
                mode: Mode::Direct,
                mount_path: Path::new(COMPILE_PATH),
                key: Key { image: true, gpu: true, args: true },
                multi_node: false,
            },
            express: ModelExpress { url: None, shared_storage: true, home: Path::new("/home/dynamo") },
            missing_claim: Policy::Skip,
            single_node_claim: Policy::Skip,
            unproven_claim: Policy::Skip,
            user_namespace: Policy::Skip,
            load_format: None,
            fs_group: None,
            skip: Skip::default(),
            staging: Arc::default(),
        }
    }
}

impl LoadFormat {
    /// The word that the engine's flag takes.
    pub fn word(self) -> &'static str {
        match self {
            LoadFormat::Fastsafetensors => "fastsafetensors",
            LoadFormat::Modelexpress => "modelexpress",
            LoadFormat::Mx => "mx",
            LoadFormat::RunaiStreamer => "runai_streamer",
        }
    }

    /// Whether weights come through Model Express, rather than from the model cache.
    pub fn asks_model_express(self) -> bool {
        matches!(self, LoadFormat::Modelexpress | LoadFormat::Mx)
    }

    /// Reads a format.
    ///
    /// # Errors
    /// `load-format-removed` with the format that took its place, or `load-format-invalid` with none.
    pub fn read(text: &str) -> Result<LoadFormat, (Reason, Option<LoadFormat>)> {
        match text {
            "fastsafetensors" => Ok(LoadFormat::Fastsafetensors),
            "modelexpress" => Ok(LoadFormat::Modelexpress),
            "mx" => Ok(LoadFormat::Mx),
            "runai_streamer" => Ok(LoadFormat::RunaiStreamer),
            // Removed in Model Express 0.3, with the roles that they named.
            "mx-source" | "mx-target" => Err((Reason::LoadFormatRemoved, Some(LoadFormat::Modelexpress))),
            _ => Err((Reason::LoadFormatInvalid, None)),
        }
    }
}

/// Most warnings about annotations that no setting has; further ones are not looked up.
const MOST_LOOKED_UP: usize = 32;

/// What applies to a pod in a namespace, and the warnings about annotations of ours on either.
///
/// The namespace's come first, each in the order received.
pub fn resolve<'s>(
    defaults: &'s Settings,
    namespace: &[(String, String)],
    pod: Option<&Strings<'_>>,
) -> (Cow<'s, Settings>, Vec<Warning>) {
    let mut settings = Cow::Borrowed(defaults);
    let mut warnings = Vec::new();
    for (name, value) in namespace {
        let Some(short) = name.strip_prefix(PREFIX) else { continue };
        if POD_ONLY.contains(&short) {
            warnings.push(Warning::annotation_ignored(name));
        } else {
            apply(&mut settings, short, value, &mut warnings);
        }
    }
    for (name, value) in pod.into_iter().flat_map(|annotations| &annotations.0) {
        let Some(short) = name.strip_prefix(PREFIX) else { continue };
        if !POD_ONLY.contains(&short) {
            apply(&mut settings, short, value, &mut warnings);
        }
    }
    (settings, warnings)
}

/// Warnings about labels of the pod that were meant as annotations.
pub fn warn_of_labels(pod: &Pod<'_>) -> impl Iterator<Item = Warning> {
    let labels = pod.metadata.as_ref().and_then(|metadata| metadata.labels.as_ref());
    let labels = labels.into_iter().flat_map(|labels| &labels.0);
    labels.filter_map(|(name, _)| name.strip_prefix(PREFIX)).take(MOST_LOOKED_UP).map(Warning::label_ignored)
}

fn apply(settings: &mut Cow<'_, Settings>, short: &str, value: &str, warnings: &mut Vec<Warning>) {
    let text = value.trim();
    let Some(setting) = ALL.iter().find(|setting| setting.annotation == Some(short)) else {
        // Looking for the nearest name takes time, and the API server has not checked names yet.
        if warnings.len() < MOST_LOOKED_UP {
            warnings.push(Warning::annotation_unknown(short, nearest(short)));
        }
        return;
    };
    if let Err(reason) = setting.apply(settings.to_mut(), text) {
        warnings.push(Warning::setting(reason, short, text, &setting.takes.describe()));
    }
}

/// The known annotation that is most like this one.
fn nearest(short: &str) -> &'static str {
    // A valid name has at most 63 characters after the prefix; what is longer is not compared to its end.
    let short: String = short.chars().take(63).collect();
    let known = ALL.iter().filter_map(|setting| setting.annotation).chain(POD_ONLY);
    known
        .filter(|name| *name != "status")
        .min_by_key(|name| strsim::damerau_levenshtein(&short, name))
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use super::super::pod::{Entries, Text};
    use super::{PREFIX, Settings, resolve};

    #[test]
    fn the_pod_wins_over_its_namespace_and_what_does_not_parse_over_nothing() {
        let namespace = [
            (format!("{PREFIX}model-claim"), "of-the-namespace".to_owned()),
            (format!("{PREFIX}model-layout"), " hub ".to_owned()),
            (format!("{PREFIX}engine"), "vllm".to_owned()),
        ];
        let annotation =
            |name: &str, value: &'static str| (Text(Cow::Owned(format!("{PREFIX}{name}"))), Text(Cow::Borrowed(value)));
        let pod = Entries(vec![
            annotation("model-claim", "of-the-pod"),
            annotation("model-layout", "flat"),
            annotation("model-clam", "x"),
        ]);
        let defaults = Settings::default();
        let (settings, warnings) = resolve(&defaults, &namespace, Some(&pod));
        assert_eq!(settings.model.claim, "of-the-pod");
        assert_eq!(settings.model.layout, super::Layout::Hub);
        let codes: Vec<_> = warnings.iter().map(|warning| warning.reason.code()).collect();
        assert_eq!(codes, ["annotation-ignored", "annotation-invalid", "annotation-unknown"]);
        assert!(warnings[2].text.contains("model-claim"), "{}", warnings[2].text);
    }
}
