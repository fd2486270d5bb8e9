//! `dynamo-cache preview` and `status`: a namespace before and after it is labelled.

use std::fs;

use serde_json::{Value, json};

use crate::harness::ROOT;
use crate::harness::control_plane::namespace::Namespace;
use crate::harness::control_plane::{shared, webhook};
use crate::harness::pods::{assert_untouched, status, worker};

fn example(name: &str) -> String {
    fs::read_to_string(format!("{ROOT}/manifests/examples/{name}")).unwrap()
}

/// The row of a table that begins with these cells, as its cells.
fn row(table: &str, begin: &[&str]) -> Vec<String> {
    let rows = table.lines().map(|line| line.split("  ").map(str::trim).filter(|cell| !cell.is_empty()).collect());
    let mut rows = rows.filter(|row: &Vec<&str>| row.starts_with(begin));
    let found = rows.next().unwrap_or_else(|| panic!("no row begins with {begin:?} in:\n{table}"));
    found.into_iter().map(str::to_owned).collect()
}

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
    assert_eq!(row(table, &["Pod/other"])[1..], ["–", "left alone: not-a-component"], "{table}");
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
    assert!(said.output.starts_with("There are no pods in namespace "), "{}", said.output);
    let said = shared().dynamo_cache(&["preview", "-n", "nowhere"]);
    assert_eq!((said.code, said.errors.as_str()), (Some(1), "there is no namespace nowhere\n"));
    assert_eq!(shared().dynamo_cache(&["preview", "-o", "xml"]).code, Some(2));
}

#[test]
fn the_status_lists_components_and_advises_a_rollout_where_a_claim_came_later() {
    let _webhook = webhook::running();
    let namespace = Namespace::opted_in(shared(), &[]);
    namespace.claims(&["model-cache"]);
    namespace.apply(&example("vllm-worker.yaml")).unwrap();
    let pod = namespace.pod_of_controller("app=vllm-worker");
    let pod = pod["metadata"]["name"].as_str().unwrap();
    let mut other = worker("other");
    other["spec"]["containers"][0]["command"] = json!(["sleep"]);
    namespace.create(&other.to_string()).unwrap();

    let said = namespace.dynamo_cache(&["status"]);
    assert_eq!((said.code, said.errors.as_str()), (Some(0), ""), "{}", said.output);
    assert_eq!(row(&said.output, &[&namespace.name, pod])[2..], ["worker", "✓", "claim-not-found", "–"]);
    assert!(!said.output.contains("  other  "), "{}", said.output);
    let why = "\nWhy not\n  claim-not-found: the claim is not in the pod's namespace. Create the claim ";
    assert!(said.output.contains(why), "{}", said.output);
    let summary = format!("{}: 1 component, 0 with all that is theirs\n", namespace.name);
    assert!(said.output.contains(&summary), "{}", said.output);
    assert!(!said.output.contains("kubectl"), "{}", said.output);

    namespace.claims(&["compilation-cache"]);
    let rollout = format!("kubectl rollout restart deployment/vllm-worker -n {}\n", namespace.name);
    for arguments in [&["status", "-A"][..], &["status", "-n", &namespace.name]] {
        let said = shared().dynamo_cache(arguments);
        let advice = format!("Started without a claim that can be used now (compile cache):\n  {rollout}");
        assert!(said.output.contains(&advice), "{}", said.output);
    }
    assert_eq!(shared().dynamo_cache(&["status", "-A", "-n", "x"]).code, Some(2));
}

#[test]
fn the_status_advises_a_restart_where_a_setting_brings_a_cache_or_another_claim() {
    let _webhook = webhook::running();
    let namespace = Namespace::opted_in(shared(), &[("compile-mount-path", "/data/compiled")]);
    namespace.claims(&["model-cache", "compilation-cache", "models2"]);
    let mut worker = worker("worker");
    // What comes of the user's own variable is no matter of settings.
    worker["spec"]["containers"][0]["env"] = json!([{"name": "HF_HOME", "value": "/data"}]);
    namespace.create(&worker.to_string()).unwrap();
    let recorded = status(&namespace.pod("worker"));
    assert_eq!(recorded["skipped"][0]["reason"], "user-cache", "{recorded:#}");
    let said_after = |annotations: &[&str]| {
        let annotate = ["annotate", "--overwrite", "namespace", &namespace.name];
        namespace.kubectl(&[&annotate, annotations].concat()).unwrap();
        let said = namespace.dynamo_cache(&["status"]);
        assert_eq!((said.code, said.errors.as_str()), (Some(0), ""), "{}", said.output);
        said.output
    };
    let advice = |what: &str| {
        let delete = format!("kubectl delete pod worker -n {}, and create it again: nothing else does", namespace.name);
        format!("\nStarted with other settings than those of now ({what}):\n  {delete}\n")
    };
    let output = said_after(&["dynamo-cache.io/model-offline=true"]);
    assert!(!output.contains("Started"), "{output}");
    let output = said_after(&["dynamo-cache.io/model-express-url=mx:8001"]);
    assert_eq!(row(&output, &[&namespace.name, "worker"])[2..], ["main", "✓", "user-cache", "not decided"], "{output}");
    assert!(output.ends_with(&advice("model-express")), "{output}");
    let output = said_after(&["dynamo-cache.io/model-express-url-", "dynamo-cache.io/model-claim=models2"]);
    assert!(output.ends_with(&advice("model cache on claim models2")), "{output}");
    let output = said_after(&["dynamo-cache.io/model-claim-", "dynamo-cache.io/compile-mount-path=/compiled"]);
    assert!(output.ends_with(&advice("compile cache")), "{output}");
}

#[test]
fn a_component_that_the_webhook_did_not_see_has_no_status_in_the_list() {
    let _webhook = webhook::running();
    let namespace = Namespace::plain(shared());
    namespace.create(&worker("missed").to_string()).unwrap();
    let said = namespace.dynamo_cache(&["status"]);
    assert_eq!(row(&said.output, &[&namespace.name, "missed"])[2..], ["main", "no status", "no status", "no status"]);
    let advice = format!("1 without a status (dynamo-cache explain POD -n {} tells why)", namespace.name);
    assert!(said.output.contains(&advice), "{}", said.output);
    assert!(said.output.contains("have them made anew:\n  kubectl delete pod missed -n "), "{}", said.output);
    let empty = Namespace::plain(shared());
    assert_eq!(empty.dynamo_cache(&["status"]).output, "There are no Dynamo components.\n");
}
