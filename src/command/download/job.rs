//! Builds the Job that fills the model claim, and the claims.

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::admission::settings::Layout;
use crate::cli::Download;
use crate::command::download::wanted::Wanted;
use crate::inspect::download_job::{COMPILE_VOLUME, Hub, MODEL_VOLUME, hub_path};
use crate::manifest::input::embedded_json;

/// The script of the init container, which installs the client.
const CLIENT: &str = include_str!("client.sh");

/// The lines by which this script and that of `prune` install it.
const INSTALL_LINES: &str = include_str!("install.sh");

/// The client's packages with their hashes, for the Python of the default image. `.ci/client` generates the file.
const REQUIREMENTS: &str = include_str!("requirements.txt");

/// The functions with which both scripts prove that a claim is writable.
const PROVE: &str = include_str!("prove.sh");

/// The script that downloads, in the container that has the token and the model claim.
const SCRIPT: &str = include_str!("fill.sh");

/// The program that downloads, which the script runs.
const FILL: &str = include_str!("fill.py");

/// The digits of a commit in the name of its Job, as in the ref that keeps it from `hf cache prune`.
const SHORT_COMMIT: usize = 12;

/// Memory and processors of a download. The client keeps some hundred MiB of parts in memory for each file that it fetches, and fetches
/// eight at once.
const USUAL: (&str, &str) = ("8Gi", "2");

/// The same with `HF_XET_HIGH_PERFORMANCE`, for which the client wants 64 GB.
const FAST: (&str, &str) = ("64Gi", "8");

/// The variable by which a Job knows that another revision is `main`.
const LEAVE_MAIN: &str = "LEAVE_MAIN";

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
    /// Whether the compile cache is on the model claim too.
    pub(super) shares_claim: bool,
    /// The layout of the model claim.
    pub(super) layout: Layout,
}

impl JobTarget {
    /// Where the model is to be.
    pub(super) fn hub(&self) -> Hub<'_> {
        Hub { claim: &self.model_claim, layout: self.layout }
    }
}

/// The Job's name: the one from `--name`, else one of the model, the revision, and a digest of what the Job does. The same download
/// has the same name, so that it is not repeated when it is applied again, and another has another.
pub(super) fn name(options: &Download, wanted: &Wanted, target: &JobTarget) -> String {
    options.name.clone().unwrap_or_else(|| default_name(wanted, target.hub()))
}

fn default_name(wanted: &Wanted, hub: Hub<'_>) -> String {
    let own = wanted.model.rsplit('/').next().unwrap_or_default();
    let revision = if wanted.is_commit() { &wanted.revision[..SHORT_COMMIT] } else { wanted.revision.as_str() };
    let mut whole = vec![wanted.model.as_str(), &wanted.revision, hub.claim];
    // What is usual makes no difference, so that the names stay that Jobs have.
    whole.extend((hub.layout != Layout::Home).then(|| hub_path(hub.layout)));
    whole.extend(wanted.leaves_main.then_some(LEAVE_MAIN));
    whole.extend(wanted.patterns());
    let whole = whole.join("\n");
    let [a, b, c, d, ..] = Sha256::digest(whole.as_bytes()).0;
    let digest = format!("{:08x}", u32::from_be_bytes([a, b, c, d]));
    let begin = format!("download-{}-{}", label_of(own), label_of(revision));
    let begin: String = begin.chars().take(LONGEST_NAME - digest.len() - 1).collect();
    format!("{}-{digest}", begin.trim_end_matches('-'))
}

/// Text in the characters of a name.
fn label_of(text: &str) -> String {
    let text = text.to_ascii_lowercase();
    let text: String = text.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
    text.trim_matches('-').to_owned()
}

