//! `dynamo-cache preview`: a namespace before it is labelled.

use serde_json::{Value, json};

use crate::harness::control_plane::namespace::Namespace;
use crate::harness::control_plane::{shared, webhook};
use crate::harness::pods::{assert_untouched, example, status, worker};
use crate::harness::program::row;

#[test]
fn a_preview_shows_what_an_unlabelled_namespace_would_get_and_changes_nothing() {
    let _webhook = webhook::running();
    let namespace = Namespace::plain(shared());
    namespace.claims(&["model-cache"]);
    namespace.apply(&example("vllm-worker.yaml")).unwrap();
    namespace.create(&worker("bare").to_string()).unwrap();
    let mut other = worker("other");
    other["spec"]["containers"][0]["command"] = json!(["sleep"]);
    namespace.create(&other.to_string()).unwrap();
    namespace.pod_of_controller("app=vllm-worker");

    let said = namespace.dynamo_cache(&["preview"]);
    assert_eq!((said.code, said.errors.as_str()), (Some(0), ""), "{}", said.output);
    let table = &said.output;
    assert_eq!(row(table, &["Deployment/vllm-worker"])[1..], ["worker", "added", "claim-not-found", "–"], "{table}");
    assert_eq!(row(table, &["Pod/bare"])[1..], ["main", "added", "claim-not-found", "–"], "{table}");
    assert_eq!(row(table, &["Pod/other"])[1..], ["–", "untouched: not-a-component"], "{table}");
    assert_eq!(table.matches("vllm-worker").count(), 1, "what a workload has made is not shown again: {table}");
    assert!(table.contains("claim-not-found: the claim is not in the pod's namespace (claim compilation-cache). "));
    assert!(table.contains("2 of 3 would change"), "{table}");
    let label = format!("kubectl label namespace {} dynamo-cache.io/inject=enabled --overwrite\n", namespace.name);
    assert!(table.ends_with(&label), "{table}");

    let said = namespace.dynamo_cache(&["preview", "-o", "diff"]);
    assert!(said.output.starts_with("--- Deployment/vllm-worker\n"), "{}", said.output);
    assert!(
        said.output.contains("+              claimName: model-cache") || said.output.contains("claimName: model-cache")
    );
    assert!(!said.output.contains("managedFields"), "{}", said.output);
    assert_untouched(&namespace.pod("bare"));

    // The webhook does what the preview said.
    namespace.kubectl(&["label", "namespace", &namespace.name, "dynamo-cache.io/inject=enabled"]).unwrap();
    assert!(!namespace.dynamo_cache(&["preview"]).output.contains("kubectl label"));
    let stored = namespace.dry_run(&worker("after").to_string());
    assert_eq!(status(&stored)["containers"], json!({"main": ["model"]}), "{stored:#}");
}

/// A pod template whose vLLM engine spans nodes.
fn of_many_nodes(name: &str) -> Value {
    let container = json!({
        "name": name, "image": "nvcr.io/nvidia/ai-dynamo/vllm-runtime:1.6.1",
        "command": ["python3", "-m", "dynamo.vllm"], "args": ["--nnodes", "2"],
    });
    json!({"spec": {"containers": [container]}})
}

