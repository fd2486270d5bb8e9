//! The settings that apply to a pod: built-in default, file, namespace annotation, pod annotation; the later wins.

use std::borrow::Cow;

use super::path::{self, Path};
use super::pod::Strings;
use super::reason::Reason;
use super::told::Warning;

/// What every annotation of ours begins with.
pub const PREFIX: &str = "dynamo-cache.io/";

/// Our own annotation on a pod: what was done.
pub const STATUS: &str = "dynamo-cache.io/status";

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
    /// The group to set on pods that have none.
    pub fs_group: Option<i64>,
    /// The caches that the user left out.
    pub skip: Skip,
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
}

/// Settings of the compile cache.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CompileCache {
    /// Name of the claim.
    pub claim: String,
    /// Where its root is mounted; none: the engine's own place.
    pub mount_path: Option<Path<'static>>,
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
    /// Load weights through Model Express.
    pub load_format: Option<LoadFormat>,
}

/// What the model claim's root is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// `HF_HOME`; the hub is `hub/` in it.
    Home,
    /// The hub itself.
    Hub,
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
    /// Use it all the same.
    Inject,
    /// Leave the cache out.
    Skip,
}

/// Caches to leave out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Skip {
    /// The model cache.
    pub model: bool,
    /// The compile cache.
    pub compile: bool,
    /// The Model Express address.
    pub express: bool,
}

/// How an engine loads weights through Model Express.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LoadFormat {
    /// `modelexpress`
    Modelexpress,
    /// `mx`, its alias.
    Mx,
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
            },
            compile: CompileCache {
                claim: "compilation-cache".to_owned(),
                mount_path: None,
                key: Key { image: true, gpu: true, args: true },
                multi_node: false,
            },
            express: ModelExpress {
                url: None,
                shared_storage: true,
                home: Path::new("/home/dynamo"),
                load_format: None,
            },
            missing_claim: Policy::Skip,
            single_node_claim: Policy::Skip,
            fs_group: None,
            skip: Skip::default(),
        }
    }
}

impl LoadFormat {
    /// The word that the engine's flag takes.
    pub fn word(self) -> &'static str {
        match self {
            LoadFormat::Modelexpress => "modelexpress",
            LoadFormat::Mx => "mx",
        }
    }

    /// Reads a format.
    ///
    /// # Errors
    /// `load-format-removed` with the format that took its place, or `load-format-invalid` with none.
    pub fn read(text: &str) -> Result<LoadFormat, (Reason, Option<LoadFormat>)> {
        match text {
            "modelexpress" => Ok(LoadFormat::Modelexpress),
            "mx" => Ok(LoadFormat::Mx),
            // Removed in Model Express 0.3, with the roles that they named.
            "mx-source" | "mx-target" => Err((Reason::LoadFormatRemoved, Some(LoadFormat::Modelexpress))),
            _ => Err((Reason::LoadFormatInvalid, None)),
        }
    }
}

/// How one setting is named, what it takes and where it goes.
#[derive(Debug)]
pub struct Setting {
    /// The annotation's name after the prefix; none: in a file only.
    pub annotation: Option<&'static str>,
    /// The key in a file, with a dot between levels; none: as an annotation only.
    pub key: Option<&'static str>,
    /// What the value is.
    pub takes: Takes,
    /// The built-in default as it would be written; empty: none.
    pub default: &'static str,
    /// What it means, in a line.
    pub meaning: &'static str,
    /// Reads the trimmed text of a value.
    apply: fn(&mut Settings, &str) -> Result<(), Reason>,
}

/// What a setting takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Takes {
    /// `true` or `false`.
    Bool,
    /// The name of a claim.
    Claim,
    /// `host:port` or `http://host:port`, or `none`.
    HostPort,
    /// Some of these words with commas between.
    List(&'static [&'static str]),
    /// A path that hides nothing.
    MountPath,
    /// A group id.
    Number,
    /// One of these words.
    OneOf(&'static [&'static str]),
    /// Any absolute path.
    Path,
}

impl Takes {
    /// The same in words: `<value> is not …`.
    pub fn words(self) -> String {
        match self {
            Takes::Bool => "true or false".to_owned(),
            Takes::Claim => "the name of a claim".to_owned(),
            Takes::HostPort => "host:port, http://host:port or none".to_owned(),
            Takes::List(words) => format!("a list of {}", words.join(", ")),
            Takes::MountPath => "an absolute path that hides no system files".to_owned(),
            Takes::Number => "a group id".to_owned(),
            Takes::OneOf(words) => format!("one of {}", words.join(", ")),
            Takes::Path => "an absolute path".to_owned(),
        }
    }
}

