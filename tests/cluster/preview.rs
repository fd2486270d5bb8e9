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
    let rows = table.lines().filter(|line| line.contains("vllm-worker  ")).count();
    assert_eq!(rows, 1, "what a workload has made is not shown again: {table}");
    assert!(table.contains("claim-not-found: the claim is not in the pod's namespace (claim compilation-cache). "));
    assert!(table.contains("2 of 3 would change"), "{table}");
    let label = format!("kubectl label namespace {} dynamo-cache.io/inject=enabled --overwrite\n", namespace.name);
    assert!(table.contains(&label), "{table}");
    let missing =
        "\nNo finished download has brought to claim model-cache: Qwen/Qwen3-0.6B (Deployment/vllm-worker, --model)\n";
    let command = format!("dynamo-cache download --from -n {} --apply --wait\n", namespace.name);
    assert!(table.contains(missing) && table.ends_with(&command), "{table}");

    let said = namespace.dynamo_cache(&["preview", "-o", "diff"]);
    assert!(said.output.starts_with("--- Deployment/vllm-worker\n"), "{}", said.output);
    let (_, bare) = said.output.split_once("--- Pod/bare\n").unwrap();
    let deployment = said.output.strip_suffix(bare).unwrap();
    for diff in [deployment, bare] {
        let mut added = diff.lines().filter_map(|line| line.strip_prefix('+')).map(str::trim);
        assert!(added.any(|line| line == "claimName: model-cache"), "{}", said.output);
    }
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
fn a_preview_shows_what_a_controller_made_where_only_it_knows_the_pods() {
    let _webhook = webhook::running();
    shared().define("jobset.x-k8s.io", "v1alpha2", "JobSet", "jobsets");
    shared().define("serving.kserve.io", "v1beta1", "InferenceService", "inferenceservices");
    let namespace = Namespace::plain(shared());
    namespace.claims(&["model-cache", "compilation-cache"]);
    let jobs = json!({
        "apiVersion": "jobset.x-k8s.io/v1alpha2", "kind": "JobSet", "metadata": {"name": "batch"},
        "spec": {"replicatedJobs": [{"name": "w", "template": {"spec": {"template": {"spec": worker("x")["spec"]}}}}]},
    });
    let service = |name: &str, predictor: Value| {
        json!({
            "apiVersion": "serving.kserve.io/v1beta1", "kind": "InferenceService", "metadata": {"name": name},
            "spec": {"predictor": predictor},
        })
    };
    let services =
        [service("described", worker("x")["spec"].clone()), service("model", json!({"model": {"name": "m"}}))];
    namespace.create(&format!("{jobs}\n---\n{}\n---\n{}", services[0], services[1])).unwrap();
    for name in ["described", "model"] {
        let uid = namespace
            .kubectl(&["get", "inferenceservices.serving.kserve.io", name, "--output=jsonpath={.metadata.uid}"])
            .unwrap()
            .out;
        let mut made = worker(&format!("made-of-{name}"));
        made["metadata"]["ownerReferences"] = json!([{
            "apiVersion": "serving.kserve.io/v1beta1", "kind": "InferenceService", "name": name, "uid": uid, "controller": true,
        }]);
        namespace.create(&made.to_string()).unwrap();
    }
    let table = namespace.dynamo_cache(&["preview"]).output;
    for name in ["JobSet/batch", "InferenceService/described", "Pod/made-of-model"] {
        assert_eq!(row(&table, &[name])[1..], ["main", "added", "added", "–"], "{table}");
    }
    assert!(table.contains("\n3 of 3 would change"), "{table}");
}

#[test]
fn a_preview_shows_a_graph_until_its_operator_has_made_workloads() {
    let _webhook = webhook::running();
    shared().define("nvidia.com", "v1beta1", "DynamoGraphDeployment", "dynamographdeployments");
    shared().define("nvidia.com", "v1beta1", "DynamoComponentDeployment", "dynamocomponentdeployments");
    let namespace = Namespace::plain(shared());
    namespace.claims(&["model-cache", "compilation-cache"]);
    let component = |name: &str, kind: &str, command: &[&str]| {
        let container =
            json!({"name": "main", "image": "nvcr.io/nvidia/ai-dynamo/vllm-runtime:1.6.1", "command": command});
        json!({"name": name, "type": kind, "podTemplate": {"spec": {"containers": [container]}}})
    };
    let components =
        [component("Frontend", "frontend", &[]), component("Worker", "worker", &["python3", "-m", "dynamo.vllm"])];
    let graph = json!({
        "apiVersion": "nvidia.com/v1beta1", "kind": "DynamoGraphDeployment", "metadata": {"name": "qwen"},
        "spec": {"components": components},
    });
    namespace.create(&graph.to_string()).unwrap();
    let said = namespace.dynamo_cache(&["preview"]);
    assert_eq!((said.code, said.errors.as_str()), (Some(0), ""), "{}", said.output);
    let (table, graph) = (&said.output, "DynamoGraphDeployment/qwen");
    assert_eq!(row(table, &[&format!("{graph} Frontend")])[1..], ["main", "added", "–", "–"], "{table}");
    assert_eq!(row(table, &[&format!("{graph} Worker")])[1..], ["main", "added", "added", "–"], "{table}");
    let note = format!("As far as the graph describes them, until its operator has made the pods: {graph}\n");
    assert!(table.contains(&note) && !table.contains("would change"), "what does not change is not counted: {table}");
    assert!(table.contains("`dynamo-cache explain -f FILE` with the graph's file shows more of them.\n"), "{table}");
    assert_eq!(namespace.dynamo_cache(&["preview", "-o", "diff"]).output, "");

    let uid =
        namespace.kubectl(&["get", "dynamographdeployments.nvidia.com", "qwen", "--output=jsonpath={.metadata.uid}"]);
    let owner = json!([{
        "apiVersion": "nvidia.com/v1beta1", "kind": "DynamoGraphDeployment", "name": "qwen", "uid": uid.unwrap().out,
        "controller": true,
    }]);
    let mut made = worker("made");
    made["metadata"]["ownerReferences"] = owner;
    namespace.create(&made.to_string()).unwrap();
    let table = namespace.dynamo_cache(&["preview"]).output;
    assert!(table.contains("\n1 of 1 would change; -o diff shows how.\n"), "{table}");
    assert_eq!(row(&table, &["Pod/made"])[1..], ["main", "added", "added", "–"], "{table}");
    assert!(!table.contains("DynamoGraphDeployment"), "{table}");
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
