//! Pods that a test creates, and what became of them.

use serde_json::{Value, json};

/// Python with the Hugging Face client, and a shell: in the place of the image of Jobs, whose digest none that is made here has.
pub(crate) const PYTHON: &str = "docker.io/library/python:3.13-slim";

/// A pod that has ended.
pub(crate) struct Ended {
    /// As it is stored.
    pub(crate) pod: Value,
    /// Whether its container ended with 0.
    pub(crate) succeeded: bool,
    /// What it said.
    pub(crate) log: String,
}

impl Ended {
    /// Fails where the container did not end with 0, or did not say one of these lines.
    #[track_caller]
    pub(crate) fn assert_said(&self, lines: &[&str]) {
        assert!(self.succeeded, "the pod failed:\n{}\n{:#}", self.log, self.pod);
        for line in lines {
            assert!(self.log.lines().any(|said| said == *line), "no line '{line}' in:\n{}\n{:#}", self.log, self.pod);
        }
    }

    /// What its status annotation says of the caches.
    pub(crate) fn status(&self) -> Value {
        status(&self.pod)
    }
}

/// A vLLM engine, by its annotations: its process is a script, run as Dynamo's images run theirs.
pub(crate) fn engine(name: &str, script: &str) -> Value {
    let main = json!({"name": "main", "image": PYTHON, "command": ["bash", "-ec", script]});
    let user = json!({"runAsNonRoot": true, "runAsUser": 1000, "runAsGroup": 0});
    let annotations = json!({"dynamo-cache.io/inject": "true", "dynamo-cache.io/engine": "vllm"});
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": name, "annotations": annotations},
        "spec": {"restartPolicy": "Never", "securityContext": user, "containers": [main]},
    })
}

/// A vLLM worker that is only asked about and never runs.
pub(crate) fn worker(arguments: &[&str]) -> Value {
    let command = ["python3", "-m", "dynamo.vllm"];
    let main = json!({"name": "main", "image": PYTHON, "command": command, "args": arguments});
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "worker"}, "spec": {"containers": [main]}})
}

/// What a pod's status annotation says of the caches; `null` where it has none.
pub(crate) fn status(pod: &Value) -> Value {
    let text = pod["metadata"]["annotations"]["dynamo-cache.io/status"].as_str();
    text.map_or(Value::Null, |text| serde_json::from_str(text).unwrap())
}