/// Builds the Job. Its init container installs the client without the token; its main container downloads. The Job mounts the
/// claims itself and is not a Dynamo component. If it fails, the end of its log is the error.
pub(super) fn job(options: &Download, wanted: &Wanted, target: &JobTarget) -> Value {
    let volume = |name: &str, claim: &str| json!({"name": name, "persistentVolumeClaim": {"claimName": claim}});
    let mount = |name: &str| json!({"name": name, "mountPath": format!("/{name}")});
    let mut volumes = vec![volume(MODEL_VOLUME, &target.model_claim)];
    let mut to_install = vec![mount("client"), mount("tmp")];
    let to_download =
        [mount(MODEL_VOLUME), json!({"name": "client", "mountPath": "/client", "readOnly": true}), mount("tmp")];
    if let Some(claim) = &target.compile_claim {
        // Nothing stays on the compile claim. It is mounted so that its root is opened to the group too, and is proven to be
        // writable, and only in the init container: in the main container, a link on the model claim could lead the download
        // there.
        volumes.push(volume(COMPILE_VOLUME, claim));
        to_install.insert(0, mount(COMPILE_VOLUME));
    }
    volumes.extend(["client", "tmp"].map(|name| json!({"name": name, "emptyDir": {}})));
    let mut args = vec![json!(SCRIPT.replace("@PROVE@\n", PROVE).replace("@FILL@\n", FILL))];
    let patterns = wanted.patterns();
    if !patterns.is_empty() {
        // bash takes the first argument as its own name.
        args.push(json!("download"));
        args.extend(patterns.into_iter().map(Value::from));
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
    job["metadata"] = metadata(&name(options, wanted, target), target);
    let pod = &mut job["spec"]["template"]["spec"];
    pod["securityContext"] = security;
    pod["volumes"] = volumes.into();
    let container = &mut pod["initContainers"][0];
    container["image"] = options.image.as_str().into();
    let script = CLIENT.replace("@PROVE@\n", PROVE).replace("@INSTALL@\n", INSTALL_LINES);
    container["args"] = json!([script.replace("@REQUIREMENTS@\n", REQUIREMENTS)]);
    container["volumeMounts"] = to_install.into();
    let container = &mut pod["containers"][0];
    container["image"] = options.image.as_str().into();
    container["env"] = environment(options, wanted, target).into();
    container["args"] = args.into();
    container["resources"] = resources(options);
    container["volumeMounts"] = Value::from(to_download.as_slice());
    job
}

/// What the container that downloads asks for. The limits are for quotas that demand them, and so that no other pod of the node is
/// evicted for it.
fn resources(options: &Download) -> Value {
    let (usual_memory, usual_cpu) = if options.fast { FAST } else { USUAL };
    let memory = options.memory.as_deref().unwrap_or(usual_memory);
    let cpu = options.cpu.as_deref().unwrap_or(usual_cpu);
    json!({"requests": {"cpu": cpu, "memory": memory}, "limits": {"cpu": cpu, "memory": memory}})
}

fn environment(options: &Download, wanted: &Wanted, target: &JobTarget) -> Vec<Value> {
    let secret = options.token_secret.as_deref();
    let token = json!({"name": secret.unwrap_or(TOKEN_SECRET), "key": "HF_TOKEN", "optional": secret.is_none()});
    let mut variables = vec![
        json!({"name": "MODEL", "value": wanted.model}),
        json!({"name": "REVISION", "value": wanted.revision}),
        json!({"name": "HF_HUB_CACHE", "value": hub_path(target.layout)}),
        json!({"name": "RETRY_FOR", "value": options.retry_for.as_secs().to_string()}),
        // The client would contact another server to check for updates, which no one could install here.
        json!({"name": "HF_HUB_DISABLE_UPDATE_CHECK", "value": "1"}),
        json!({"name": "HOME", "value": "/tmp"}),
    ];
    if wanted.leaves_main {
        variables.push(json!({"name": LEAVE_MAIN, "value": "1"}));
    }
    if options.fast {
        variables.push(json!({"name": "HF_XET_HIGH_PERFORMANCE", "value": "1"}));
    }
    if options.no_xet {
        variables.push(json!({"name": "HF_HUB_DISABLE_XET", "value": "1"}));
    }
    if target.shares_claim {
        variables.push(json!({"name": "COMPILE_CACHE", "value": "/model-cache"}));
    }
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
    use crate::admission::settings::Layout;
    use crate::command::download::wanted::Wanted;
    use crate::inspect::download_job::Hub;

    #[test]
    fn a_job_is_named_after_its_model_and_revision_and_the_name_fits_a_label() {
        let wanted = |model: &str, revision: &str, include: &[&str]| Wanted {
            model: model.to_owned(),
            revision: revision.to_owned(),
            include: include.iter().map(|&glob| glob.to_owned()).collect(),
            exclude: Vec::new(),
            leaves_main: false,
            by: Vec::new(),
        };
        let hub = Hub { claim: "model-cache", layout: Layout::Home };
        let name = |wanted: &Wanted| default_name(wanted, hub);
        let commit = "c1899de289a04d12100db370d81485cdf75e47ca";
        let of_commit = name(&wanted("Qwen/Qwen3-0.6B", commit, &[]));
        assert!(of_commit.starts_with("download-qwen3-0-6b-c1899de289a0-"), "{of_commit}");
        let long = "x".repeat(90);
        let different = [
            wanted("Qwen/Qwen3-0.6B", commit, &[]),
            wanted("Qwen/Qwen3-0.6B", "main", &[]),
            wanted("other/Qwen3-0.6B", "main", &[]),
            wanted("Qwen/Qwen3-0.6B", "main", &["*.json"]),
            wanted("Qwen/Qwen3-0.6B", "refs/pr/1", &[]),
            wanted(&format!("a/{long}"), "main", &[]),
            wanted(&format!("a/{long}y"), "main", &[]),
            Wanted { leaves_main: true, ..wanted("Qwen/Qwen3-0.6B", commit, &[]) },
        ];
        let mut names: Vec<_> = different.iter().map(name).collect();
        assert_eq!(names, different.iter().map(name).collect::<Vec<_>>());
        names.push(default_name(&different[0], Hub { claim: "models", ..hub }));
        names.push(default_name(&different[0], Hub { layout: Layout::Hub, ..hub }));
        for name in &names {
            let is_allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
            assert!(name.len() <= 63 && name.chars().all(is_allowed), "{name}");
            assert_eq!(names.iter().filter(|other| *other == name).count(), 1, "{names:?}");
        }
    }
}
