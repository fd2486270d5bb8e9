//! The table of settings, one entry each: names, what it takes, where it goes.

use std::sync::Arc;

use super::super::reason::Reason;
use super::staging::Resource;
use super::value::{absolute, address, amount, boolean, claim, endpoint, image, key, mount_path, policy, skip};
use super::{Layout, LoadFormat, Mode, Settings};

/// How one setting is named, what it takes and where it goes.
#[derive(Debug)]
pub struct Setting {
    /// The annotation's name after the prefix; none: in a file only.
    pub annotation: Option<&'static str>,
    /// The key in a file, with a dot between levels; none: as an annotation only.
    pub key: Option<&'static str>,
    /// What the value is.
    pub takes: ValueType,
    /// The built-in default as it would be written; empty: none.
    pub default: &'static str,
    /// What it means, in a line.
    pub meaning: &'static str,
    /// Reads the trimmed text of a value.
    apply: fn(&mut Settings, &str) -> Result<(), Reason>,
}

/// What a setting takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ValueType {
    /// An amount of a resource, as Kubernetes writes it.
    Amount(Resource),
    /// `true` or `false`.
    Bool,
    /// The name of a claim.
    Claim,
    /// `http://…` or `https://…`, or `none`.
    Endpoint,
    /// `host:port` or `http://host:port`, or `none`.
    HostPort,
    /// The reference of an image.
    Image,
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

impl ValueType {
    /// What a value has to be, after `<value> is not`.
    pub fn describe(self) -> String {
        match self {
            ValueType::Amount(Resource::Cpu) => "an amount of processors of at least 10m, such as 100m or 1".to_owned(),
            ValueType::Amount(Resource::Memory) => "an amount of memory of at least 32Mi, such as 64Mi".to_owned(),
            ValueType::Bool => "true or false".to_owned(),
            ValueType::Claim => "the name of a claim".to_owned(),
            ValueType::Endpoint => "http://host, https://host, with a port and a path where needed, or none".to_owned(),
            ValueType::HostPort => "host:port, http://host:port or none".to_owned(),
            ValueType::Image => "the reference of an image".to_owned(),
            ValueType::List(words) => format!("a list of {}", words.join(", ")),
            ValueType::MountPath => "an absolute path outside of system folders".to_owned(),
            ValueType::Number => "a group id".to_owned(),
            ValueType::OneOf(words) => format!("one of {}", words.join(", ")),
            ValueType::Path => "an absolute path".to_owned(),
        }
    }
}

