//! Any pod keeps what it had, and a second pass changes nothing.

use std::collections::BTreeSet;

use dynamo_cache::admission::Evaluation;
use dynamo_cache::admission::annotation::STATUS;
use dynamo_cache::admission::claim::{Claim, Claims};
use dynamo_cache::admission::names::{CONTAINERS, TOOL_CONTAINER};
use dynamo_cache::admission::plan::LOCAL_VOLUME;
use dynamo_cache::admission::settings::{Mode, Settings};
use proptest::option;
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::harness::any_pod::{claims, pod};
use crate::harness::program::cases;

/// The caches that a pod's status lists, each with its container.
fn listed(pod: &Value) -> BTreeSet<(String, String)> {
    let status = pod["metadata"]["annotations"][STATUS].as_str().and_then(|text| serde_json::from_str(text).ok());
    let status: Value = status.unwrap_or_default();
    let containers = status["containers"].as_object().into_iter().flatten();
    let pairs = containers.flat_map(|(name, caches)| {
        caches.as_array().into_iter().flatten().map(move |cache| (name.clone(), cache.to_string()))
    });
    pairs.collect()
}

/// The answer for a pod, as a patch applied to it, and the patch.
fn patched(pod: &Value, settings: &Settings, claims: &Claims) -> (Value, Value) {
    let text = pod.to_string();
    let view = serde_json::from_str(&text).expect("a generated pod has the shape of a pod");
    let outcome = Evaluation::new(&view, settings, &[]).decide(claims);
    let operations = serde_json::to_value(outcome.operations()).expect("operations are JSON");
    let patch: json_patch::Patch = serde_json::from_value(operations.clone()).expect("operations are a JSON Patch");
    let mut after = pod.clone();
    json_patch::patch(&mut after, &patch).expect("every operation applies");
    (after, operations)
}

/// Whether everything that was there is there still: members of objects, and lists in their order, with more behind or between.
fn keeps(before: &Value, after: &Value) -> bool {
    match (before, after) {
        (Value::Object(before), Value::Object(after)) => before
            .iter()
            .all(|(name, value)| name == STATUS || after.get(name).is_some_and(|after| keeps(value, after))),
        (Value::Array(before), Value::Array(after)) => {
            let mut after = after.iter();
            before.iter().all(|before| after.by_ref().any(|after| keeps(before, after)))
        }
        _ => before == after,
    }
}

fn containers(pod: &Value) -> impl Iterator<Item = &Value> {
    ["initContainers", "containers"].into_iter().flat_map(|list| pod["spec"][list].as_array().into_iter().flatten())
}

/// How often each path or name is in a list of a container.
fn repeated(container: &Value, list: &str, read: impl Fn(&Value) -> String) -> usize {
    let items: Vec<_> = container[list].as_array().into_iter().flatten().map(read).collect();
    items.len() - items.iter().collect::<BTreeSet<_>>().len()
}

