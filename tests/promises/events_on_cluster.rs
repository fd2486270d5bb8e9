//! Promises about events on the owners of pods.

use std::fs;

use serde_json::{Value, json};

use super::control_plane::namespace::Namespace;
use super::control_plane::replicas::{Installation, alone};
use super::control_plane::{ControlPlane, ROOT, wait_for};
use super::stored::{status, worker};

const SETTINGS: &str = "apiVersion: dynamo-cache.io/v1alpha1\nkind: CacheConfig\n";

/// Our events in a namespace, in the order of their owners' names.
fn events(plane: &ControlPlane, namespace: &Namespace) -> Vec<Value> {
    let mut list = plane.read(&["events.events.k8s.io", "--namespace", &namespace.name]);
    let mut ours: Vec<_> = std::mem::take(list["items"].as_array_mut().unwrap());
    ours.retain(|event| event["reportingController"] == "dynamo-cache");
    ours.sort_by_key(|event| event["regarding"]["name"].to_string());
    ours
}

/// Waits until so many events are there.
fn wait_for_events(plane: &ControlPlane, namespace: &Namespace, number: usize) -> Vec<Value> {
    wait_for(&format!("{number} events"), || {
        let events = events(plane, namespace);
        if events.len() == number { Ok(events) } else { Err(format!("{events:#?}")) }
    })
}

/// A worker whose controller is an object of this name, made for it.
fn owned(plane: &ControlPlane, namespace: &Namespace, owner: &str, annotations: &Value) -> String {
    namespace.kubectl(&["create", "configmap", owner]).unwrap();
    let uid = plane.read(&["configmap", owner, "--namespace", &namespace.name])["metadata"]["uid"].take();
    let mut pod = worker(&format!("of-{owner}"));
    pod["metadata"]["annotations"] = annotations.clone();
    pod["metadata"]["ownerReferences"] =
        json!([{"apiVersion": "v1", "kind": "ConfigMap", "name": owner, "uid": uid, "controller": true}]);
    pod.to_string()
}

#[test]
fn a_replica_set_gets_one_event_for_its_claims_whatever_the_number_of_pods_and_of_our_replicas() {
    let (plane, _one) = alone();
    let settings = format!("--config={}", plane.file(&format!("{SETTINGS}events: true\n")));
    let installation = Installation::new(plane, "config.events=true", &["--drain=0s", &settings]);
    let first = installation.ready("first");
    let namespace = Namespace::opted_in(plane, &[]);
    let scale = |replicas: usize| {
        namespace.kubectl(&["scale", "deployment/vllm-worker", &format!("--replicas={replicas}")]).unwrap();
        wait_for("the pods", || {
            let pods = plane.read(&["pods", "--namespace", &namespace.name, "--selector=app=vllm-worker"]);
            let pods = pods["items"].as_array().map_or(0, Vec::len);
            if pods == replicas { Ok(()) } else { Err(format!("{pods} of {replicas}")) }
        });
    };
    namespace.apply(&fs::read_to_string(format!("{ROOT}/manifests/examples/vllm-worker.yaml")).unwrap()).unwrap();
    scale(3);
    let [event] = wait_for_events(plane, &namespace, 1).try_into().unwrap();
    let set = plane.read(&["replicasets", "--namespace", &namespace.name])["items"][0]["metadata"].take();
    let regarding = json!({
        "apiVersion": "apps/v1", "kind": "ReplicaSet", "name": set["name"], "namespace": namespace.name, "uid": set["uid"],
    });
    assert_eq!(event["regarding"], regarding);
    assert_eq!((&event["reason"], &event["type"]), (&json!("ClaimNotFound"), &json!("Warning")), "{event:#}");
    let note = event["note"].as_str().unwrap();
    let begin = "container worker without model (claim model-cache); container worker without compile (claim \
                 compilation-cache): the claim is not in the pod's namespace [claim-not-found]. Create the claim";
    assert!(note.starts_with(begin), "{note}");
    let described = namespace.kubectl(&["describe", "replicaset", set["name"].as_str().unwrap()]).unwrap().out;
    assert!(described.contains("ClaimNotFound") && described.contains(begin), "{described}");
    let listed = namespace.kubectl(&["get", "events"]).unwrap().out;
    let line = listed.lines().find(|line| line.contains("ClaimNotFound")).unwrap_or_else(|| panic!("{listed}"));
    assert!(line.contains("replicaset/") && !line.contains("<unknown>"), "{line}");
    first.wait_for("/metrics", "dynamo_cache_events_total{result=\"created\"} 1\n");
    // One more reason is written after whatever was left there for the three pods.
    let misspelt = json!({"dynamo-cache.io/model-clam": "x", "dynamo-cache.io/skip": "model,compile"});
    namespace.create(&owned(plane, &namespace, "later", &misspelt)).unwrap();
    first.wait_for("/metrics", "dynamo_cache_events_total{result=\"created\"} 2\n");
    let page = first.page("/metrics").unwrap();
    assert!(page.contains("dynamo_cache_events_total{result=\"known\"} 0\n"), "asked for one event twice: {page}");

    drop(first);
    let second = installation.ready("second");
    scale(4);
    second.wait_for("/metrics", "dynamo_cache_events_total{result=\"known\"} 1\n");
    let told = events(plane, &namespace);
    let about_claims = told.iter().filter(|event| event["reason"] == "ClaimNotFound").count();
    assert_eq!((about_claims, told.len()), (1, 2), "another replica has told it: {told:#?}");
    let configuration = plane.read(&["mutatingwebhookconfiguration", "dynamo-cache"]);
    for entry in configuration["webhooks"].as_array().unwrap() {
        assert_eq!(entry["sideEffects"], "NoneOnDryRun", "{entry:#}");
    }
    assert!(!second.log().contains("sideEffects"), "{}", second.log());
}

