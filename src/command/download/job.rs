//! The Job that fills the model claim, and the claims, as objects.

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::admission::settings::Layout;
use crate::cli::Download;
use crate::command::object;

/// What installs the client, in a container of its own.
const INSTALL: &str = include_str!("client.sh");

/// The packages of the client, for the Python of the Job's image, each with its hashes; .ci/client writes them.
const REQUIREMENTS: &str = include_str!("requirements.txt");

/// What downloads, in the container that has the token and the model claim.
const SCRIPT: &str = include_str!("fill.sh");

/// Most characters in a Job's name: it becomes the value of a label of its pods.
const LONGEST_NAME: usize = 63;

/// The Secret that is taken where it is there, by the name that Dynamo's recipes use.
pub(super) const TOKEN_SECRET: &str = "hf-token-secret";

/// What is known of where the Job runs.
pub(super) struct Room {
    /// The namespace to write into the objects; none: that of whoever applies them.
    pub(super) namespace: Option<String>,
    /// The model claim.
    pub(super) model_claim: String,
    /// The compile claim, where it is mounted too.
    pub(super) compile_claim: Option<String>,
    /// What the model claim's root is.
    pub(super) layout: Layout,
}

/// The Job's name: the one that was asked for, or `download-` and the model's own, in the letters that a name may have.
pub(super) fn name(options: &Download) -> String {
    options.name.clone().unwrap_or_else(|| name_of(&options.model))
}

fn name_of(model: &str) -> String {
    let own = model.rsplit('/').next().unwrap_or_default().to_ascii_lowercase();
    let own: String = own.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
    let name = format!("download-{}", own.trim_matches('-'));
    if name.len() <= LONGEST_NAME {
        return name;
    }
    let digest = Sha256::digest(model.as_bytes());
    let [a, b, c, d, ..] = digest.0;
    let digest = format!("{:08x}", u32::from_be_bytes([a, b, c, d]));
    let begin: String = name.chars().take(LONGEST_NAME - digest.len() - 1).collect();
    format!("{}-{digest}", begin.trim_end_matches('-'))
}

/// The Job. Its first container installs the client, without the token; its second downloads. It mounts the claims by
/// itself, and is no Dynamo component; the end of its log is the error where it fails.
pub(super) fn job(options: &Download, room: &Room) -> Value {
    let volume = |name: &str, claim: &str| json!({"name": name, "persistentVolumeClaim": {"claimName": claim}});
    let mount = |name: &str| json!({"name": name, "mountPath": format!("/{name}")});
    let mut volumes = vec![volume("model-cache", &room.model_claim)];
    let mut to_install = vec![mount("client"), mount("tmp")];
    let to_download =
        [mount("model-cache"), json!({"name": "client", "mountPath": "/client", "readOnly": true}), mount("tmp")];
    if let Some(claim) = &room.compile_claim {
        // Nothing is written there. It is mounted so that its root, too, is opened to the group; not where the download
        // runs, which a link on the model claim could lead there.
        volumes.push(volume("compilation-cache", claim));
        to_install.insert(0, mount("compilation-cache"));
    }
    volumes.extend(["client", "tmp"].map(|name| json!({"name": name, "emptyDir": {}})));
    let mut args = vec![json!(SCRIPT)];
    let patterns = [("--include", &options.include), ("--exclude", &options.exclude)];
    let patterns = patterns.into_iter().flat_map(|(option, globs)| globs.iter().flat_map(move |glob| [option, glob]));
    let patterns: Vec<_> = patterns.map(Value::from).collect();
    if !patterns.is_empty() {
        // bash takes the first for its own name.
        args.push(json!("download"));
        args.extend(patterns);
    }
    let mut security = json!({"runAsNonRoot": true});
    if let Some(user) = options.user.0 {
        security["runAsUser"] = user.into();
        security["runAsGroup"] = 0.into();
    }
    if let Some(group) = options.fs_group.0 {
        security["fsGroup"] = group.into();
        security["fsGroupChangePolicy"] = "OnRootMismatch".into();
    }
    security["seccompProfile"] = json!({"type": "RuntimeDefault"});
    let mut job = object::of(include_str!("job.json"));
    job["metadata"] = metadata(&name(options), room);
    let pod = &mut job["spec"]["template"]["spec"];
    pod["securityContext"] = security;
    pod["volumes"] = volumes.into();
    let container = &mut pod["initContainers"][0];
    container["image"] = options.image.as_str().into();
    container["args"] = json!([INSTALL.replace("@REQUIREMENTS@\n", REQUIREMENTS)]);
    container["volumeMounts"] = to_install.into();
    let container = &mut pod["containers"][0];
    container["image"] = options.image.as_str().into();
    container["env"] = environment(options, room.layout).into();
    container["args"] = args.into();
    container["volumeMounts"] = Value::from(to_download.as_slice());
    job
}

fn environment(options: &Download, layout: Layout) -> Vec<Value> {
    let hub = match layout {
        Layout::Home => "/model-cache/hub",
        Layout::Hub => "/model-cache",
    };
    let secret = options.token_secret.as_deref();
    let token = json!({"name": secret.unwrap_or(TOKEN_SECRET), "key": "HF_TOKEN", "optional": secret.is_none()});
    let mut variables = vec![
        json!({"name": "MODEL", "value": options.model}),
        json!({"name": "REVISION", "value": options.revision}),
        json!({"name": "HF_HUB_CACHE", "value": hub}),
        json!({"name": "HF_XET_HIGH_PERFORMANCE", "value": "1"}),
        // Nobody is there to take the client's advice, which it would ask another server for.
        json!({"name": "HF_HUB_DISABLE_UPDATE_CHECK", "value": "1"}),
        json!({"name": "HOME", "value": "/tmp"}),
    ];
    variables.extend(options.endpoint.iter().map(|endpoint| json!({"name": "HF_ENDPOINT", "value": endpoint})));
    variables.push(json!({"name": "HF_TOKEN", "valueFrom": {"secretKeyRef": token}}));
    variables
}

/// A claim that pods on all nodes share.
pub(super) fn claim(name: &str, size: &str, storage_class: Option<&str>, room: &Room) -> Value {
    let mut spec = json!({"accessModes": ["ReadWriteMany"]});
    if let Some(class) = storage_class {
        spec["storageClassName"] = class.into();
    }
    spec["resources"] = json!({"requests": {"storage": size}});
    json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": metadata(name, room), "spec": spec})
}

fn metadata(name: &str, room: &Room) -> Value {
    let mut metadata = json!({"name": name});
    if let Some(namespace) = &room.namespace {
        metadata["namespace"] = namespace.as_str().into();
    }
    metadata
}

#[cfg(test)]
mod tests {
    use super::name_of;

    #[test]
    fn a_job_is_called_after_its_model_and_fits_a_label() {
        assert_eq!(name_of("Qwen/Qwen3-0.6B"), "download-qwen3-0-6b");
        assert_eq!(name_of("model_"), "download-model");
        let (long, other) = (name_of(&format!("a/{}", "x".repeat(90))), name_of(&format!("a/{}", "x".repeat(91))));
        assert!(long.len() <= 63 && long != other, "{long} {other}");
    }
}
