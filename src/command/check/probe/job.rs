//! The Job that writes to a claim, as an object.

use serde_json::{Value, json};

use super::Use;
use crate::cli::Probe;

/// What its container runs.
const SCRIPT: &str = include_str!("write.sh");

/// The label by which Jobs of ours are found.
const LABEL: &str = "dynamo-cache.io/write-probe";

/// How long the cluster keeps a Job that nobody is there to remove, in seconds.
const LEFT: u64 = 60;

/// The Job, without a name of its own. Its pod passes `restricted`, and has what the webhook would give a worker: the
/// mount, and the group of the volumes where the settings name one.
pub(super) fn job(about: &Use, options: &Probe) -> Value {
    let mut security = json!({"runAsNonRoot": true, "seccompProfile": {"type": "RuntimeDefault"}});
    if let Some(user) = options.probe_user.0 {
        security["runAsUser"] = user.into();
        security["runAsGroup"] = 0.into();
    }
    for (field, value) in &about.security {
        security[field] = value.clone();
    }
    let container = json!({
        "name": "write-probe",
        "image": options.probe_image,
        "command": ["sh", "-c", SCRIPT],
        "env": [{"name": "PLACE", "value": about.place}, {"name": "LC_ALL", "value": "C"}],
        "resources": {"requests": {"cpu": "10m", "memory": "16Mi"}, "limits": {"cpu": "100m", "memory": "64Mi"}},
        // What it says is the Job's own error, and reading it takes no right to read logs.
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "securityContext": {
            "allowPrivilegeEscalation": false,
            "readOnlyRootFilesystem": true,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": [about.mount],
    });
    json!({
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "generateName": format!("dynamo-cache-probe-{}-", about.cache),
            "labels": {LABEL: "true"},
        },
        "spec": {
            "backoffLimit": 0,
            "activeDeadlineSeconds": options.probe_timeout.as_secs().saturating_add(LEFT),
            "ttlSecondsAfterFinished": LEFT,
            "template": {
                "metadata": {"labels": {LABEL: "true"}, "annotations": {"dynamo-cache.io/inject": "false"}},
                "spec": {
                    "restartPolicy": "Never",
                    "automountServiceAccountToken": false,
                    "enableServiceLinks": false,
                    "securityContext": security,
                    "containers": [container],
                    "volumes": [about.volume],
                },
            },
        },
    })
}
