//! Promises about events on the owners of pods.

use std::fs;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use serde_json::{Value, json};

use crate::harness::caller::{Caller, TLS_VERSIONS, Tls, call};
use crate::harness::control_plane::ControlPlane;
use crate::harness::control_plane::namespace::Namespace;
use crate::harness::control_plane::replicas::{Installation, Replica, alone};
use crate::harness::pods::{status, worker};
use crate::harness::{ROOT, wait_for};

const SETTINGS: &str = "apiVersion: dynamo-cache.io/v1alpha1\nkind: CacheConfig\n";

/// Our events in a namespace, in the order of their owners' names.
fn events(plane: &ControlPlane, namespace: &Namespace) -> Vec<Value> {
    let mut list = plane.read(&["events.events.k8s.io", "--namespace", &namespace.name]);
    let mut ours: Vec<_> = std::mem::take(list["items"].as_array_mut().unwrap());
    ours.retain(|event| event["reportingController"] == "dynamo-cache");
    ours.sort_by_key(|event| event["regarding"]["name"].to_string());
    ours
}

/// Waits until there is this number of events.
fn wait_for_events(plane: &ControlPlane, namespace: &Namespace, number: usize) -> Vec<Value> {
    wait_for(&format!("{number} events"), || {
        let events = events(plane, namespace);
        if events.len() == number { Ok(events) } else { Err(format!("{events:#?}")) }
    })
}