/// Every setting, in the order of the README's table.
pub const ALL: &[Setting] = &[
    Setting {
        annotation: Some("model-claim"),
        key: Some("modelCache.claim"),
        takes: Takes::Claim,
        default: "model-cache",
        meaning: "PersistentVolumeClaim of the model cache, in the pod's namespace",
        apply: |settings, text| claim(text).map(|claim| settings.model.claim = claim),
    },
    Setting {
        annotation: Some("model-mount-path"),
        key: Some("modelCache.mountPath"),
        takes: Takes::MountPath,
        default: "/home/dynamo/.cache/huggingface",
        meaning: "where the claim's root is mounted",
        apply: |settings, text| mount_path(text).map(|path| settings.model.mount_path = path),
    },
    Setting {
        annotation: Some("model-layout"),
        key: Some("modelCache.layout"),
        takes: Takes::OneOf(&["home", "hub"]),
        default: "home",
        meaning: "home: the claim's root is HF_HOME, the hub is hub/ in it; hub: the root is the hub itself",
        apply: |settings, text| {
            settings.model.layout = match text {
                "home" => Layout::Home,
                "hub" => Layout::Hub,
                _ => return Err(Reason::AnnotationInvalid),
            };
            Ok(())
        },
    },
    Setting {
        annotation: Some("model-read-only"),
        key: Some("modelCache.readOnly"),
        takes: Takes::Bool,
        default: "false",
        meaning: "mount the model cache read-only",
        apply: |settings, text| boolean(text).map(|value| settings.model.read_only = value),
    },
    Setting {
        annotation: Some("model-offline"),
        key: Some("modelCache.offline"),
        takes: Takes::Bool,
        default: "false",
        meaning: "set HF_HUB_OFFLINE=1: Hugging Face clients stay off the network",
        apply: |settings, text| boolean(text).map(|value| settings.model.offline = value),
    },
    Setting {
        annotation: Some("compile-claim"),
        key: Some("compileCache.claim"),
        takes: Takes::Claim,
        default: "compilation-cache",
        meaning: "PersistentVolumeClaim of the compile cache; may be the model cache's",
        apply: |settings, text| claim(text).map(|claim| settings.compile.claim = claim),
    },
    Setting {
        annotation: Some("compile-mount-path"),
        key: Some("compileCache.mountPath"),
        takes: Takes::MountPath,
        default: "",
        meaning: "where its root is mounted; unset: the engine's own, such as /home/dynamo/.cache/vllm",
        apply: |settings, text| mount_path(text).map(|path| settings.compile.mount_path = Some(path)),
    },
    Setting {
        annotation: Some("compile-key"),
        key: Some("compileCache.key"),
        takes: Takes::List(&["image", "gpu", "args", "none"]),
        default: "image,gpu,args",
        meaning: "what separates one compile cache from another; none: one shared directory",
        apply: |settings, text| key(text).map(|key| settings.compile.key = key),
    },
    Setting {
        annotation: Some("compile-multi-node"),
        key: Some("compileCache.multiNode"),
        takes: Takes::Bool,
        default: "false",
        meaning: "a compile cache for engines that span nodes too",
        apply: |settings, text| boolean(text).map(|value| settings.compile.multi_node = value),
    },
    Setting {
        annotation: Some("model-express-url"),
        key: Some("modelExpress.url"),
        takes: Takes::HostPort,
        default: "",
        meaning: "address of the Model Express server; unset: none is injected",
        apply: |settings, text| {
            settings.express.url = if text == "none" { None } else { Some(address(text)?) };
            Ok(())
        },
    },
    Setting {
        annotation: Some("model-express-shared-storage"),
        key: Some("modelExpress.sharedStorage"),
        takes: Takes::Bool,
        default: "true",
        meaning: "false: the server's disk is not the model claim, weights are streamed",
        apply: |settings, text| boolean(text).map(|value| settings.express.shared_storage = value),
    },
    Setting {
        annotation: Some("model-express-home"),
        key: Some("modelExpress.home"),
        takes: Takes::Path,
        default: "/home/dynamo",
        meaning: "home of the engine's user, where the client streams to; the container's HOME wins",
        apply: |settings, text| absolute(text).map(|path| settings.express.home = path),
    },
    Setting {
        annotation: Some("load-format"),
        key: Some("modelExpress.loadFormat"),
        takes: Takes::OneOf(&["modelexpress", "mx", "none"]),
        default: "",
        meaning: "load weights through Model Express; unset or none: the engine's own way",
        apply: |settings, text| {
            let (format, told) = match text {
                "none" => (None, Ok(())),
                _ => match LoadFormat::read(text) {
                    Ok(format) => (Some(format), Ok(())),
                    Err((Reason::LoadFormatRemoved, format)) => (format, Err(Reason::LoadFormatRemoved)),
                    Err((reason, _)) => return Err(reason),
                },
            };
            settings.express.load_format = format;
            told
        },
    },
    Setting {
        annotation: Some("missing-claim"),
        key: Some("missingClaim"),
        takes: Takes::OneOf(&["skip", "inject"]),
        default: "skip",
        meaning: "what happens when the claim is not in the namespace",
        apply: |settings, text| policy(text).map(|policy| settings.missing_claim = policy),
    },
    Setting {
        annotation: Some("single-node-claim"),
        key: Some("singleNodeClaim"),
        takes: Takes::OneOf(&["skip", "inject"]),
        default: "skip",
        meaning: "what happens when the claim is ReadWriteOnce",
        apply: |settings, text| policy(text).map(|policy| settings.single_node_claim = policy),
    },
    Setting {
        annotation: None,
        key: Some("fsGroup"),
        takes: Takes::Number,
        default: "",
        meaning: "group to set, with fsGroupChangePolicy OnRootMismatch, on pods that have neither",
        apply: |settings, text| match text.parse() {
            Ok(group @ 0..=MAX_GROUP) => {
                settings.fs_group = Some(group);
                Ok(())
            }
            _ => Err(Reason::AnnotationInvalid),
        },
    },
    Setting {
        annotation: Some("skip"),
        key: None,
        takes: Takes::List(&["model", "compile", "model-express"]),
        default: "",
        meaning: "caches to leave out",
        apply: |settings, text| skip(text).map(|skip| settings.skip = skip),
    },
];

