//! A live pod as it would come to the webhook if it were made anew, as far as the pod itself tells: without what is ours.
//!
//! Ours is what has our names: volumes, the mounts of them, and variables that lead into such a mount. `HF_HOME` stays, for it
//! may as well be the user's, and leads to the same decision; so do arguments, and a mount of the user's own volume.

use serde_json::Value;

use crate::admission::annotation::STATUS;
use crate::admission::cache::Cache;
use crate::admission::engine::Engine;
use crate::admission::path::Path;
use crate::admission::plan::{COMPILE_VOLUME, MODEL_VOLUME};
use crate::admission::reason::Reason;
use crate::admission::status::Status;

/// The pod without what the webhook has added to it; the pod itself where it has no status, and so nothing of ours.
pub(crate) fn without_ours(pod: &Value) -> Value {
    let mut uninjected = pod.clone();
    let annotation = pod.pointer("/metadata/annotations").and_then(|annotations| annotations.get(STATUS)?.as_str());
    let Some(status) = annotation.and_then(Status::read) else { return uninjected };
    // Of a cache whose volume's name was taken, the volume of this name is another's.
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
            let is_ours = ours.contains(&name) && volume.get("persistentVolumeClaim").is_some();
            volumes.extend(is_ours.then(|| name.to_owned()));
            !is_ours
        });
    }
    for list in ["/spec/initContainers", "/spec/containers"] {
        for container in uninjected.pointer_mut(list).and_then(Value::as_array_mut).into_iter().flatten() {
            let mounts = take_mounts(container, &volumes);
            take_variables(container, &mounts);
        }
    }
    uninjected
}

/// Takes the mounts of these volumes from a container; where they were.
fn take_mounts(container: &mut Value, volumes: &[String]) -> Vec<String> {
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

/// Takes the variables from a container that lead into these mounts.
fn take_variables(container: &mut Value, mounts: &[String]) {
    let Some(variables) = container.get_mut("env").and_then(Value::as_array_mut) else { return };
    let has_home = variables.iter().any(|variable| variable["name"] == "HF_HOME");
    let compile = Engine::ALL.map(Engine::compile_variables);
    variables.retain(|variable| {
        let text = |key: &str| variable.get(key).and_then(Value::as_str).unwrap_or_default();
        let path = Path::new(text("value"));
        let is_ours = match text("name") {
            // In the layout of a hub it is the mount itself, and alone.
            "HF_HUB_CACHE" => !has_home && mounts.iter().any(|mount| Path::new(mount) == path),
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
    use std::collections::BTreeSet;
    use std::fs;
    use std::path::PathBuf;

    use serde_json::Value;

    use super::without_ours;
    use crate::admission::annotation::STATUS;
    use crate::cli::Known;
    use crate::manifest::context::World;
    use crate::manifest::inject::change;
    use crate::yaml;

    /// Cases in which an earlier status decides, which a pod that is made anew has not.
    const BY_EARLIER_STATUS: [&str; 3] = [
        "a_cache_of_another_dynamo_cache_stays_in_place",
        "a_container_that_an_earlier_status_names_is_chosen",
        "a_container_that_comes_first_later_gets_nothing_by_that",
    ];

    #[test]
    fn without_what_is_ours_every_case_is_decided_as_it_was() {
        let mut folders: Vec<PathBuf> = fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/cases"))
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect();
        folders.sort();
        let (mut differ, mut taken) = (Vec::new(), 0);
        for folder in folders {
            let file = |name: &str| Some(folder.join(name)).filter(|path| path.exists());
            let known =
                Known { namespace_file: file("namespace.yaml"), claims: file("claims.yaml"), ..Known::default() };
            let (world, _) = World::told(file("config.yaml").as_deref(), &known).unwrap();
            let text = fs::read_to_string(folder.join("object.yaml")).unwrap();
            let pod = yaml::documents(&text).unwrap().remove(0).value;
            let after = |pod: Value| change(pod, &world, &[], &mut BTreeSet::new()).unwrap().after;
            let changed = after(pod);
            let before = without_ours(&changed);
            taken += usize::from(before["spec"] != changed["spec"]);
            let status = |pod: &Value| pod["metadata"]["annotations"][STATUS].as_str().map(str::to_owned);
            let (then, anew) = (status(&changed), status(&after(before)));
            let name = folder.file_name().unwrap().to_str().unwrap().to_owned();
            if then != anew && !BY_EARLIER_STATUS.contains(&name.as_str()) {
                differ.push(format!("{name}: {then:?} became {anew:?}"));
            }
        }
        assert!(differ.is_empty(), "{differ:#?}");
        assert!(taken > 50, "something of ours was taken from {taken} pods only");
    }
}