/// A worker whose controller is a ReplicaSet of this name, made for it, which wants no pods of its own.
fn owned(plane: &ControlPlane, namespace: &Namespace, owner: &str, annotations: &Value) -> String {
    let labels = json!({"app": owner});
    let template = json!({"metadata": {"labels": labels}, "spec": worker("")["spec"]});
    let spec = json!({"replicas": 0, "selector": {"matchLabels": labels}, "template": template});
    let set = json!({"apiVersion": "apps/v1", "kind": "ReplicaSet", "metadata": {"name": owner}, "spec": spec});
    namespace.create(&set.to_string()).unwrap();
    let uid = plane.read(&["replicaset", owner, "--namespace", &namespace.name])["metadata"]["uid"].take();
    let mut pod = worker(&format!("of-{owner}"));
    pod["metadata"]["annotations"] = annotations.clone();
    pod["metadata"]["ownerReferences"] =
        json!([{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": owner, "uid": uid, "controller": true}]);
    pod.to_string()
}

#[test]
fn a_replica_set_gets_one_event_for_its_claims_from_all_pods_and_replicas() {
    let (plane, _one) = alone();
    let settings = format!("--config={}", plane.file(&format!("{SETTINGS}events: true\n")));
    let installation = Installation::new(plane, "config.events=true", &["--shutdown-delay=0s", &settings]);
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
    // One more reason is written after all events about the three pods.
    let misspelt = json!({"dynamo-cache.io/model-clam": "x", "dynamo-cache.io/skip": "model,compile"});
    namespace.create(&owned(plane, &namespace, "later", &misspelt)).unwrap();
    first.wait_for("/metrics", "dynamo_cache_events_total{result=\"created\"} 2\n");
    let page = first.page("/metrics").unwrap();
    assert!(page.contains("dynamo_cache_events_total{result=\"duplicate\"} 0\n"), "asked for one event twice: {page}");

    drop(first);
    let second = installation.ready("second");
    scale(4);
    second.wait_for("/metrics", "dynamo_cache_events_total{result=\"duplicate\"} 1\n");
    let written = events(plane, &namespace);
    let about_claims = written.iter().filter(|event| event["reason"] == "ClaimNotFound").count();
    assert_eq!((about_claims, written.len()), (1, 2), "another replica has written it too: {written:#?}");
    let configuration = plane.read(&["mutatingwebhookconfiguration", "dynamo-cache"]);
    for entry in configuration["webhooks"].as_array().unwrap() {
        assert_eq!(entry["sideEffects"], "NoneOnDryRun", "{entry:#}");
    }
    assert!(!second.log().contains("sideEffects"), "{}", second.log());
}

#[test]
fn dry_runs_bare_pods_and_caches_skipped_on_request_make_no_event() {
    let (plane, _one) = alone();
    let settings = format!("--config={}", plane.file(&format!("{SETTINGS}events: true\n")));
    let installation = Installation::new(plane, "config.events=true", &["--shutdown-delay=0s", &settings]);
    let replica = installation.ready("one");
    let namespace = Namespace::opted_in(plane, &[]);
    wait_for("a pod to be created", || namespace.create(&worker("bare").to_string()).map(drop));
    let dry = namespace.dry_run(&owned(plane, &namespace, "a-dry-run", &Value::Null));
    assert_eq!(status(&dry)["skipped"][0]["reason"], "claim-not-found", "{dry:#}");
    let skip = json!({"dynamo-cache.io/skip": "model,compile"});
    namespace.create(&owned(plane, &namespace, "b-skipped", &skip)).unwrap();
    // Events are written one after another, so what comes after them is there last.
    namespace.create(&owned(plane, &namespace, "c-skipped", &Value::Null)).unwrap();
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
    let found: Vec<_> = events.iter().map(|event| (&event["regarding"]["name"], &event["reason"])).collect();
    let expected =
        [(&json!("c-skipped"), &json!("ClaimNotFound")), (&json!("e-misspelt"), &json!("AnnotationUnknown"))];
    assert_eq!(found, expected, "{events:#?}");
    replica.wait_for("/metrics", "dynamo_cache_events_total{result=\"created\"} 2\n");
}

#[test]
fn events_that_the_api_server_refuses_disturb_no_pod_and_are_counted() {
    let (plane, _one) = alone();
    // The chart says no, so there is no right to write them; the file says yes, a moment later.
    let settings = plane.file(SETTINGS);
    let arguments = ["--shutdown-delay=0s", &format!("--config={settings}")];
    let installation = Installation::new(plane, "config.events=false", &arguments);
    let replica = installation.ready("one");
    let namespace = Namespace::opted_in(plane, &[]);
    wait_for("a pod to be created", || namespace.create(&worker("bare").to_string()).map(drop));
    namespace.create(&owned(plane, &namespace, "before", &Value::Null)).unwrap();
    fs::write(&settings, format!("{SETTINGS}events: true\n")).unwrap();
    wait_for("the new settings", || {
        let log = replica.log();
        if log.contains("reloaded the settings file") { Ok(()) } else { Err(log) }
    });
    for (number, owner) in [(1, "first"), (2, "second")] {
        namespace.create(&owned(plane, &namespace, owner, &Value::Null)).unwrap();
        assert_eq!(status(&namespace.pod(&format!("of-{owner}")))["skipped"][0]["reason"], "claim-not-found");
        replica.wait_for("/metrics", &format!("dynamo_cache_events_total{{result=\"failed\"}} {number}\n"));
    }
    assert!(events(plane, &namespace).is_empty());
    let log = replica.log();
    assert_eq!(log.matches("failed to write an event").count(), 1, "{log}");
    assert_eq!(log.matches("sideEffects: None instead of NoneOnDryRun").count(), 1, "{log}");
    assert!(log.contains("cannot get resource"), "{log}");
}

/// A caller of a replica that is no API server.
fn anonymous_caller(installation: &Installation<'_>, replica: &Replica<'_>) -> Caller<Tls> {
    let ca = &installation.bundles()[0];
    call(replica.webhook, "dynamo-cache.dynamo-cache.svc", ca, TLS_VERSIONS, &[b"http/1.1"])
}

/// A review of a worker with an owner, as no API server sent it.
pub(crate) fn forged_review(namespace: &str, owner: &Value, container: &str) -> String {
    let mut pod = worker("forged");
    pod["spec"]["containers"][0]["name"] = json!(container);
    pod["metadata"]["ownerReferences"] = json!([owner]);
    let kind = json!({"group": "", "version": "v1", "kind": "Pod"});
    let request = json!({"uid": "u", "namespace": namespace, "kind": kind, "operation": "CREATE", "object": pod});
    json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request}).to_string()
}

#[test]
fn reviews_from_no_api_server_make_no_event_and_delay_no_other_namespace() {
    let (plane, _one) = alone();
    let settings = format!("--config={}", plane.file(&format!("{SETTINGS}events: true\n")));
    let installation = Installation::new(plane, "config.events=true", &["--shutdown-delay=0s", &settings]);
    let replica = installation.ready("one");
    let (flooded, other) = (Namespace::opted_in(plane, &[]), Namespace::opted_in(plane, &[]));
    let made_up = |number: usize| {
        json!({"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": format!("made-up-{number}"),
        "uid": format!("made-up-{number}"), "controller": true})
    };
    let mut caller = anonymous_caller(&installation, &replica);
    wait_for("a namespace to be known", || {
        assert_eq!(caller.review(forged_review(&flooded.name, &made_up(0), "main").as_bytes()).status, 200);
        let page = replica.page("/metrics")?;
        if page.contains("events_total{result=\"unverified\"} 0\n") { Err(page) } else { Ok(()) }
    });
    let (over, asked) = (AtomicBool::new(false), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        let flood = scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                let number = asked.fetch_add(1, Ordering::Relaxed);
                assert_eq!(
                    caller.review(forged_review(&flooded.name, &made_up(number), "main").as_bytes()).status,
                    200
                );
            }
        });
        wait_for("a flood", || {
            let asked = asked.load(Ordering::Relaxed);
            if asked >= 1_000 || flood.is_finished() { Ok(()) } else { Err(format!("{asked} reviews")) }
        });
        let example = fs::read_to_string(format!("{ROOT}/manifests/examples/vllm-worker.yaml")).unwrap();
        other.apply(&example).unwrap();
        let arrived = std::panic::catch_unwind(|| wait_for_events(plane, &other, 1));
        over.store(true, Ordering::Relaxed);
        flood.join().unwrap();
        assert_eq!(arrived.unwrap()[0]["reason"], "ClaimNotFound");
    });
    assert_eq!(events(plane, &flooded), [] as [Value; 0]);
    let page = replica.page("/metrics").unwrap();
    assert!(!page.contains("events_total{result=\"dropped\"} 0\n"), "{page}");
    let log = replica.log();
    let about = log.lines().filter(|line| line.contains(&flooded.name)).count();
    assert!(about <= 150, "{about} of {asked:?} reviews are lines of the log");
}

