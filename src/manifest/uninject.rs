//! A live pod as it would reach the webhook if it were recreated: without what the webhook added.
//!
//! Removed are the volumes and init containers with our names, their mounts, and the variables that point into such a mount. `HF_HOME` stays, unless
//! the container is offline: it may be the user's own, and the decision is the same with it. So do arguments, and mounts of the
//! user's own volumes.

use serde_json::Value;

use crate::admission::annotation::STATUS;
use crate::admission::cache::Cache;
use crate::admission::engine::Engine;
use crate::admission::names::CONTAINERS;
use crate::admission::path::Path;
use crate::admission::plan::{COMPILE_VOLUME, LOCAL_VOLUME, MODEL_VOLUME, SCRATCH_PATH, SCRATCH_VOLUME, TOOL_VOLUME};
use crate::admission::reason::Reason;
use crate::admission::status::Status;

/// Removes what the webhook added to a pod. A pod without a status annotation is returned as it is.
pub(crate) fn uninject(mut pod: Value) -> Value {
    let annotation = pod.pointer("/metadata/annotations").and_then(|annotations| annotations.get(STATUS)?.as_str());
    let Some(annotation) = annotation.map(str::to_owned) else { return pod };
    let Some(status) = Status::read(&annotation) else { return pod };
    // If the volume's name was taken, the volume of that name is not ours.
    let is_taken = |cache: Cache| {
        status.skipped().any(|(_, word, reason)| word == cache.word() && reason == Reason::VolumeNameTaken)
    };
    let names = [(Cache::Compile, COMPILE_VOLUME), (Cache::Model, MODEL_VOLUME)];
    let ours: Vec<_> = names.into_iter().filter(|(cache, _)| !is_taken(*cache)).map(|(_, name)| name).collect();
    if let Some(annotations) = pod.pointer_mut("/metadata/annotations").and_then(Value::as_object_mut) {
        annotations.retain(|key, _| key != STATUS);
    }
    // A pod has all three, unless they are its own.
    let is_own = |container: &Value| container["name"].as_str().is_some_and(|name| CONTAINERS.contains(&name));
    let init = pod.pointer("/spec/initContainers").and_then(Value::as_array).into_iter().flatten();
    let is_staged = init.filter(|container| is_own(container)).count() == CONTAINERS.len();
    if is_staged && let Some(init) = pod.pointer_mut("/spec/initContainers").and_then(Value::as_array_mut) {
        init.retain(|container| !is_own(container));
    }
    let (mut volumes, mut local) = (Vec::new(), Vec::new());
    if let Some(all) = pod.pointer_mut("/spec/volumes").and_then(Value::as_array_mut) {
        all.retain(|volume| {
            let name = volume.get("name").and_then(Value::as_str).unwrap_or_default();
            let is_cache = ours.contains(&name) && volume.get("persistentVolumeClaim").is_some();
            let is_empty_dir = volume.get("emptyDir").is_some();
            let is_local = is_empty_dir && is_staged && [LOCAL_VOLUME, TOOL_VOLUME].contains(&name);
            let is_other = is_cache || (is_empty_dir && name == SCRATCH_VOLUME);
            volumes.extend(is_other.then(|| name.to_owned()));
            local.extend(is_local.then(|| name.to_owned()));
            !(is_local || is_other)
        });
    }
    for list in ["/spec/initContainers", "/spec/containers"] {
        for container in pod.pointer_mut(list).and_then(Value::as_array_mut).into_iter().flatten() {
            let disk = whole_mount(container, LOCAL_VOLUME).filter(|_| is_staged);
            // Variables of the user's own point into mounts of the local disk, too.
            remove_mounts(container, &local);
            let mounts = remove_mounts(container, &volumes);
            remove_variables(container, &mounts);
            if let (Some(disk), Some(variables)) = (disk, container.get_mut("env").and_then(Value::as_array_mut)) {
                remove_staged(variables, &disk);
            }
        }
    }
    pod
}

/// Removes the mounts of these volumes from a container and returns their paths.
fn remove_mounts(container: &mut Value, volumes: &[String]) -> Vec<String> {
    let mut paths = Vec::new();
    if let Some(mounts) = container.get_mut("volumeMounts").and_then(Value::as_array_mut) {
        mounts.retain(|mount| {
            let text = |key: &str| mount.get(key).and_then(Value::as_str).unwrap_or_default();
            let is_ours = volumes.iter().any(|volume| volume == text("name"));
            paths.extend(is_ours.then(|| text("mountPath").to_owned()));
            !is_ours
        });
    }
    paths
}

