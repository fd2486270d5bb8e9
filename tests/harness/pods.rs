//! Pods for the tests, and the parts of a stored pod.

use std::collections::BTreeMap;
use std::fs;

use serde_json::{Value, json};

use super::ROOT;

/// A vLLM worker made without the operator: only its command line shows that it is one.
pub(crate) fn worker(name: &str) -> Value {
    let worker = json!({
        "name": "main",
        "image": "nvcr.io/nvidia/ai-dynamo/vllm-runtime:1.6.1",
        "command": ["python3", "-m", "dynamo.vllm"],
        "args": ["--model", "Qwen/Qwen3-0.6B"],
    });
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": {"containers": [worker]}})
}

/// A container, by its name.
pub(crate) fn container<'a>(pod: &'a Value, name: &str) -> &'a Value {
    let containers = pod["spec"]["containers"].as_array().unwrap();
    containers.iter().find(|container| container["name"] == name).unwrap_or_else(|| panic!("no {name} in {pod:#}"))
}

/// A container's variables; none twice.
pub(crate) fn environment(container: &Value) -> BTreeMap<&str, &str> {
    pairs(container, "env", "name", "value")
}

/// A container's mounts, the volume by its path; none twice.
pub(crate) fn mounts(container: &Value) -> BTreeMap<&str, &str> {
    pairs(container, "volumeMounts", "mountPath", "name")
}

fn pairs<'a>(container: &'a Value, list: &str, key: &str, value: &str) -> BTreeMap<&'a str, &'a str> {
    let entries = container[list].as_array().map(Vec::as_slice).unwrap_or_default();
    let text = |entry: &'a Value, field: &str| entry[field].as_str().unwrap_or_default();
    let pairs: BTreeMap<_, _> = entries.iter().map(|entry| (text(entry, key), text(entry, value))).collect();
    assert_eq!(pairs.len(), entries.len(), "a {key} is there twice in {container:#}");
    pairs
}

/// The claims that the pod mounts, by the volume's name.
pub(crate) fn claims(pod: &Value) -> BTreeMap<&str, &str> {
    let volumes = pod["spec"]["volumes"].as_array().map(Vec::as_slice).unwrap_or_default();
    let pairs = volumes.iter().map(|volume| (&volume["name"], &volume["persistentVolumeClaim"]["claimName"]));
    pairs.filter_map(|(name, claim)| Some((name.as_str()?, claim.as_str()?))).collect()
}

/// What the pod's status annotation says of its caches; `null` where it has none.
pub(crate) fn status(pod: &Value) -> Value {
    let text = pod["metadata"]["annotations"]["dynamo-cache.io/status"].as_str();
    text.map_or(Value::Null, |text| serde_json::from_str(text).unwrap())
}

/// Fails where anything in a pod is ours.
#[track_caller]
pub(crate) fn assert_untouched(pod: &Value) {
    let text = pod.to_string();
    for ours in
        ["dynamo-cache-model", "dynamo-cache-compile", "dynamo-cache-scratch", "HF_HOME", "dynamo-cache.io/status"]
    {
        assert!(!text.contains(ours), "{ours} is in {pod:#}");
    }
}

/// A manifest of `manifests/examples`.
pub(crate) fn example(name: &str) -> String {
    fs::read_to_string(format!("{ROOT}/manifests/examples/{name}")).unwrap()
}