#[test]
fn no_event_comes_of_a_dry_run_of_a_bare_pod_or_where_nothing_was_left_out_but_by_wish() {
    let (plane, _one) = alone();
    let settings = format!("--config={}", plane.file(&format!("{SETTINGS}events: true\n")));
    let installation = Installation::new(plane, "config.events=true", &["--drain=0s", &settings]);
    let replica = installation.ready("one");
    let namespace = Namespace::opted_in(plane, &[]);
    wait_for("a pod to be created", || namespace.create(&worker("bare").to_string()).map(drop));
    let dry = namespace.dry_run(&owned(plane, &namespace, "a-dry-run", &Value::Null));
    assert_eq!(status(&dry)["skipped"][0]["reason"], "claim-not-found", "{dry:#}");
    let skip = json!({"dynamo-cache.io/skip": "model,compile"});
    namespace.create(&owned(plane, &namespace, "b-skipped", &skip)).unwrap();
    // Events are written one after another, so what comes after them is there last.
    namespace.create(&owned(plane, &namespace, "c-left-out", &Value::Null)).unwrap();
    wait_for_events(plane, &namespace, 1);

    namespace.claims(&["model-cache", "compilation-cache"]);
    let complete = owned(plane, &namespace, "d-complete", &Value::Null);
    wait_for("the claims to be seen", || {
        let status = status(&namespace.dry_run(&complete));
        if status["skipped"] == json!([]) { Ok(()) } else { Err(status.to_string()) }
    });
    namespace.create(&complete).unwrap();
    let misspelt = json!({"dynamo-cache.io/model-clam": "x"});
    namespace.create(&owned(plane, &namespace, "e-misspelt", &misspelt)).unwrap();
    let events = wait_for_events(plane, &namespace, 2);
    let told: Vec<_> = events.iter().map(|event| (&event["regarding"]["name"], &event["reason"])).collect();
    let expected =
        [(&json!("c-left-out"), &json!("ClaimNotFound")), (&json!("e-misspelt"), &json!("AnnotationUnknown"))];
    assert_eq!(told, expected, "{events:#?}");
    replica.wait_for("/metrics", "dynamo_cache_events_total{result=\"created\"} 2\n");
}

#[test]
fn events_that_the_api_server_refuses_disturb_no_pod_and_are_counted() {
    let (plane, _one) = alone();
    // The chart says no, so there is no right to write them; the file says yes, a moment later.
    let settings = plane.file(SETTINGS);
    let arguments = ["--drain=0s", &format!("--config={settings}")];
    let installation = Installation::new(plane, "config.events=false", &arguments);
    let replica = installation.ready("one");
    let namespace = Namespace::opted_in(plane, &[]);
    wait_for("a pod to be created", || namespace.create(&worker("bare").to_string()).map(drop));
    namespace.create(&owned(plane, &namespace, "before", &Value::Null)).unwrap();
    fs::write(&settings, format!("{SETTINGS}events: true\n")).unwrap();
    wait_for("the new settings", || {
        let log = replica.log();
        if log.contains("the settings file has changed and applies") { Ok(()) } else { Err(log) }
    });
    for (number, owner) in [(1, "first"), (2, "second")] {
        namespace.create(&owned(plane, &namespace, owner, &Value::Null)).unwrap();
        assert_eq!(status(&namespace.pod(&format!("of-{owner}")))["skipped"][0]["reason"], "claim-not-found");
        replica.wait_for("/metrics", &format!("dynamo_cache_events_total{{result=\"failed\"}} {number}\n"));
    }
    assert!(events(plane, &namespace).is_empty());
    let log = replica.log();
    assert_eq!(log.matches("failed to write an event").count(), 1, "{log}");
    assert_eq!(log.matches("sideEffects: None, not NoneOnDryRun").count(), 1, "{log}");
    assert!(log.contains("cannot create resource"), "{log}");
}
