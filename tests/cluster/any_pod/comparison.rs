//! Compares a pod with itself before: the contract may have added to it, and nothing else may differ.

use dynamo_cache::admission::engine::Engine;
use serde_json::{Value, json};

/// What the contract adds to a container's environment.
const VARIABLES: [&str; 16] = [
    "DYN_LORA_PATH",
    "DYN_TRTLLM_LOAD_FORMAT",
    "HF_ENDPOINT",
    "HF_HOME",
    "HF_HUB_CACHE",
    "HF_HUB_OFFLINE",
    "HF_MODULES_CACHE",
    "HF_TOKEN_PATH",
    "HF_XET_CACHE",
    "MODELSCOPE_CACHE",
    "MODEL_EXPRESS_NO_SHARED_STORAGE",
    "MODEL_EXPRESS_URL",
    "MX_SERVER_ADDRESS",
    "SGLANG_JIT_CACHE_DIR",
    "VLLM_CACHE_ROOT",
    "VLLM_LOAD_FORMAT",
];

/// The volumes that are on the node's disk.
const EMPTY_DIRS: [&str; 3] = ["dynamo-cache-local", "dynamo-cache-scratch", "dynamo-cache-tool"];

/// The init containers of mode staged.
const INIT_CONTAINERS: [&str; 3] = ["dynamo-cache-tool", "dynamo-cache-stage", "dynamo-cache-gate"];

/// Whether everything is there as it was, and all else is ours to add.
///
/// # Errors
/// What is gone, changed or not ours.
pub(super) fn all_but_what_is_ours(before: &Value, after: &Value) -> Result<(), String> {
    compare("", before, after)
}

/// Where two pods that should be the same are not.
pub(super) fn difference(left: &Value, right: &Value) -> Option<String> {
    match (left, right) {
        (Value::Object(one), Value::Object(other)) => one
            .keys()
            .chain(other.keys())
            .find_map(|key| difference(&left[key], &right[key]).map(|below| format!(".{key}{below}"))),
        (Value::Array(one), Value::Array(other)) if one.len() == other.len() => {
            one.iter().zip(other).find_map(|(left, right)| difference(left, right)).map(|below| format!("[]{below}"))
        }
        _ => (left != right).then(|| format!(": {left} and {right}")),
    }
}

fn compare(path: &str, before: &Value, after: &Value) -> Result<(), String> {
    match (before, after) {
        (Value::Object(before), Value::Object(after)) => {
            if let Some(gone) = before.keys().find(|key| !after.contains_key(*key)) {
                return Err(format!("{path}.{gone} is gone"));
            }
            after.iter().try_for_each(|(key, after)| {
                let path = format!("{path}.{key}");
                match before.get(key) {
                    Some(before) => compare(&path, before, after),
                    None if after.is_array() => compare(&path, &Value::Array(Vec::new()), after),
                    None => ours(&path, after),
                }
            })
        }
        (Value::Array(before), Value::Array(after)) if path == ".spec.initContainers" => {
            let name = |container: &Value| container["name"].as_str().unwrap_or_default().to_owned();
            let is_new = |container: &&Value| !before.iter().any(|before| name(before) == name(container));
            let (new, kept): (Vec<_>, Vec<_>) = after.iter().partition(is_new);
            let new: Vec<_> = new.into_iter().map(name).collect();
            if !new.is_empty() && new != INIT_CONTAINERS {
                return Err(format!("{path}: {new:?} were added"));
            }
            if kept.len() != before.len() {
                return Err(format!("{path} is shorter"));
            }
            before.iter().zip(kept).try_for_each(|(before, after)| compare(&format!("{path}[]"), before, after))
        }
        (Value::Array(before), Value::Array(after)) => {
            if after.len() < before.len() {
                return Err(format!("{path} is shorter"));
            }
            before.iter().zip(after).try_for_each(|(before, after)| compare(&format!("{path}[]"), before, after))?;
            after[before.len()..].iter().try_for_each(|added| ours(&format!("{path}[]"), added))
        }
        _ if before == after => Ok(()),
        _ => Err(format!("{path} was {before} and is {after}")),
    }
}

/// Whether what was added somewhere is ours to add.
fn ours(path: &str, added: &Value) -> Result<(), String> {
    let name = added["name"].as_str().unwrap_or_default();
    let good = match path {
        ".metadata.annotations" => {
            added.as_object().is_some_and(|added| added.keys().all(|key| key == "dynamo-cache.io/status"))
        }
        ".spec.volumes[]" => {
            name.starts_with("dynamo-cache-")
                && added.as_object().is_some_and(|volume| volume.len() == 2)
                && (added["persistentVolumeClaim"].is_object()
                    || (EMPTY_DIRS.contains(&name) && added["emptyDir"] == json!({})))
        }
        ".spec.securityContext.fsGroupChangePolicy" => added == "OnRootMismatch",
        ".spec.containers[].env[]" | ".spec.initContainers[].env[]" => {
            (VARIABLES.contains(&name) || Engine::is_staged_variable(name)) && added["value"].is_string()
        }
        ".spec.containers[].volumeMounts[]" | ".spec.initContainers[].volumeMounts[]" => added["mountPath"].is_string(),
        ".spec.containers[].args[]"
        | ".spec.initContainers[].args[]"
        | ".metadata.annotations.dynamo-cache.io/status" => added.is_string(),
        _ => false,
    };
    if good { Ok(()) } else { Err(format!("{path} was added: {added}")) }
}
