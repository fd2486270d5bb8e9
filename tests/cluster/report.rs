//! `dynamo-cache report`: how long the engines took to start, with a compile cache and without.

use serde_json::{Value, json};

use crate::harness::control_plane::namespace::Namespace;
use crate::harness::control_plane::{shared, webhook};
use crate::harness::pods::{example, worker};
use crate::harness::program::row;

/// Says in the place of a kubelet that a pod was scheduled at 10:00:00 and ready so many seconds later.
fn becomes_ready(namespace: &Namespace, pod: &str, seconds: u64, restarts: u64) {
    let condition = |kind: &str, at: String| json!({"type": kind, "status": "True", "lastTransitionTime": at});
    let status = json!({"status": {
        "phase": "Running",
        "conditions": [
            condition("PodScheduled", "2026-11-29T10:00:00Z".to_owned()),
            condition("Ready", format!("2026-11-29T10:{:02}:{:02}Z", seconds / 60, seconds % 60)),
        ],
        "containerStatuses": [{
            "name": "worker", "image": "i", "imageID": "", "ready": true, "restartCount": restarts,
            "state": {"running": {}},
        }],
    }});
    let patch = status.to_string();
    namespace.kubectl(&["patch", "pod", pod, "--subresource=status", "--type=merge", "--patch", &patch]).unwrap();
}

#[test]
fn the_report_compares_the_starts_of_an_owner_with_and_without_a_compile_cache() {
    let _webhook = webhook::running();
    let namespace = Namespace::opted_in(shared(), &[]);
    namespace.claims(&["model-cache", "compilation-cache"]);
    namespace.apply(&example("vllm-worker.yaml")).unwrap();
    namespace.kubectl(&["scale", "deployment/vllm-worker", "--replicas=4"]).unwrap();
    let wait = ["wait", "--for=jsonpath={.status.replicas}=4", "deployment/vllm-worker", "--timeout=60s"];
    namespace.kubectl(&wait).unwrap();
    let pods = namespace.kubectl(&["get", "pods", "--selector=app=vllm-worker", "--output=name"]).unwrap().out;
    let pods: Vec<&str> = pods.lines().filter_map(|line| line.strip_prefix("pod/")).collect();
    assert_eq!(pods.len(), 4, "{pods:?}");
    for (pod, seconds) in pods.iter().zip([48, 61, 39]) {
        becomes_ready(&namespace, pod, seconds, 0);
    }
    // A later start, whose own time is not known.
    becomes_ready(&namespace, pods[3], 900, 1);
    for (name, seconds) in [("by-hand-1", 101), ("by-hand-2", 103)] {
        let mut worker = worker(name);
        worker["metadata"]["annotations"] = json!({"dynamo-cache.io/skip": "compile"});
        namespace.create(&worker.to_string()).unwrap();
        becomes_ready(&namespace, name, seconds, 0);
    }
    let mut frontend = worker("frontend");
    frontend["spec"]["containers"][0]["command"] = json!(["python3", "-m", "dynamo.frontend"]);
    namespace.create(&frontend.to_string()).unwrap();

    let said = namespace.dynamo_cache(&["report"]);
    assert_eq!((said.code, said.errors.as_str()), (Some(0), ""), "{}", said.output);
    let cells = |begin: &[&str]| row(&said.output, &[&[namespace.name.as_str()], begin].concat());
    assert_eq!(cells(&["deployment/vllm-worker"])[2..], ["with", "4", "48 s"]);
    assert_eq!(cells(&["pod/by-hand-1"])[2..], ["without", "1", "too few (1)"]);
    assert!(!said.output.contains("frontend"), "{}", said.output);

    let said = shared().dynamo_cache(&["report", "-A", "-o", "json"]);
    let rows: Vec<Value> = serde_json::from_str(&said.output).unwrap();
    let expected = json!({
        "namespace": namespace.name, "owner": "deployment/vllm-worker", "compileCache": "with",
        "pods": 4, "starts": 3, "medianSeconds": 48,
        "medianRestoredBytes": null, "medianRestoreSeconds": null, "misses": {},
    });
    assert!(rows.contains(&expected), "{rows:#?}");
    let said = Namespace::plain(shared()).dynamo_cache(&["report"]);
    assert_eq!((said.code, said.output.as_str()), (Some(0), "No Dynamo engine runs.\n"));
}
