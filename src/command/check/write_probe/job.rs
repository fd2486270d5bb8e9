//! Builds the Job that writes to a claim.

use serde_json::{Value, json};

use crate::admission::plan::TOOL_VOLUME;
use crate::cli::Probe;
use crate::command::check::write_probe::ClaimUse;
use crate::manifest::input::embedded_json;

/// The script of its container.
const SCRIPT: &str = include_str!("write.sh");

/// How long, in seconds, the cluster keeps a finished Job that `check` did not remove, and how long beyond the probe's timeout
/// the Job may run.
const GRACE_SECONDS: u64 = 60;

/// Builds the Job with a generated name. Its pod meets the Pod Security Standard `restricted`, and has the mount that the
/// webhook would give a worker, and the security context of one.
pub(super) fn job(used: &ClaimUse, options: &Probe) -> Value {
    let mut job = embedded_json(include_str!("job.json"));
    job["metadata"]["generateName"] = format!("dynamo-cache-probe-{}-", used.cache).into();
    let spec = &mut job["spec"];
    spec["activeDeadlineSeconds"] = options.probe_timeout.as_secs().saturating_add(GRACE_SECONDS).into();
    spec["ttlSecondsAfterFinished"] = GRACE_SECONDS.into();
    let pod = &mut spec["template"]["spec"];
    let mut volumes = vec![used.volume.clone()];
    if let Some(tool) = &used.tool {
        // Runs as in a staged pod: a pod whose nodes cannot pull its image would wait for it.
        volumes.push(json!({"name": TOOL_VOLUME, "emptyDir": {}}));
        pod["initContainers"] = Value::Array(vec![tool.clone()]);
    }
    pod["volumes"] = Value::Array(volumes);
    let security = &mut pod["securityContext"];
    for (field, value) in &used.security {
        security[field] = value.clone();
    }
    // The termination message is the Job's error; reading it needs no permission to read logs.
    let container = &mut pod["containers"][0];
    container["image"] = options.probe_image.as_str().into();
    container["command"] = vec!["sh", "-c", SCRIPT].into();
    container["env"][0]["value"] = used.directory.as_str().into();
    container["env"][1]["value"] = used.mount.get("mountPath").cloned().unwrap_or_default();
    container["volumeMounts"] = Value::Array(vec![used.mount.clone()]);
    job
}