#[test]
fn a_preview_shows_the_workloads_of_dynamos_neighbours() {
    let _webhook = webhook::running();
    for (group, version, kind, plural) in [
        ("leaderworkerset.x-k8s.io", "v1", "LeaderWorkerSet", "leaderworkersets"),
        ("workloads.x-k8s.io", "v1alpha2", "RoleBasedGroup", "rolebasedgroups"),
        ("grove.io", "v1alpha1", "PodCliqueSet", "podcliquesets"),
        ("grove.io", "v1alpha1", "PodClique", "podcliques"),
    ] {
        shared().define(group, version, kind, plural);
    }
    let namespace = Namespace::plain(shared());
    namespace.claims(&["model-cache", "compilation-cache"]);
    namespace.create(&example("rolebasedgroup-sglang.yaml")).unwrap();
    let set = json!({
        "apiVersion": "leaderworkerset.x-k8s.io/v1", "kind": "LeaderWorkerSet", "metadata": {"name": "lws"},
        "spec": {"leaderWorkerTemplate": {
            "leaderTemplate": of_many_nodes("leader"), "workerTemplate": of_many_nodes("follower"),
        }},
    });
    let clique = json!({"name": "decode", "spec": {"podSpec": worker("x")["spec"]}});
    let cliques = json!({
        "apiVersion": "grove.io/v1alpha1", "kind": "PodCliqueSet", "metadata": {"name": "graph"},
        "spec": {"template": {"cliques": [clique]}},
    });
    // One that the set has made: it is not shown again, and one of its own is.
    let uid = {
        namespace.create(&format!("{set}\n---\n{cliques}")).unwrap();
        let stored =
            namespace.kubectl(&["get", "podcliquesets.grove.io", "graph", "--output=jsonpath={.metadata.uid}"]);
        stored.unwrap().out
    };
    let owner = json!([{
        "apiVersion": "grove.io/v1alpha1", "kind": "PodCliqueSet", "name": "graph", "uid": uid, "controller": true,
    }]);
    let clique = |name: &str, owners: &Value| {
        let metadata = json!({"name": name, "ownerReferences": owners});
        let spec = json!({"podSpec": worker("x")["spec"]});
        json!({"apiVersion": "grove.io/v1alpha1", "kind": "PodClique", "metadata": metadata, "spec": spec}).to_string()
    };
    namespace.create(&format!("{}\n---\n{}", clique("made", &owner), clique("alone", &json!([])))).unwrap();

    let said = namespace.dynamo_cache(&["preview"]);
    assert_eq!((said.code, said.errors.as_str()), (Some(0), ""), "{}", said.output);
    let table = &said.output;
    let (group, set) = ("RoleBasedGroup/qwen3-sglang", "LeaderWorkerSet/lws");
    for (workload, cells) in [
        (format!("{group} /spec/roles/0/standalonePattern/template"), ["frontend", "added", "–", "–"]),
        (format!("{group} /spec/roles/1/standalonePattern/template"), ["sglang", "added", "added", "–"]),
        (format!("{set} /spec/leaderWorkerTemplate/leaderTemplate"), ["leader", "added", "multi-node", "–"]),
        (format!("{set} /spec/leaderWorkerTemplate/workerTemplate"), ["follower", "added", "multi-node", "–"]),
    ] {
        assert_eq!(row(table, &[&workload])[1..], cells, "{table}");
    }
    assert_eq!(row(table, &["PodCliqueSet/graph"])[1..], ["main", "added", "added", "–"], "{table}");
    assert_eq!(row(table, &["PodClique/alone"])[1..], ["main", "added", "added", "–"], "{table}");
    assert!(!table.contains("PodClique/made"), "{table}");

    let said = namespace.dynamo_cache(&["preview", "-o", "diff"]);
    for name in [group, set, "PodCliqueSet/graph", "PodClique/alone"] {
        assert!(said.output.contains(&format!("--- {name}\n")), "{}", said.output);
    }
}

#[test]
fn a_preview_of_nothing_says_so_and_one_of_no_namespace_fails() {
    let _webhook = webhook::running();
    let namespace = Namespace::plain(shared());
    let said = namespace.dynamo_cache(&["preview"]);
    assert!(said.output.contains(" has no pods and no workloads that create pods."), "{}", said.output);
    let said = shared().dynamo_cache(&["preview", "-n", "nowhere"]);
    assert_eq!((said.code, said.errors.as_str()), (Some(1), "there is no namespace nowhere\n"));
    assert_eq!(shared().dynamo_cache(&["preview", "-o", "xml"]).code, Some(2));
}
