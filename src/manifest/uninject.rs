//! A live pod as it would reach the webhook if it were recreated: without what the webhook added.
//!
//! Removed are the volumes with our names, their mounts, and the variables that point into such a mount. `HF_HOME` stays: it
//! may be the user's own, and the decision is the same with it. So do arguments, and mounts of the user's own volumes.

use serde_json::Value;

use crate::admission::annotation::STATUS;
use crate::admission::cache::Cache;
use crate::admission::engine::Engine;
use crate::admission::path::Path;
use crate::admission::plan::{COMPILE_VOLUME, MODEL_VOLUME, SCRATCH_PATH, SCRATCH_VOLUME};
use crate::admission::reason::Reason;
use crate::admission::status::Status;

/// Removes what the webhook added to a pod. A pod without a status annotation is returned as it is.
pub(crate) fn uninject(pod: &Value) -> Value {
    let mut uninjected = pod.clone();
    let annotation = pod.pointer("/metadata/annotations").and_then(|annotations| annotations.get(STATUS)?.as_str());
    let Some(status) = annotation.and_then(Status::read) else { return uninjected };
    // If the volume's name was taken, the volume of that name is not ours.
    let is_taken = |cache: Cache| {
        status.skipped().any(|(_, word, reason)| word == cache.word() && reason == Reason::VolumeNameTaken)
    };
    let names = [(Cache::Compile, COMPILE_VOLUME), (Cache::Model, MODEL_VOLUME)];
    let ours: Vec<_> = names.into_iter().filter(|(cache, _)| !is_taken(*cache)).map(|(_, name)| name).collect();
    if let Some(annotations) = uninjected.pointer_mut("/metadata/annotations").and_then(Value::as_object_mut) {
        annotations.retain(|key, _| key != STATUS);
    }
    let mut volumes = Vec::new();
    if let Some(all) = uninjected.pointer_mut("/spec/volumes").and_then(Value::as_array_mut) {
        all.retain(|volume| {
            let name = volume.get("name").and_then(Value::as_str).unwrap_or_default();
            let is_cache = ours.contains(&name) && volume.get("persistentVolumeClaim").is_some();
            let is_ours = is_cache || (name == SCRATCH_VOLUME && volume.get("emptyDir").is_some());
            volumes.extend(is_ours.then(|| name.to_owned()));
            !is_ours
        });
    }
    for list in ["/spec/initContainers", "/spec/containers"] {
        for container in uninjected.pointer_mut(list).and_then(Value::as_array_mut).into_iter().flatten() {
            let mounts = remove_mounts(container, &volumes);
            remove_variables(container, &mounts);
        }
    }
    uninjected
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
    let has_home = variables.iter().any(|variable| variable["name"] == "HF_HOME");
    let compile = Engine::ALL.map(Engine::compile_variables);
    variables.retain(|variable| {
        let text = |key: &str| variable.get(key).and_then(Value::as_str).unwrap_or_default();
        let path = Path::new(text("value"));
        let is_ours = match text("name") {
            // With layout hub, the variable is the mount path itself, and there is no HF_HOME.
            "HF_HUB_CACHE" => !has_home && mounts.iter().any(|mount| Path::new(mount) == path),
            "HF_MODULES_CACHE" | "HF_XET_CACHE" => {
                let is_scratch = |mount: &String| mount == SCRATCH_PATH && Path::new(mount).covers(&path);
                mounts.iter().any(is_scratch)
            }
            name => {
                compile.iter().any(|list| list.iter().any(|variable| variable.name == name))
                    && mounts.iter().any(|mount| Path::new(mount).covers(&path))
            }
        };
        !is_ours
    });
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

    /// Cases decided by an earlier status, which a recreated pod does not have.
    const BY_EARLIER_STATUS: [&str; 4] = [
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
            let before = uninject(&injected);
            uninjected += usize::from(before["spec"] != injected["spec"]);
            let status = |pod: &Value| pod["metadata"]["annotations"][STATUS].as_str().map(str::to_owned);
            let (first, second) = (status(&injected), status(&after(before)));
            let name = folder.file_name().unwrap().to_str().unwrap().to_owned();
            if first != second && !BY_EARLIER_STATUS.contains(&name.as_str()) {
                differ.push(format!("{name}: {first:?} became {second:?}"));
            }
        }
        assert!(differ.is_empty(), "{differ:#?}");
        assert!(uninjected > 50, "only {uninjected} pods lost anything");
    }
}