/// Removes a container's cache variables that point into these mounts.
fn remove_variables(container: &mut Value, mounts: &[String]) {
    let Some(variables) = container.get_mut("env").and_then(Value::as_array_mut) else { return };
    remove_offline(variables, mounts);
    let is_offline = variables.iter().any(|variable| OFFLINE.iter().any(|name| variable["name"] == *name));
    let has_home = variables.iter().any(|variable| variable["name"] == "HF_HOME");
    variables.retain(|variable| {
        let text = |key: &str| variable.get(key).and_then(Value::as_str).unwrap_or_default();
        let path = Path::new(text("value"));
        let is_mount = |mount: &String| Path::new(mount) == path;
        let is_ours = match text("name") {
            // Of an offline container, a home that nothing is mounted at would be taken for one in the image; and where it was
            // the user's, nothing would be mounted at it.
            "HF_HOME" => is_offline && mounts.iter().any(is_mount),
            "HF_HUB_CACHE" if is_offline => {
                mounts.iter().any(|mount| is_mount(mount) || Path::new(mount).join("hub") == path)
            }
            // With layout hub, the variable is the mount path itself, and there is no HF_HOME.
            "HF_HUB_CACHE" => !has_home && mounts.iter().any(is_mount),
            "HF_MODULES_CACHE" | "HF_TOKEN_PATH" | "HF_XET_CACHE" => {
                let is_scratch = |mount: &String| mount == SCRATCH_PATH && Path::new(mount).covers(&path);
                mounts.iter().any(is_scratch)
            }
            name => {
                Engine::compile_variables().any(|variable| variable == name)
                    && mounts.iter().any(|mount| Path::new(mount).covers(&path))
            }
        };
        !is_ours
    });
}

/// The path of a container's mount of a whole volume.
fn whole_mount(container: &Value, volume: &str) -> Option<String> {
    let mut mounts = container.get("volumeMounts").and_then(Value::as_array).into_iter().flatten();
    let mount = mounts.find(|mount| mount["name"] == volume && mount.get("subPath").is_none())?;
    Some(mount["mountPath"].as_str()?.to_owned())
}

/// Removes the variables that point to the local disk. Those of the user's own have a mount of a part of it, and stay.
fn remove_staged(variables: &mut Vec<Value>, disk: &str) {
    let disk = Path::new(disk);
    variables.retain(|variable| {
        let text = |key: &str| variable.get(key).and_then(Value::as_str).unwrap_or_default();
        !(Engine::is_staged_variable(text("name")) && disk.is_above(&Path::new(text("value"))))
    });
}

/// The variables that keep Hugging Face clients off the network.
const OFFLINE: [&str; 2] = ["HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"];

/// Removes the offline variable that the settings add, which stands behind the other variables of the model cache.
fn remove_offline(variables: &mut Vec<Value>, mounts: &[String]) {
    let position = |name: &str| variables.iter().position(|variable| variable["name"] == name);
    let hub = position("HF_HUB_CACHE").filter(|_| !mounts.is_empty());
    if let (Some(hub), Some(offline)) = (hub, position("HF_HUB_OFFLINE"))
        && hub < offline
        && variables[offline]["value"] == "1"
    {
        variables.remove(offline);
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::PathBuf;

    use serde_json::Value;

    use super::uninject;
    use crate::admission::annotation::STATUS;
    use crate::cli::OfflineFacts;
    use crate::manifest::context::DecisionContext;
    use crate::manifest::inject::inject;
    use crate::yaml;

    /// Cases decided by an earlier status or by what an earlier pass added, which a recreated pod does not have.
    const BY_EARLIER_PASS: [&str; 8] = [
        "a_second_pass_over_a_staged_pod_changes_nothing",
        "a_staged_pod_stays_staged_where_the_mode_is_direct_now",
        "a_staged_pod_that_another_webhook_adds_containers_to_stays_staged",
        "an_engine_that_comes_to_a_staged_pod_is_direct",
        "a_cache_of_another_dynamo_cache_stays_in_place",
        "a_compile_cache_of_another_dynamo_cache_stays_where_the_model_cache_is_skipped",
        "a_container_that_an_earlier_status_names_is_selected",
        "a_container_that_comes_first_later_gets_nothing_by_that",
    ];

    #[test]
    fn every_case_is_decided_the_same_after_uninjecting() {
        let mut folders: Vec<PathBuf> = fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/cases"))
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect();
        folders.sort();
        let (mut differ, mut uninjected) = (Vec::new(), 0);
        for folder in folders {
            let file = |name: &str| Some(folder.join(name)).filter(|path| path.exists());
            let facts = OfflineFacts {
                namespace_file: file("namespace.yaml"),
                claims: file("claims.yaml"),
                ..OfflineFacts::default()
            };
            let (context, _) = DecisionContext::from_options(file("config.yaml").as_deref(), &facts).unwrap();
            let text = fs::read_to_string(folder.join("object.yaml")).unwrap();
            let pod = yaml::documents(&text).unwrap().remove(0).value;
            let after = |pod: Value| inject(pod, &context, &[]).unwrap().after;
            let injected = after(pod);
            let before = uninject(injected.clone());
            uninjected += usize::from(before["spec"] != injected["spec"]);
            let status = |pod: &Value| pod["metadata"]["annotations"][STATUS].as_str().map(str::to_owned);
            let (first, second) = (status(&injected), status(&after(before)));
            let name = folder.file_name().unwrap().to_str().unwrap().to_owned();
            if first != second && !BY_EARLIER_PASS.contains(&name.as_str()) {
                differ.push(format!("{name}: {first:?} became {second:?}"));
            }
        }
        assert!(differ.is_empty(), "{differ:#?}");
        assert!(uninjected > 50, "only {uninjected} pods lost anything");
    }
}