/// Every setting, in the order of the README's table.
pub const ALL: &[Setting] = &[
    Setting {
        annotation: Some("model-claim"),
        key: Some("modelCache.claim"),
        takes: ValueType::Claim,
        default: "model-cache",
        meaning: "PersistentVolumeClaim of the model cache, in the pod's namespace",
        apply: |settings, text| claim(text).map(|claim| settings.model.claim = claim),
    },
    Setting {
        annotation: Some("model-mount-path"),
        key: Some("modelCache.mountPath"),
        takes: ValueType::MountPath,
        default: "/home/dynamo/.cache/huggingface",
        meaning: "where the claim's root is mounted",
        apply: |settings, text| mount_path(text).map(|path| settings.model.mount_path = path),
    },
    Setting {
        annotation: Some("model-layout"),
        key: Some("modelCache.layout"),
        takes: ValueType::OneOf(&["home", "hub"]),
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
        takes: ValueType::Bool,
        default: "false",
        meaning: "mount the model cache read-only",
        apply: |settings, text| boolean(text).map(|value| settings.model.read_only = value),
    },
    Setting {
        annotation: Some("model-offline"),
        key: Some("modelCache.offline"),
        takes: ValueType::Bool,
        default: "false",
        meaning: "set HF_HUB_OFFLINE=1: Hugging Face clients stay off the network",
        apply: |settings, text| boolean(text).map(|value| settings.model.offline = value),
    },
    Setting {
        annotation: Some("model-endpoint"),
        key: Some("modelCache.endpoint"),
        takes: ValueType::Endpoint,
        default: "",
        meaning: "HF_ENDPOINT: a mirror of the hub inside the cluster; unset or none: the hub itself",
        apply: |settings, text| {
            settings.model.endpoint = if text == "none" { None } else { Some(endpoint(text)?) };
            Ok(())
        },
    },
    Setting {
        annotation: Some("compile-claim"),
        key: Some("compileCache.claim"),
        takes: ValueType::Claim,
        default: "compilation-cache",
        meaning: "PersistentVolumeClaim of the compile cache; may be the model cache's",
        apply: |settings, text| claim(text).map(|claim| settings.compile.claim = claim),
    },
    Setting {
        annotation: Some("compile-mode"),
        key: Some("compileCache.mode"),
        takes: ValueType::OneOf(&["direct", "staged"]),
        default: "direct",
        meaning: "direct: the claim is mounted into the engine's container; staged: the engine works on local disk, and a sidecar restores and publishes it",
        apply: |settings, text| {
            settings.compile.mode = match text {
                "direct" => Mode::Direct,
                "staged" => Mode::Staged,
                _ => return Err(Reason::AnnotationInvalid),
            };
            Ok(())
        },
    },
    Setting {
        annotation: Some("compile-mount-path"),
        key: Some("compileCache.mountPath"),
        takes: ValueType::MountPath,
        default: "/home/dynamo/.cache/dynamo-cache",
        meaning: "where its root is mounted, or the local disk in mode staged; never where an engine looks by itself, such as ~/.cache/vllm",
        apply: |settings, text| mount_path(text).map(|path| settings.compile.mount_path = path),
    },
    Setting {
        annotation: Some("compile-key"),
        key: Some("compileCache.key"),
        takes: ValueType::List(&["image", "gpu", "args", "none"]),
        default: "image,gpu,args",
        meaning: "what separates one compile cache from another; none: one directory for each user",
        apply: |settings, text| key(text).map(|key| settings.compile.key = key),
    },
    Setting {
        annotation: Some("compile-multi-node"),
        key: Some("compileCache.multiNode"),
        takes: ValueType::Bool,
        default: "false",
        meaning: "a compile cache for engines that span nodes too",
        apply: |settings, text| boolean(text).map(|value| settings.compile.multi_node = value),
    },
    Setting {
        annotation: None,
        key: Some("staging.image"),
        takes: ValueType::Image,
        default: "",
        meaning: "mode staged: the image that has the program dynamo-cache; unset: the one of this release",
        apply: |settings, text| image(text).map(|image| Arc::make_mut(&mut settings.staging).image = Some(image)),
    },
    Setting {
        annotation: None,
        key: Some("staging.resources.requests.cpu"),
        takes: ValueType::Amount(Resource::Cpu),
        default: "100m",
        meaning: "mode staged: the processors that the sidecar requests",
        apply: |settings, text| {
            amount(Resource::Cpu, text)
                .map(|amount| Arc::make_mut(&mut settings.staging).resources.requests.cpu = amount)
        },
    },
    Setting {
        annotation: None,
        key: Some("staging.resources.requests.memory"),
        takes: ValueType::Amount(Resource::Memory),
        default: "64Mi",
        meaning: "mode staged: the memory that the sidecar requests",
        apply: |settings, text| {
            amount(Resource::Memory, text)
                .map(|amount| Arc::make_mut(&mut settings.staging).resources.requests.memory = amount)
        },
    },
    Setting {
        annotation: None,
        key: Some("staging.resources.limits.cpu"),
        takes: ValueType::Amount(Resource::Cpu),
        default: "1",
        meaning: "mode staged: the most processors that the sidecar may use",
        apply: |settings, text| {
            amount(Resource::Cpu, text).map(|amount| Arc::make_mut(&mut settings.staging).resources.limits.cpu = amount)
        },
    },
    Setting {
        annotation: None,
        key: Some("staging.resources.limits.memory"),
        takes: ValueType::Amount(Resource::Memory),
        default: "256Mi",
        meaning: "mode staged: the most memory that the sidecar may use",
        apply: |settings, text| {
            amount(Resource::Memory, text)
                .map(|amount| Arc::make_mut(&mut settings.staging).resources.limits.memory = amount)
        },
    },
    Setting {
        annotation: Some("model-express-url"),
        key: Some("modelExpress.url"),
        takes: ValueType::HostPort,
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
        takes: ValueType::Bool,
        default: "true",
        meaning: "false: the server's disk is not the model claim, weights are streamed",
        apply: |settings, text| boolean(text).map(|value| settings.express.shared_storage = value),
    },
    Setting {
        annotation: Some("model-express-home"),
        key: Some("modelExpress.home"),
        takes: ValueType::Path,
        default: "/home/dynamo",
        meaning: "home of the engine's user, where the client streams to; the container's HOME wins",
        apply: |settings, text| absolute(text).map(|path| settings.express.home = path),
    },
    Setting {
        annotation: Some("load-format"),
        key: Some("loadFormat"),
        takes: ValueType::OneOf(&["modelexpress", "mx", "runai_streamer", "fastsafetensors", "none"]),
        default: "",
        meaning: "load weights through Model Express, or by a faster loader from the claim; unset or none: the engine's own way",
        apply: |settings, text| {
            let (format, result) = match text {
                "none" => (None, Ok(())),
                _ => match LoadFormat::read(text) {
                    Ok(format) => (Some(format), Ok(())),
                    Err((Reason::LoadFormatRemoved, format)) => (format, Err(Reason::LoadFormatRemoved)),
                    Err((reason, _)) => return Err(reason),
                },
            };
            settings.load_format = format;
            result
        },
    },
    Setting {
        annotation: Some("missing-claim"),
        key: Some("missingClaim"),
        takes: ValueType::OneOf(&["skip", "inject"]),
        default: "skip",
        meaning: "what happens when the claim is not in the namespace, or waits for a volume that does not come",
        apply: |settings, text| policy(text).map(|policy| settings.missing_claim = policy),
    },
    Setting {
        annotation: Some("single-node-claim"),
        key: Some("singleNodeClaim"),
        takes: ValueType::OneOf(&["skip", "inject"]),
        default: "skip",
        meaning: "what happens when the claim is ReadWriteOnce",
        apply: |settings, text| policy(text).map(|policy| settings.single_node_claim = policy),
    },
    Setting {
        annotation: Some("unproven-claim"),
        key: Some("unprovenClaim"),
        takes: ValueType::OneOf(&["skip", "inject"]),
        default: "skip",
        meaning: "what happens when the claim is not known to be writable for the pod's user",
        apply: |settings, text| policy(text).map(|policy| settings.unproven_claim = policy),
    },
    Setting {
        annotation: Some("user-namespace"),
        key: Some("userNamespace"),
        takes: ValueType::OneOf(&["skip", "inject"]),
        default: "skip",
        meaning: "what happens to a pod with hostUsers: false, whose claims most network file systems cannot mount",
        apply: |settings, text| policy(text).map(|policy| settings.user_namespace = policy),
    },
    Setting {
        annotation: None,
        key: Some("fsGroup"),
        takes: ValueType::Number,
        default: "",
        meaning: "group to set, with fsGroupChangePolicy OnRootMismatch, on pods that have neither, and no claim of their own",
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
        takes: ValueType::List(&["model", "compile", "model-express"]),
        default: "",
        meaning: "caches to skip",
        apply: |settings, text| skip(text).map(|skip| settings.skip = skip),
    },
];

/// Annotations that only a pod can have: they speak of its own containers.
pub(super) const POD_ONLY: [&str; 4] = ["containers", "engine", "inject", "status"];

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
