//! Installation: the API server accepts what a person applies.

use std::fs;

use dynamo_cache::config::Config;
use serde_json::json;

use crate::harness::control_plane::{ControlPlane, shared, webhook};
use crate::harness::{ROOT, wait_for};

/// Kinds that only a cluster with Dynamo has.
const KINDS_OF_DYNAMO: [&str; 2] = ["DynamoGraphDeployment", "RoleBasedGroup"];

#[test]
fn the_rendered_manifests_install_with_kubectl_alone_and_the_examples_apply() {
    let plane = ControlPlane::start().unwrap();
    let warned = plane.bash("kubectl apply -f manifests/install.yaml").unwrap().err;
    assert_eq!(warned, "", "a pod that is not `restricted` would be warned of");
    let changes = plane.bash("kubectl diff -f manifests/install.yaml").unwrap().out;
    assert_eq!(changes, "", "a second time would change something");
    wait_for("two replicas", || {
        let pods = plane.read(&["pods", "--namespace=dynamo-cache"]);
        let pods = pods["items"].as_array().map_or(0, Vec::len);
        if pods == 2 { Ok(()) } else { Err(format!("{pods} pods")) }
    });

    let printed = plane.bash("certs/dev --out \"$(dirname \"$KUBECONFIG\")/certs\"").unwrap().out;
    let commands =
        printed.split_once("installed with certificate.mode=secret:").expect("certs/dev prints the next commands").1;
    plane.bash(commands).unwrap();
    let ca = "kubectl get mutatingwebhookconfiguration dynamo-cache -o jsonpath='{.webhooks[0].clientConfig.caBundle}'";
    let ca = plane.bash(&format!("{ca} | base64 -d | openssl x509 -noout -subject")).unwrap().out;
    assert!(ca.contains("dynamo-cache development CA"), "{ca}");

    plane.bash("kubectl apply -f manifests/examples/namespace.yaml").unwrap();
    let wait = "kubectl wait --for=create serviceaccount/default --namespace inference --timeout=60s";
    plane.bash(wait).unwrap();
    for entry in fs::read_dir(format!("{ROOT}/manifests/examples")).unwrap() {
        let example = entry.unwrap().path().display().to_string();
        if let Err(said) = plane.bash(&format!("kubectl apply --namespace inference -f '{example}'")) {
            let unknown = KINDS_OF_DYNAMO.iter().any(|kind| said.contains(&format!("no matches for kind \"{kind}\"")));
            assert!(unknown, "{said}");
        }
    }
}

#[test]
fn the_settings_of_the_chart_are_the_built_in_ones() {
    let _webhook = webhook::running();
    let settings = shared().read(&["configmap", "dynamo-cache", "--namespace=dynamo-cache"]);
    let config = Config::read(settings["data"]["config.yaml"].as_str().unwrap()).unwrap();
    // But for the image of mode staged, which is the webhook's own.
    let deployment = shared().read(&["deployment", "dynamo-cache", "--namespace=dynamo-cache"]);
    let image = deployment["spec"]["template"]["spec"]["containers"][0]["image"].as_str();
    assert_eq!(config.settings.staging.image.as_deref(), image);
    let mut settings = config.settings;
    settings.staging = Config::default().settings.staging;
    assert_eq!((settings, config.events), (Config::default().settings, false));
}

#[test]
fn helm_takes_the_chart_and_the_webhook_configuration_is_what_the_readme_says() {
    let _webhook = webhook::running();
    let plane = shared();
    plane.bash("helm lint --strict manifests/chart").unwrap();
    let configuration = plane.read(&["mutatingwebhookconfiguration", "dynamo-cache"]);
    let webhooks = configuration["webhooks"].as_array().unwrap();
    assert_eq!(webhooks.len(), 2, "{configuration:#}");
    assert_eq!(webhooks[1]["name"], "canary.dynamo-cache.io", "a name that can never change");
    let own = json!({"kubernetes.io/metadata.name": "dynamo-cache"});
    assert_eq!(webhooks[1]["namespaceSelector"]["matchLabels"], own, "no other namespace");
    let webhook = &webhooks[0];
    assert_eq!(webhook["name"], "pods.dynamo-cache.io", "a name that can never change");
    assert_eq!(webhook["failurePolicy"], "Ignore");
    assert_eq!(webhook["timeoutSeconds"], 3);
    assert_eq!(webhook["reinvocationPolicy"], "IfNeeded");
    assert_eq!(webhook["sideEffects"], "None");
    assert_eq!(webhook["matchPolicy"], "Equivalent");
    let rule = json!({
        "apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"], "scope": "Namespaced",
    });
    assert_eq!(webhook["rules"], json!([rule]));
    let selector = &webhook["namespaceSelector"];
    assert_eq!(selector["matchLabels"], json!({"dynamo-cache.io/inject": "enabled"}));
    let never = json!(["dynamo-cache", "kube-system", "kube-public", "kube-node-lease"]);
    let never = json!([{"key": "kubernetes.io/metadata.name", "operator": "NotIn", "values": never}]);
    assert_eq!(selector["matchExpressions"], never);
}

#[test]
fn the_webhook_can_do_what_the_chart_allows_it_and_no_more() {
    let _webhook = webhook::running();
    let plane = shared();
    let may = |verb: &str, resource: &str| {
        let account = "--as=system:serviceaccount:dynamo-cache:dynamo-cache";
        plane.kubectl(&["auth", "can-i", verb, resource, account, "--all-namespaces", "--quiet"]).is_ok()
    };
    for resource in ["namespaces", "persistentvolumeclaims"] {
        for verb in ["get", "list", "watch"] {
            assert!(may(verb, resource), "it may not {verb} {resource}");
        }
        assert!(!may("patch", resource), "it may patch {resource}");
    }
    let account = "--as=system:serviceaccount:dynamo-cache:dynamo-cache";
    let own = |verb: &str, kind: &str, name: &str| {
        let named = format!("{kind}/{name}");
        plane.kubectl(&["auth", "can-i", verb, &named, account, "--namespace=dynamo-cache", "--quiet"]).is_ok()
    };
    for (kind, name, verbs) in [
        ("secrets", "dynamo-cache-ca", ["list", "watch", "patch"].as_slice()),
        ("mutatingwebhookconfigurations", "dynamo-cache", &["get", "watch", "patch"]),
    ] {
        for verb in verbs {
            assert!(own(verb, kind, name), "it may not {verb} {kind}/{name}");
            assert!(!own(verb, kind, "other"), "it may {verb} {kind}/other");
        }
        assert!(!own("delete", kind, name), "it may delete {kind}/{name}");
    }
    assert!(!own("create", "secrets", "dynamo-cache-ca") && !own("update", "secrets", "dynamo-cache-ca"));
    assert!(may("list", "pods"), "it may not list pods, to count them");
    for (verb, resource) in [
        ("get", "secrets"),
        ("create", "secrets"),
        ("create", "pods"),
        ("get", "pods"),
        ("watch", "pods"),
        ("create", "events.events.k8s.io"),
        ("get", "configmaps"),
    ] {
        assert!(!may(verb, resource), "it may {verb} {resource}");
    }
}
