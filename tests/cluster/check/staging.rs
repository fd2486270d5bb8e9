//! `dynamo-cache check` asks the API server whether a namespace takes what mode `staged` adds to a pod.

use serde_json::{Value, json};

use super::{CACHES, lines, only};
use crate::harness::control_plane::namespace::Namespace;
use crate::harness::control_plane::{shared, webhook};

/// A namespace whose workers are staged.
fn staged() -> Namespace<'static> {
    let namespace = Namespace::opted_in(shared(), &[("compile-mode", "staged")]);
    namespace.claims(&CACHES);
    namespace
}

fn create(namespace: &Namespace, version: &str, kind: &str, spec: &Value) {
    let object = json!({"apiVersion": version, "kind": kind, "metadata": {"name": "limits"}, "spec": spec});
    namespace.create(&object.to_string()).unwrap();
}

fn limit_range(namespace: &Namespace, least: &str) {
    let limits = json!([{"type": "Container", "min": {"memory": least}}]);
    create(namespace, "v1", "LimitRange", &json!({"limits": limits}));
}

#[test]
fn a_namespace_takes_a_staged_worker_though_it_is_restricted_and_limited() {
    let _webhook = webhook::running();
    let namespace = staged();
    let taken = || only(&namespace, "staging", "ok: the API server takes a staged worker", "");
    taken();
    let level = "pod-security.kubernetes.io/enforce=restricted";
    namespace.kubectl(&["label", "namespace", &namespace.name, level]).unwrap();
    taken();
    let hard = json!({"requests.cpu": "2", "limits.cpu": "4", "requests.memory": "2Gi", "limits.memory": "2Gi"});
    create(&namespace, "v1", "ResourceQuota", &json!({"hard": hard}));
    taken();
    limit_range(&namespace, "32Mi");
    taken();
    namespace
        .kubectl(&["annotate", "--overwrite", "namespace", &namespace.name, "dynamo-cache.io/compile-mode=direct"])
        .unwrap();
    assert!(lines(&namespace, "staging").is_empty(), "nothing is staged");
}

#[test]
fn a_namespace_that_takes_workers_but_no_staged_ones_is_a_failure_with_its_reason() {
    let _webhook = webhook::running();
    let begin = "failed: the API server takes a worker, but not a staged one: ";
    let namespace = staged();
    limit_range(&namespace, "512Mi");
    only(&namespace, "staging", begin, &format!("kubectl describe limitranges -n {}", namespace.name));
    only(&namespace, "staging", begin, "minimum memory usage per Container is 512Mi");

    let namespace = staged();
    create(&namespace, "v1", "ResourceQuota", &json!({"hard": {"limits.memory": "1Gi", "limits.cpu": "4"}}));
    only(&namespace, "staging", begin, &format!("kubectl describe resourcequotas -n {}", namespace.name));

    // What refuses every worker has nothing to do with it.
    let namespace = staged();
    create(&namespace, "v1", "ResourceQuota", &json!({"hard": {"pods": "0"}}));
    only(
        &namespace,
        "staging",
        "not-checked: staging: not checked: the API server takes no worker, staged or not: ",
        "",
    );

    let namespace = Namespace::opted_in(shared(), &[("compile-mode", "staged")]);
    only(&namespace, "staging", "not-checked: ", "");
}