/// Where containers of ours were added, all three stand together, before the engine that has the local disk.
fn stands_before_the_engine(before: &Value, after: &Value) -> Result<(), TestCaseError> {
    let names = |pod: &Value| containers(pod).map(|container| container["name"].clone()).collect::<Vec<_>>();
    let (before, all) = (names(before), names(after));
    let Some(first) = all.iter().position(|name| name == TOOL_CONTAINER).filter(|at| !before.contains(&all[*at]))
    else {
        return Ok(());
    };
    let ours = CONTAINERS.map(Value::from);
    prop_assert_eq!(&all[first..first + 3], ours.as_slice());
    let has_disk = |container: &&Value| {
        let mut mounts = container["volumeMounts"].as_array().into_iter().flatten();
        mounts.any(|mount| mount["name"] == LOCAL_VOLUME) && !CONTAINERS.iter().any(|ours| container["name"] == *ours)
    };
    let engines: Vec<_> = containers(after).filter(has_disk).map(|engine| engine["name"].clone()).collect();
    prop_assert_eq!(engines.len(), 1);
    let engine = all.iter().position(|name| *name == engines[0]).expect("the engine is a container");
    let init = after["spec"]["initContainers"].as_array().map_or(0, Vec::len);
    prop_assert_eq!(first + 3, engine.min(init), "{:?}", all);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(4096), ..ProptestConfig::default() })]

    #[test]
    fn any_pod_keeps_what_it_had_and_a_second_pass_changes_nothing(
        pod in pod(), claims in claims(), fs_group in option::weighted(0.2, Just(1000)), [express, staged] in any::<[bool; 2]>(),
    ) {
        let mut settings = Settings { fs_group, ..Settings::default() };
        settings.compile.mode = if staged { Mode::Staged } else { Mode::Direct };
        settings.express.url = express.then(|| "http://mx:8001".to_owned());
        let (after, operations) = patched(&pod, &settings, &claims);
        prop_assert!(operations.as_array().into_iter().flatten().all(|operation| operation["op"] == "add"));
        prop_assert!(keeps(&pod, &after), "{operations:#}");

        let (_, again) = patched(&after, &settings, &claims);
        prop_assert_eq!(again, json!([]), "after {:#}", operations);

        for before in containers(&pod) {
            let after = containers(&after).find(|after| after["name"] == before["name"]).expect("no container is lost");
            let name = |item: &Value| item["name"].to_string();
            prop_assert_eq!(repeated(before, "env", name), repeated(after, "env", name));
            let path = |item: &Value| {
                let path = item["mountPath"].as_str().unwrap_or_default();
                path.split('/').filter(|part| !part.is_empty()).collect::<Vec<_>>().join("/")
            };
            prop_assert_eq!(repeated(before, "volumeMounts", path), repeated(after, "volumeMounts", path));
        }
        prop_assert_eq!(repeated(&after["spec"], "volumes", |volume| volume["name"].to_string()), 0);
        stands_before_the_engine(&pod, &after)?;
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(2048), ..ProptestConfig::default() })]

    #[test]
    fn a_second_dynamo_cache_leaves_what_the_first_has_put_in_place_and_its_status(
        pod in pod(), claims in claims(), [multi_node, one_stages, other_stages] in any::<[bool; 3]>(),
    ) {
        let first = Settings::default();
        let mut first = Settings { fs_group: None, ..first };
        first.express.url = Some("http://mx:8001".to_owned());
        first.compile.multi_node = true;
        let mut second = Settings::default();
        (second.model.claim, second.compile.claim) = ("other".to_owned(), "compilation-cache".to_owned());
        second.compile.multi_node = multi_node;
        let mode = |stages| if stages { Mode::Staged } else { Mode::Direct };
        (first.compile.mode, second.compile.mode) = (mode(one_stages), mode(other_stages));
        let (by_first, _) = patched(&pod, &first, &claims);
        let (by_both, _) = patched(&by_first, &second, &claims);
        prop_assert!(keeps(&by_first, &by_both));
        prop_assert!(listed(&by_first).is_subset(&listed(&by_both)), "{by_first:#}\n{by_both:#}");
        let (again, _) = patched(&by_both, &first, &claims);
        prop_assert!(listed(&by_both).is_subset(&listed(&again)), "{by_both:#}\n{again:#}");
        let (last, _) = patched(&again, &second, &claims);
        prop_assert_eq!(listed(&last), listed(&again));
    }
}

#[test]
fn a_second_pass_changes_nothing_where_two_containers_have_one_name_or_none() {
    for name in [json!("twice"), json!(""), Value::Null] {
        let container = json!({"name": name, "image": "busybox", "command": ["sleep", "inf"]});
        let labels = json!({"nvidia.com/dynamo-component-type": "worker"});
        let pod = json!({"metadata": {"labels": labels}, "spec": {"containers": [container, container]}});
        let claims = Claims::from([("model-cache".to_owned(), Claim::default())]);
        let (after, operations) = patched(&pod, &Settings::default(), &claims);
        assert!(operations.to_string().contains("HF_HOME"), "{operations:#}");
        assert_eq!(patched(&after, &Settings::default(), &claims).1, json!([]));
    }
}

#[test]
fn a_second_pass_changes_nothing_where_two_volumes_have_one_name_or_none() {
    for name in ["twice", ""] {
        let claim = json!({"name": name, "persistentVolumeClaim": {"claimName": "model-cache"}});
        let read_only = json!({"name": name, "persistentVolumeClaim": {"claimName": "model-cache", "readOnly": true}});
        let other = json!({"name": name, "emptyDir": {}});
        for volumes in [[&claim, &other], [&other, &claim], [&claim, &read_only], [&read_only, &claim]] {
            let container = json!({"name": "main", "command": ["python3", "-m", "dynamo.vllm"]});
            let pod = json!({"spec": {"containers": [container], "volumes": volumes}});
            let claims = Claims::from([("model-cache".to_owned(), Claim::default())]);
            let (after, operations) = patched(&pod, &Settings::default(), &claims);
            assert!(operations.to_string().contains("HF_HOME"), "{operations:#}");
            assert_eq!(patched(&after, &Settings::default(), &claims).1, json!([]), "{volumes:?}");
        }
    }
}