/// Annotations that only a pod can have: they speak of its own containers.
pub const POD_ONLY: [&str; 4] = ["containers", "engine", "inject", "status"];

/// The largest group id that the API server accepts.
pub const MAX_GROUP: i64 = 2_147_483_647;

impl Setting {
    /// Reads the trimmed text of a value into the settings.
    ///
    /// # Errors
    /// `annotation-invalid` or `load-format-invalid`: nothing was changed. `load-format-removed`: it was.
    pub fn apply(&self, settings: &mut Settings, text: &str) -> Result<(), Reason> {
        (self.apply)(settings, text)
    }
}

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

fn apply(settings: &mut Cow<'_, Settings>, short: &str, value: &str, warnings: &mut Vec<Warning>) {
    let text = value.trim();
    let Some(setting) = ALL.iter().find(|setting| setting.annotation == Some(short)) else {
        warnings.push(Warning::annotation_unknown(short, nearest(short)));
        return;
    };
    if let Err(reason) = setting.apply(settings.to_mut(), text) {
        warnings.push(Warning::setting(reason, short, text, &setting.takes.words()));
    }
}

/// The known annotation that is most like this one.
fn nearest(short: &str) -> &'static str {
    // Annotation names are at most 63 characters after the prefix, so this is bounded.
    let known = ALL.iter().filter_map(|setting| setting.annotation).chain(POD_ONLY);
    known
        .filter(|name| *name != "status")
        .min_by_key(|name| strsim::damerau_levenshtein(short, name))
        .unwrap_or_default()
}

fn boolean(text: &str) -> Result<bool, Reason> {
    text.parse().map_err(|_| Reason::AnnotationInvalid)
}

fn policy(text: &str) -> Result<Policy, Reason> {
    match text {
        "inject" => Ok(Policy::Inject),
        "skip" => Ok(Policy::Skip),
        _ => Err(Reason::AnnotationInvalid),
    }
}

/// A DNS subdomain, as Kubernetes wants the names of claims.
fn claim(text: &str) -> Result<String, Reason> {
    let valid = text.len() <= 253 && text.split('.').all(is_dns_label);
    if valid { Ok(text.to_owned()) } else { Err(Reason::AnnotationInvalid) }
}

fn is_dns_label(text: &str) -> bool {
    let alphanumeric = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    text.len() <= 63
        && text.bytes().next().is_some_and(alphanumeric)
        && text.bytes().last().is_some_and(alphanumeric)
        && text.bytes().all(|byte| alphanumeric(byte) || byte == b'-')
}

fn absolute(text: &str) -> Result<Path<'static>, Reason> {
    let valid = path::is_absolute(text) && !text.contains([':', '$']) && !text.contains(char::is_control);
    if valid { Ok(Path::new(text).into_owned()) } else { Err(Reason::AnnotationInvalid) }
}

