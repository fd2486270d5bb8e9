//! Worker and frontend as a person deploys them, without a word about caches.

use std::sync::LazyLock;

use serde_json::{Value, json};

use crate::harness::cluster::build;

/// Dynamo's image for vLLM, or what stands in for it here: ../image.
pub(crate) const IMAGE: &str = "nvcr.io/nvidia/ai-dynamo/vllm-runtime:1.6.1";
/// The same, as the next release calls it.
pub(crate) const NEXT_IMAGE: &str = "nvcr.io/nvidia/ai-dynamo/vllm-runtime:1.7.0";
/// The model that it serves.
pub(crate) const MODEL: &str = "Qwen/Qwen3-0.6B";

/// The folder on the node with the packages of the engine.
static ENVIRONMENT: LazyLock<String> = LazyLock::new(|| build("tests/engine/environment/build").unwrap());

/// A Deployment with one worker, which only the test talks to.
pub(crate) fn worker(name: &str, arguments: &[&str]) -> Value {
    let mut main = container(&["python3", "-m", "dynamo.vllm"], &[&["--model", MODEL], arguments].concat());
    main["env"] = json!([
        {"name": "DYN_DISCOVERY_BACKEND", "value": "mem"},
        {"name": "DYN_EVENT_PLANE", "value": "zmq"},
        {"name": "DYN_SYSTEM_PORT", "value": "9090"},
    ]);
    main["readinessProbe"] = json!({"httpGet": {"path": "/health", "port": 9090}, "periodSeconds": 1});
    // A container has 64 MiB there unless a volume says otherwise, and the worker needs 160.
    main["volumeMounts"].as_array_mut().unwrap().push(json!({"name": "shm", "mountPath": "/dev/shm"}));
    let mut worker = deployment(name, &main);
    let volumes = worker.pointer_mut("/spec/template/spec/volumes").unwrap().as_array_mut().unwrap();
    volumes.push(json!({"name": "shm", "emptyDir": {"medium": "Memory"}}));
    worker
}

/// A Deployment with the frontend, and the Service for its clients.
pub(crate) fn frontend() -> [Value; 2] {
    let mut main = container(&["python3", "-m", "dynamo.frontend"], &["--http-port", "8000"]);
    main["env"] = json!([{"name": "DYN_EVENT_PLANE", "value": "zmq"}]);
    main["readinessProbe"] = json!({"httpGet": {"path": "/health", "port": 8000}, "periodSeconds": 1});
    let spec = json!({"selector": {"app": "frontend"}, "ports": [{"port": 8000}]});
    let service = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "frontend"}, "spec": spec});
    [deployment("frontend", &main), service]
}

/// Lets the components of a Deployment find those of others through a folder of this claim, in place of etcd.
pub(crate) fn discovers_by(claim: &str, deployment: &mut Value) {
    let pod = deployment.pointer_mut("/spec/template/spec").unwrap();
    let append = |list: &mut Value, more: Value| list.as_array_mut().unwrap().push(more);
    append(&mut pod["volumes"], json!({"name": "discovery", "persistentVolumeClaim": {"claimName": claim}}));
    let main = &mut pod["containers"][0];
    append(&mut main["volumeMounts"], json!({"name": "discovery", "mountPath": "/discovery"}));
    let variables = main["env"].as_array_mut().unwrap();
    variables.retain(|variable| variable["name"] != "DYN_DISCOVERY_BACKEND");
    variables.push(json!({"name": "DYN_DISCOVERY_BACKEND", "value": "file"}));
    variables.push(json!({"name": "DYN_FILE_KV", "value": "/discovery/kv"}));
}

/// Its pods' annotations after `dynamo-cache.io/`.
pub(crate) fn annotate(deployment: &mut Value, annotations: &[(&str, &str)]) {
    let metadata = deployment.pointer_mut("/spec/template/metadata").unwrap();
    for (name, value) in annotations {
        metadata["annotations"][format!("dynamo-cache.io/{name}")] = json!(value);
    }
}

/// The user of its pods, in group 0 as Dynamo's images are.
pub(crate) fn run_as(deployment: &mut Value, user: u32) {
    let pod = deployment.pointer_mut("/spec/template/spec").unwrap();
    pod["securityContext"] = json!({"runAsUser": user, "runAsGroup": 0});
    // PyTorch asks for a user's name, and the image has none for this one.
    pod["containers"][0]["env"].as_array_mut().unwrap().push(json!({"name": "USER", "value": "other"}));
}

fn container(command: &[&str], arguments: &[&str]) -> Value {
    json!({
        "name": "main", "image": IMAGE, "command": command, "args": arguments,
        "securityContext": {
            "allowPrivilegeEscalation": false,
            "capabilities": {"drop": ["ALL"]},
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "volumeMounts": [{"name": "engine", "mountPath": "/opt/engine", "readOnly": true}],
    })
}

fn deployment(name: &str, main: &Value) -> Value {
    let labels = json!({"app": name});
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name},
        "spec": {
            "selector": {"matchLabels": labels},
            // A worker that ends has no requests.
            "template": {"metadata": {"labels": labels}, "spec": {
                "terminationGracePeriodSeconds": 1,
                "containers": [main],
                "volumes": [{"name": "engine", "hostPath": {"path": *ENVIRONMENT, "type": "Directory"}}],
            }},
        },
    })
}
