//! The CA Secret: which installation creates it, what a replica logs where it is missing, and what a stolen token can do with it.

use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use kube::api::{Patch, PatchParams, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use serde_json::{Value, json};

use crate::harness::control_plane::ControlPlane;
use crate::harness::control_plane::namespace::Namespace;
use crate::harness::control_plane::replicas::{Installation, alone};
use crate::harness::pods::worker;
use crate::harness::{ROOT, wait_for};

const NAMESPACE: &str = "--namespace=dynamo-cache";

/// Installs what is missing of the release.
fn upgrade(installation: &Installation<'_>) {
    installation.helm(&["upgrade", "dynamo-cache", &format!("{ROOT}/manifests/chart"), "--reuse-values"], "");
}

fn is_gone(plane: &ControlPlane) {
    wait_for("the Secret to be gone", || {
        let get = ["get", "secret", "dynamo-cache-ca", NAMESPACE, "--ignore-not-found", "--output=name"];
        let said = plane.kubectl(&get).unwrap().out;
        if said.is_empty() { Ok(()) } else { Err(said) }
    });
}

#[test]
fn a_stolen_token_makes_no_secret_that_the_cluster_fills_with_another_token() {
    let (plane, _one) = alone();
    let installation = Installation::new(plane, "", &["--shutdown-delay=0s"]);
    plane.kubectl(&["create", "serviceaccount", "victim", NAMESPACE]).unwrap();
    let replica = installation.ready("one");
    // No kubectl: it reads what it is to patch, which the token may not.
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let kubeconfig = Kubeconfig::read_from(installation.kubeconfig()).unwrap();
    let client = runtime.block_on(async {
        let config = kube::Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await.unwrap();
        kube::Client::try_from(config).unwrap()
    });
    let stolen: Api<Secret> = Api::namespaced(client, "dynamo-cache");
    let patch = |patch: &Patch<Value>, parameters: &PatchParams| {
        runtime.block_on(stolen.patch("dynamo-cache-ca", parameters, patch)).map(drop)
    };
    let merge = |change: Value| patch(&Patch::Merge(change), &PatchParams::default());

    let type_ = "kubernetes.io/service-account-token";
    let annotations = json!({"kubernetes.io/service-account.name": "victim"});
    let why = merge(json!({"type": type_, "metadata": {"annotations": annotations}})).unwrap_err().to_string();
    assert!(why.contains("field is immutable"), "{why}");

    // The garbage collector deletes what no owner is left of, which the token may not.
    let owner = json!([{"apiVersion": "v1", "kind": "ServiceAccount", "name": "gone", "uid": "gone"}]);
    merge(json!({"metadata": {"ownerReferences": owner}})).unwrap();
    is_gone(plane);
    let metadata = json!({"name": "dynamo-cache-ca", "namespace": "dynamo-cache", "annotations": annotations});
    let whole = json!({"apiVersion": "v1", "kind": "Secret", "type": type_, "metadata": metadata});
    let secret: Secret = serde_json::from_value(whole.clone()).unwrap();
    let created = runtime.block_on(stolen.create(&PostParams::default(), &secret)).map(drop);
    let replaced = runtime.block_on(stolen.replace("dynamo-cache-ca", &PostParams::default(), &secret)).map(drop);
    let applied = patch(&Patch::Apply(whole), &PatchParams::apply("dynamo-cache").force());
    for (way, made) in [("create", created), ("replace", replaced), ("apply", applied)] {
        let why = made.expect_err(way).to_string();
        assert!(why.contains("forbidden"), "{way}: {why}");
    }

    replica.wait_for("/readyz?verbose", "[-]certificate: CA Secret: dynamo-cache/dynamo-cache-ca does not exist");
    upgrade(&installation);
    replica.wait_for("/readyz?verbose", "[+]certificate: ok");
    plane.kubectl(&["delete", "serviceaccount", "victim", NAMESPACE]).unwrap();
}

#[test]
fn a_secret_that_is_missing_is_named_with_what_puts_it_back_and_nothing_rotates() {
    let (plane, _one) = alone();
    let installation = Installation::new(plane, "", &["--shutdown-delay=0s", "--leaf-lifetime=3s"]);
    let namespace = Namespace::opted_in(plane, &[]);
    let running = installation.ready("running");
    let before = installation.secret();
    let deleted = || plane.kubectl(&["delete", "secret", "dynamo-cache-ca", NAMESPACE]).unwrap();
    let missing =
        "[-]certificate: CA Secret: dynamo-cache/dynamo-cache-ca does not exist; repeat helm upgrade or kubectl apply";
    deleted();
    running.wait_for("/readyz?verbose", missing);
    let page = running.page("/readyz?verbose").unwrap();
    assert!(
        page.starts_with("HTTP/1.1 200") && page.contains("it was met before, so this replica stays ready"),
        "{page}"
    );
    let said = plane.dynamo_cache(&["check", "-n", &namespace.name]).output;
    assert!(
        said.contains("Secret dynamo-cache/dynamo-cache-ca does not exist, and new replicas wait for it"),
        "{said}"
    );
    let mut fresh = installation.start("fresh");
    fresh.wait_for("/readyz", missing);
    assert!(fresh.page("/readyz").unwrap().starts_with("HTTP/1.1 503"), "it has nothing to serve");
    let renewals = || {
        let page = running.page("/metrics").unwrap();
        let count = page.lines().find_map(|line| {
            line.strip_prefix("dynamo_cache_certificate_renewals_total{certificate=\"leaf\"} ")?.parse::<u64>().ok()
        });
        count.unwrap()
    };
    let then = renewals();
    wait_for("leaves that are renewed without it", || if renewals() >= then + 2 { Ok(()) } else { Err(running.log()) });
    assert_eq!(running.log().matches("the CA Secret cannot be used").count(), 1, "{}", running.log());
    running.wait_for("/metrics", "dynamo_cache_certificate_failures_total{reason=\"secret\"} ");

    // By either of the two ways, and whichever replica sees it first, it is what it was.
    upgrade(&installation);
    wait_for("the CA in the Secret", || if installation.secret() == before { Ok(()) } else { Err(running.log()) });
    deleted();
    running.wait_for("/readyz?verbose", missing);
    let rendered = plane
        .helm(&[
            "template",
            "dynamo-cache",
            &format!("{ROOT}/manifests/chart"),
            NAMESPACE,
            "--show-only=templates/secret.yaml",
        ])
        .unwrap()
        .out;
    plane.kubectl(&["apply", "-f", &plane.file(&rendered)]).unwrap();
    wait_for("the CA in the Secret", || if installation.secret() == before { Ok(()) } else { Err(running.log()) });
    fresh.wait_until_ready();
    running.wait_for("/readyz?verbose", "[+]certificate: ok");
    installation.balancer.cut();
    wait_for("a pod to be created", || namespace.create(&worker("healed").to_string()).map(drop));
}

#[test]
fn a_secret_of_another_type_is_refused_with_what_to_do() {
    let (plane, _one) = alone();
    let installation = Installation::new(plane, "", &["--shutdown-delay=0s"]);
    plane.kubectl(&["delete", "secret", "dynamo-cache-ca", NAMESPACE]).unwrap();
    plane.kubectl(&["create", "secret", "generic", "dynamo-cache-ca", "--type=example.com/other", NAMESPACE]).unwrap();
    let mut replica = installation.start("one");
    replica.wait_for("/readyz", "dynamo-cache/dynamo-cache-ca is of type example.com/other, not Opaque; delete it");
    assert_eq!(installation.secret()[0], "", "nothing is written to it");
    plane.kubectl(&["delete", "secret", "dynamo-cache-ca", NAMESPACE]).unwrap();
    upgrade(&installation);
    replica.wait_until_ready();
}

#[test]
fn an_upgrade_a_rollback_and_an_apply_leave_what_the_replicas_wrote() {
    let (plane, _one) = alone();
    let installation = Installation::new(plane, "", &["--shutdown-delay=0s"]);
    let _replica = installation.ready("one");
    let before = installation.secret();
    let same = |what: &str| assert_eq!(installation.secret(), before, "{what}");
    let chart = format!("{ROOT}/manifests/chart");
    installation.helm(&["upgrade", "dynamo-cache", &chart, "--reuse-values"], "logLevel=debug");
    same("helm upgrade");
    plane.oldest_helm(&["upgrade", "dynamo-cache", &chart, "--reuse-values", NAMESPACE]).unwrap();
    same("helm upgrade by the oldest");
    plane.helm(&["rollback", "dynamo-cache", "1", NAMESPACE]).unwrap();
    same("helm rollback");
    let rendered = plane.helm(&["template", "dynamo-cache", &chart, NAMESPACE, "--show-only=templates/secret.yaml"]);
    let file = plane.file(&rendered.unwrap().out);
    for applied in [vec!["apply"], vec!["apply", "--server-side", "--force-conflicts"]] {
        plane.kubectl(&[&applied, ["-f", &file].as_slice()].concat()).unwrap();
        same(&format!("kubectl {applied:?}"));
    }
    let differs = plane.kubectl(&["diff", "-f", &file]).map(|said| said.out);
    assert_eq!(differs, Ok(String::new()), "a GitOps tool would see a difference");
}

/// Adds to what manages an object's fields what k8s-openapi cannot read.
fn add_malformed_managed_fields(plane: &ControlPlane, object: &[&str]) {
    plane.kubectl(&[&["label"], object, &["odd=true"]].concat()).unwrap();
    let api_version = &plane.read(object)["apiVersion"];
    let deep = (0..150).fold(json!({}), |inner, _| json!({"f:deep": inner}));
    let add = |manager: &str, time: &str, fields: &Value| {
        let entry = json!({"manager": manager, "operation": "Update", "apiVersion": api_version, "time": time,
            "fieldsType": "FieldsV1", "fieldsV1": fields});
        json!({"op": "add", "path": "/metadata/managedFields/-", "value": entry})
    };
    let late = add("late", "9999-12-31T23:59:59Z", &json!({"f:metadata": {"f:labels": {"f:odd": {}}}}));
    let deep = add("deep", "2026-01-01T00:00:00Z", &json!({"f:metadata": deep}));
    let patch = json!([late, deep]).to_string();
    plane.kubectl(&[&["patch", "--type=json", "-p", &patch], object].concat()).unwrap();
    let stored = plane.kubectl(&[&["get", "--output=json", "--show-managed-fields"], object].concat()).unwrap().out;
    assert!(stored.contains("9999-12-31T23:59:59Z") && stored.matches("f:deep").count() == 150, "{stored}");
}

#[test]
fn malformed_managed_fields_of_secret_and_configuration_stop_no_replica() {
    let (plane, _one) = alone();
    let installation = Installation::new(plane, "", &["--shutdown-delay=0s"]);
    let running = installation.ready("running");
    let before = installation.secret();
    let secret = ["secret", "dynamo-cache-ca", NAMESPACE];
    add_malformed_managed_fields(plane, &secret);
    add_malformed_managed_fields(plane, &["mutatingwebhookconfiguration", "dynamo-cache"]);
    // Both are written as well as read: the Secret when it is restored, and the bundle when it is put right.
    installation.empty_secret();
    wait_for("the CA in the Secret", || if installation.secret() == before { Ok(()) } else { Err(running.log()) });
    installation.publish("");
    wait_for("the CA in the bundle", || {
        if installation.bundles() == [before[0].clone(), before[0].clone()] { Ok(()) } else { Err(running.log()) }
    });
    let secret =
        plane.kubectl(&[&["get", "--output=json", "--show-managed-fields"], secret.as_slice()].concat()).unwrap();
    assert!(secret.out.contains("9999-12-31T23:59:59Z"), "nothing is lost of it by our writing");
    installation.ready("fresh").wait_for("/readyz?verbose", "[+]self-call: ok");
    for kind in ["secret", "configuration"] {
        let errors = format!("dynamo_cache_watch_errors_total{{kind=\"{kind}\"}} 0\n");
        assert!(running.page("/metrics").unwrap().contains(&errors), "{}", running.log());
    }
}