fn mount_path(text: &str) -> Result<Path<'static>, Reason> {
    absolute(text).and_then(|path| if path.hides_system_files() { Err(Reason::AnnotationInvalid) } else { Ok(path) })
}

fn key(text: &str) -> Result<Key, Reason> {
    let mut key = Key { image: false, gpu: false, args: false };
    if text != "none" {
        for part in text.split(',') {
            match part.trim() {
                "image" => key.image = true,
                "gpu" => key.gpu = true,
                "args" => key.args = true,
                _ => return Err(Reason::AnnotationInvalid),
            }
        }
    }
    Ok(key)
}

fn skip(text: &str) -> Result<Skip, Reason> {
    let mut skip = Skip::default();
    if !text.is_empty() {
        for part in text.split(',') {
            match part.trim() {
                "model" => skip.model = true,
                "compile" => skip.compile = true,
                "model-express" => skip.express = true,
                _ => return Err(Reason::AnnotationInvalid),
            }
        }
    }
    Ok(skip)
}

/// `host:port` or `http://host:port` as `http://host:port`, the one form that every client of Model Express reads alike.
fn address(text: &str) -> Result<String, Reason> {
    let rest = text.strip_prefix("http://").unwrap_or(text);
    let (host, port) = rest.rsplit_once(':').ok_or(Reason::AnnotationInvalid)?;
    let port_is_valid =
        port.bytes().all(|byte| byte.is_ascii_digit()) && port.parse::<u16>().is_ok_and(|port| port > 0);
    let address_in_brackets = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    let host_is_valid = match address_in_brackets {
        Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
        None => host.len() <= 253 && host.to_ascii_lowercase().trim_end_matches('.').split('.').all(is_dns_label),
    };
    if port_is_valid && host_is_valid { Ok(format!("http://{host}:{port}")) } else { Err(Reason::AnnotationInvalid) }
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use super::super::pod::{Entries, Text};
    use super::{ALL, PREFIX, Settings, resolve};

    fn applied(annotation: &str, text: &str) -> Result<Settings, &'static str> {
        let mut settings = Settings::default();
        let setting = ALL.iter().find(|setting| setting.annotation == Some(annotation)).ok_or("no such setting")?;
        setting.apply(&mut settings, text).map(|()| settings).map_err(super::Reason::code)
    }

    #[test]
    fn each_default_as_written_is_the_built_in_one() {
        for setting in ALL.iter().filter(|setting| !setting.default.is_empty()) {
            let mut settings = Settings::default();
            assert_eq!(setting.apply(&mut settings, setting.default), Ok(()), "{setting:?}");
            assert_eq!(settings, Settings::default(), "{setting:?}");
        }
    }

    #[test]
    fn an_address_is_a_host_and_a_port() {
        for (text, address) in [
            ("mx:8001", Ok("http://mx:8001")),
            ("http://mx.models.svc:8001", Ok("http://mx.models.svc:8001")),
            ("10.0.0.1:8001", Ok("http://10.0.0.1:8001")),
            ("[fd00::1]:8001", Ok("http://[fd00::1]:8001")),
            ("https://mx:8001", Err("annotation-invalid")),
            ("http://mx:8001/", Err("annotation-invalid")),
            ("http://mx", Err("annotation-invalid")),
            ("mx:0", Err("annotation-invalid")),
            ("mx:+1", Err("annotation-invalid")),
            ("user@mx:1", Err("annotation-invalid")),
            ("$(HOST):1", Err("annotation-invalid")),
            ("", Err("annotation-invalid")),
        ] {
            let url = applied("model-express-url", text).map(|settings| settings.express.url.unwrap_or_default());
            assert_eq!(url.as_deref().map_err(|code| *code), address, "{text:?}");
        }
    }

    #[test]
    fn values_that_do_not_parse_change_nothing() {
        for (annotation, text) in [
            ("model-claim", "Model_Cache"),
            ("model-claim", ""),
            ("model-mount-path", "relative"),
            ("model-mount-path", "/a/../b"),
            ("model-mount-path", "/etc/x"),
            ("model-mount-path", "/lib64"),
            ("model-mount-path", "/a:b"),
            ("model-mount-path", "/a$b"),
            ("model-layout", "Home"),
            ("model-read-only", "True"),
            ("compile-key", "image,,gpu"),
            ("compile-key", "none,gpu"),
            ("compile-key", ""),
            ("missing-claim", "fail"),
            ("skip", "models"),
        ] {
            assert_eq!(applied(annotation, text), Err("annotation-invalid"), "{annotation}: {text:?}");
        }
        assert_eq!(applied("load-format", "auto"), Err("load-format-invalid"));
        assert!(applied("skip", "").is_ok());
    }

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