#[test]
fn an_event_has_no_text_of_the_caller_but_names() {
    let (plane, _one) = alone();
    let settings = format!("--config={}", plane.file(&format!("{SETTINGS}events: true\n")));
    let installation = Installation::new(plane, "config.events=true", &["--shutdown-delay=0s", &settings]);
    let replica = installation.ready("one");
    let namespace = Namespace::opted_in(plane, &[]);
    owned(plane, &namespace, "there", &Value::Null);
    let set = plane.read(&["replicaset", "there", "--namespace", &namespace.name]);
    let owner = json!({"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "there", "uid": set["metadata"]["uid"],
        "controller": true});
    let other_uid =
        json!({"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "there", "uid": "1", "controller": true});
    let mut caller = anonymous_caller(&installation, &replica);
    for (owner, container) in [(&other_uid, "main"), (&owner, "Your cluster is broken, call this number")] {
        wait_for("the namespace to be known", || {
            assert_eq!(caller.review(forged_review(&namespace.name, owner, container).as_bytes()).status, 200);
            let page = replica.page("/metrics")?;
            let result = if container == "main" { "unverified" } else { "created" };
            if page.contains(&format!("events_total{{result=\"{result}\"}} 0\n")) { Err(page) } else { Ok(()) }
        });
    }
    let [event] = wait_for_events(plane, &namespace, 1).try_into().unwrap();
    assert_eq!(event["regarding"]["uid"], set["metadata"]["uid"]);
    let note = event["note"].as_str().unwrap();
    assert!(note.starts_with("container … without model (claim model-cache)"), "{note}");
    assert!(!note.contains("number"), "{note}");
}
