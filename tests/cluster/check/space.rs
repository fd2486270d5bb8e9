//! `dynamo-cache check` on the space of claims. There is no kubelet here; the node suite has one that has measured a claim.

use serde_json::json;

use super::{CACHES, lines, only};
use crate::harness::control_plane::namespace::{Namespace, node};
use crate::harness::control_plane::{shared, webhook};
use crate::harness::pods::worker;

#[test]
fn a_kubelet_that_does_not_answer_leaves_the_space_to_usage() {
    let _webhook = webhook::running();
    let namespace = Namespace::opted_in(shared(), &[]);
    for claim in CACHES {
        namespace.bound_claim(claim, &json!({"hostPath": {"path": "/none"}}));
    }
    namespace.kubectl(&["annotate", "pvc", "--all", "dynamo-cache.io/writable=true"]).unwrap();
    assert!(lines(&namespace, "model-space").is_empty(), "no pod mounts it");
    namespace.create(&node("space", ("dynamo-cache.test/space", "true")).to_string()).unwrap();
    let mut worker = worker("worker");
    worker["spec"]["nodeName"] = json!("space");
    namespace.create(&worker.to_string()).unwrap();
    let running = json!({"status": {"phase": "Running"}}).to_string();
    namespace
        .kubectl(&["patch", "pod", "worker", "--subresource=status", "--type=merge", "--patch", &running])
        .unwrap();
    let usage = format!("; dynamo-cache usage -n {} measures it", namespace.name);
    for check in ["model-space", "compile-space"] {
        only(&namespace, check, &format!("not-checked: {check}: not checked: "), &usage);
    }
    namespace.kubectl(&["delete", "pod", "worker", "--force", "--grace-period=0"]).unwrap();
    namespace.kubectl(&["delete", "node", "space"]).unwrap();
}
