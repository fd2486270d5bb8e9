//! Promises about installing it: what a person applies is what the API server takes.

use std::fs;

use dynamo_cache::config::Config;
use serde_json::json;

use crate::harness::control_plane::ControlPlane;
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

    let told = plane.bash("certs/dev --out \"$(dirname \"$KUBECONFIG\")/certs\"").unwrap().out;
    let commands = told.split_once("installed with certificate.mode=secret:").expect("certs/dev tells how to go on").1;
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
    let _webhook = crate::harness::control_plane::webhook::running();
    let settings =
        crate::harness::control_plane::shared().read(&["configmap", "dynamo-cache", "--namespace=dynamo-cache"]);
    let config = Config::read(settings["data"]["config.yaml"].as_str().unwrap()).unwrap();
    assert_eq!((config.settings, config.events), (Config::default().settings, false));
}

#[test]
fn helm_takes_the_chart_and_the_webhook_configuration_is_what_the_readme_says() {
    let _webhook = crate::harness::control_plane::webhook::running();
    let plane = crate::harness::control_plane::shared();
    plane.bash("helm lint --strict manifests/chart").unwrap();
    let configuration = plane.read(&["mutatingwebhookconfiguration", "dynamo-cache"]);
    let webhooks = configuration["webhooks"].as_array().unwrap();
    assert_eq!(webhooks.len(), 2, "{configuration:#}");
    assert_eq!(webhooks[1]["name"], "canary.dynamo-cache.io", "a name that can never change");
    let own = json!({"kubernetes.io/metadata.name": "dynamo-cache"});
    assert_eq!(webhooks[1]["namespaceSelector"]["matchLabels"], own, "nobody else's pods");
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
    let _webhook = crate::harness::control_plane::webhook::running();
    let plane = crate::harness::control_plane::shared();
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

/// What the chart renders to.
fn render(values: &str) -> String {
    let (chart, values) = (format!("{ROOT}/manifests/chart"), format!("--set={values}"));
    let template = ["template", "dynamo-cache", &chart, "--namespace=dynamo-cache", &values];
    crate::harness::control_plane::shared().helm(&template).unwrap().out
}

#[test]
fn events_and_the_count_of_pods_get_what_they_need_and_no_more() {
    let [default, events, uncounted, nothing] =
        ["replicas=2", "config.events=true", "metrics.podsWithoutStatus=false", "config=null"].map(render);
    for (words, expected) in [
        ("    resources: [pods]\n    verbs: [list]\n", [1, 1, 0, 1]),
        ("            - --no-pod-count\n", [0, 0, 1, 0]),
        ("  - apiGroups: [events.k8s.io]\n    resources: [events]\n    verbs: [create]\n", [0, 1, 0, 0]),
        ("    sideEffects: None\n", [2, 0, 2, 2]),
        ("    sideEffects: NoneOnDryRun\n", [0, 2, 0, 0]),
        ("    events: true\n", [0, 1, 0, 0]),
    ] {
        let found = [&default, &events, &uncounted, &nothing].map(|rendered| rendered.matches(words).count());
        assert_eq!(found, expected, "{words}");
    }
}

#[test]
fn each_mode_of_certificates_gets_what_it_needs_and_no_more() {
    let [own, manager, brought, published] = [
        "certificate.mode=self-managed,certificate.dnsNames={other.example}",
        "certificate.mode=cert-manager,certificate.dnsNames={other.example}",
        "certificate.mode=secret",
        "certificate.mode=secret,certificate.publish=true,certificate.clientCAConfigMap=clients",
    ]
    .map(render);
    for (words, expected) in [
        ("--service=dynamo-cache\n", [true, true, true, true]),
        ("--secret=dynamo-cache-ca\n", [true, false, false, false]),
        ("--dns-name=other.example\n", [true, false, false, false]),
        ("--cert-file=/etc/dynamo-cache/tls/tls.crt\n", [false, true, true, true]),
        ("--ca-file=/etc/dynamo-cache/tls/ca.crt\n", [false, false, false, true]),
        ("--client-ca-file=/etc/dynamo-cache/client-ca/ca.crt\n", [false, false, false, true]),
        ("secretName: dynamo-cache-tls\n", [false, true, true, true]),
        ("kind: Role\n", [true, false, false, false]),
        ("verbs: [get, list, watch, patch]\n", [true, false, false, true]),
        ("cert-manager.io/inject-ca-from: dynamo-cache/dynamo-cache\n", [false, true, false, false]),
        ("kind: Issuer\n", [false, true, false, false]),
        ("    - other.example\n", [false, true, false, false]),
        ("caBundle:", [false, false, false, false]),
    ] {
        let found = [&own, &manager, &brought, &published].map(|rendered| rendered.contains(words));
        assert_eq!(found, expected, "{words}");
    }
    let elsewhere =
        render("certificate.mode=cert-manager,certificate.issuerRef.name=ca,certificate.issuerRef.kind=ClusterIssuer");
    assert!(elsewhere.contains("kind: ClusterIssuer\n") && !elsewhere.contains("kind: Issuer\n"), "{elsewhere}");
}
