//! The Job that writes to a claim, as an object.

use serde_json::Value;

use crate::cli::Probe;
use crate::command::check::write_probe::Use;
use crate::command::object;

/// What its container runs.
const SCRIPT: &str = include_str!("write.sh");

/// How long the cluster keeps a Job that nobody is there to remove, in seconds.
const LEFT: u64 = 60;

/// The Job, without a name of its own. Its pod passes `restricted`, and has what the webhook would give a worker: the
/// mount, and the group of the volumes where the settings name one.
pub(super) fn job(about: &Use, options: &Probe) -> Value {
    let mut job = object::of(include_str!("job.json"));
    job["metadata"]["generateName"] = format!("dynamo-cache-probe-{}-", about.cache).into();
    let spec = &mut job["spec"];
    spec["activeDeadlineSeconds"] = options.probe_timeout.as_secs().saturating_add(LEFT).into();
    spec["ttlSecondsAfterFinished"] = LEFT.into();
    let pod = &mut spec["template"]["spec"];
    pod["volumes"] = Value::Array(vec![about.volume.clone()]);
    let security = &mut pod["securityContext"];
    if let Some(user) = options.probe_user.0 {
        security["runAsUser"] = user.into();
        security["runAsGroup"] = 0.into();
    }
    for (field, value) in &about.security {
        security[field] = value.clone();
    }
    // What it says is the Job's own error, and reading it takes no right to read logs.
    let container = &mut pod["containers"][0];
    container["image"] = options.probe_image.as_str().into();
    container["command"] = vec!["sh", "-c", SCRIPT].into();
    container["env"][0]["value"] = about.place.as_str().into();
    container["env"][1]["value"] = about.mount.get("mountPath").cloned().unwrap_or_default();
    container["volumeMounts"] = Value::Array(vec![about.mount.clone()]);
    job
}
