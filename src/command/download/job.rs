//! Builds the Job that fills the model claim, and the claims.

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::admission::settings::Layout;
use crate::cli::Download;
use crate::manifest::input::embedded_json;

/// The script that installs the client, in an init container.
const INSTALL: &str = include_str!("client.sh");

/// The client's packages with their hashes, for the Python of the default image. `.ci/client` generates the file.
const REQUIREMENTS: &str = include_str!("requirements.txt");

/// The script that downloads, in the container that has the token and the model claim.
const SCRIPT: &str = include_str!("fill.sh");

/// The longest name of a Job, in characters: the name becomes a label value on its pods.
const LONGEST_NAME: usize = 63;

/// The Secret that is used if it exists. Dynamo's recipes use the same name.
pub(super) const TOKEN_SECRET: &str = "hf-token-secret";

/// The namespace and claims of the Job.
pub(super) struct JobTarget {
    /// The namespace of the objects; `None` leaves it to the command that applies them.
    pub(super) namespace: Option<String>,
    /// The model claim.
    pub(super) model_claim: String,
    /// The compile claim, if it is mounted too.
    pub(super) compile_claim: Option<String>,
    /// The layout of the model claim.
    pub(super) layout: Layout,
}

/// The Job's name: the one from `--name`, else `download-` and the last part of the model's name in valid characters.
pub(super) fn name(options: &Download) -> String {
    options.name.clone().unwrap_or_else(|| default_name(&options.model))
}

fn default_name(model: &str) -> String {
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

/// Builds the Job. Its init container installs the client without the token; its main container downloads. The Job mounts the
/// claims itself and is not a Dynamo component. If it fails, the end of its log is the error.
pub(super) fn job(options: &Download, target: &JobTarget) -> Value {
    let volume = |name: &str, claim: &str| json!({"name": name, "persistentVolumeClaim": {"claimName": claim}});
    let mount = |name: &str| json!({"name": name, "mountPath": format!("/{name}")});
    let mut volumes = vec![volume("model-cache", &target.model_claim)];
    let mut to_install = vec![mount("client"), mount("tmp")];
    let to_download =
        [mount("model-cache"), json!({"name": "client", "mountPath": "/client", "readOnly": true}), mount("tmp")];
    if let Some(claim) = &target.compile_claim {
        // Nothing is written to the compile claim. It is mounted so that its root is opened to the group too, and only in
        // the init container: in the main container, a link on the model claim could lead the download there.
        volumes.push(volume("compilation-cache", claim));
        to_install.insert(0, mount("compilation-cache"));
    }
    volumes.extend(["client", "tmp"].map(|name| json!({"name": name, "emptyDir": {}})));
    let mut args = vec![json!(SCRIPT)];
    let patterns = [("--include", &options.include), ("--exclude", &options.exclude)];
    let patterns = patterns.into_iter().flat_map(|(option, globs)| globs.iter().flat_map(move |glob| [option, glob]));
    let patterns: Vec<_> = patterns.map(Value::from).collect();
    if !patterns.is_empty() {
        // bash takes the first argument as its own name.
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
    let mut job = embedded_json(include_str!("job.json"));
    job["metadata"] = metadata(&name(options), target);
    let pod = &mut job["spec"]["template"]["spec"];
    pod["securityContext"] = security;
    pod["volumes"] = volumes.into();
    let container = &mut pod["initContainers"][0];
    container["image"] = options.image.as_str().into();
    container["args"] = json!([INSTALL.replace("@REQUIREMENTS@\n", REQUIREMENTS)]);
    container["volumeMounts"] = to_install.into();
    let container = &mut pod["containers"][0];
    container["image"] = options.image.as_str().into();
    container["env"] = environment(options, target.layout).into();
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
        // The client would contact another server to check for updates, which no one could install here.
        json!({"name": "HF_HUB_DISABLE_UPDATE_CHECK", "value": "1"}),
        json!({"name": "HOME", "value": "/tmp"}),
    ];
    variables.extend(options.endpoint.iter().map(|endpoint| json!({"name": "HF_ENDPOINT", "value": endpoint})));
    variables.push(json!({"name": "HF_TOKEN", "valueFrom": {"secretKeyRef": token}}));
    variables
}

/// Builds a ReadWriteMany claim.
pub(super) fn claim(name: &str, size: &str, storage_class: Option<&str>, target: &JobTarget) -> Value {
    let mut spec = json!({"accessModes": ["ReadWriteMany"]});
    if let Some(class) = storage_class {
        spec["storageClassName"] = class.into();
    }
    spec["resources"] = json!({"requests": {"storage": size}});
    json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": metadata(name, target), "spec": spec})
}

fn metadata(name: &str, target: &JobTarget) -> Value {
    let mut metadata = json!({"name": name});
    if let Some(namespace) = &target.namespace {
        metadata["namespace"] = namespace.as_str().into();
    }
    metadata
}

#[cfg(test)]
mod tests {
    use super::default_name;

    #[test]
    fn a_job_is_named_after_its_model_and_the_name_fits_a_label() {
        assert_eq!(default_name("Qwen/Qwen3-0.6B"), "download-qwen3-0-6b");
        assert_eq!(default_name("model_"), "download-model");
        let (long, other) =
            (default_name(&format!("a/{}", "x".repeat(90))), default_name(&format!("a/{}", "x".repeat(91))));
        assert!(long.len() <= 63 && long != other, "{long} {other}");
    }
}
