//! `dynamo-cache status`: the components of a namespace, and which of them a restart would help.

use serde_json::json;

use crate::harness::control_plane::namespace::Namespace;
use crate::harness::control_plane::{shared, webhook};
use crate::harness::pods::{example, status, worker};
use crate::harness::program::row;

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
    let summary = format!("{}: 1 component, 0 with every cache in place\n", namespace.name);
    assert!(said.output.contains(&summary), "{}", said.output);
    assert!(!said.output.contains("kubectl"), "{}", said.output);

    namespace.claims(&["compilation-cache"]);
    let rollout = format!("kubectl rollout restart deployment/vllm-worker -n {}\n", namespace.name);
    for arguments in [&["status", "-A"][..], &["status", "-n", &namespace.name]] {
        let said = shared().dynamo_cache(arguments);
        let advice = format!("Started without a claim that is usable now (compile cache):\n  {rollout}");
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
        let delete =
            format!("kubectl delete pod worker -n {}, then create it again: the pod has no controller", namespace.name);
        format!("\nStarted with other settings than the current ones ({what}):\n  {delete}\n")
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
fn an_unreviewed_component_has_no_status_in_the_list() {
    let _webhook = webhook::running();
    let namespace = Namespace::plain(shared());
    namespace.create(&worker("missed").to_string()).unwrap();
    let said = namespace.dynamo_cache(&["status"]);
    assert_eq!(row(&said.output, &[&namespace.name, "missed"])[2..], ["main", "no status", "no status", "no status"]);
    let advice = format!("1 without a status (dynamo-cache explain POD -n {} shows why)", namespace.name);
    assert!(said.output.contains(&advice), "{}", said.output);
    assert!(said.output.contains("recreate the pods:\n  kubectl delete pod missed -n "), "{}", said.output);
    let empty = Namespace::plain(shared());
    assert_eq!(empty.dynamo_cache(&["status"]).output, "There are no Dynamo components.\n");
}
