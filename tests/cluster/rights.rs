//! The webhook's permissions in a cluster: those of `tests/rights.yaml`, no more, and each of them is used.

use std::collections::BTreeSet;
use std::fs;

use serde_json::{Value, json};

use crate::cluster::events::forged_review;
use crate::harness::caller::{TLS_VERSIONS, call};
use crate::harness::certificates;
use crate::harness::control_plane::ControlPlane;
use crate::harness::control_plane::namespace::Namespace;
use crate::harness::control_plane::replicas::{Installation, alone};
use crate::harness::pods::worker;
use crate::harness::program::updates;
use crate::harness::{ROOT, wait_for};

/// Values of the chart that change what it may do.
const MODES: [&str; 6] = [
    "",
    "certificate.mode=cert-manager",
    "certificate.mode=secret",
    "certificate.mode=secret,certificate.publish=true",
    "config.events=true",
    "metrics.podsWithoutStatus=false",
];

/// All rules that the chart renders, in a form for reviewers.
fn rendered(plane: &ControlPlane, values: &str) -> Value {
    let chart = format!("{ROOT}/manifests/chart");
    let set = format!("--set={values}");
    let template =
        ["template", "dynamo-cache", &chart, "--namespace=dynamo-cache", "--api-versions=cert-manager.io/v1", &set];
    let text = plane.helm(&template).unwrap().out;
    let objects = text.split("\n---\n").filter(|part| part.contains("kind: "));
    let objects = objects.map(|part| serde_saphyr::from_str::<Value>(part).unwrap());
    let roles = objects.filter(|object| matches!(object["kind"].as_str(), Some("ClusterRole" | "Role")));
    roles.map(|role| json!({"kind": role["kind"], "rules": role["rules"]})).collect()
}

fn written() -> Value {
    let text = fs::read_to_string(format!("{ROOT}/tests/rights.yaml")).unwrap();
    serde_saphyr::from_str(&text).unwrap()
}

#[test]
fn the_chart_asks_for_the_rights_that_are_written_down() {
    let (plane, _one) = alone();
    let all: Vec<_> = MODES.iter().map(|values| json!({"values": values, "roles": rendered(plane, values)})).collect();
    let all = Value::Array(all);
    if updates() {
        let head = "# What the webhook may do, by values of the chart. A change here is a change of what a cluster trusts it with.\n\
                    # Written by: UPDATE=1 tests/run the_chart_asks_for\n";
        let text = format!("{head}{}", serde_saphyr::to_string(&all).unwrap());
        fs::write(format!("{ROOT}/tests/rights.yaml"), text).unwrap();
    }
    assert_eq!(written(), all, "tests/rights.yaml; UPDATE=1 rewrites it");
}

#[test]
fn every_right_is_used_and_nothing_else_is_asked_for() {
    let (plane, _one) = alone();
    let times = [
        "--shutdown-delay=0s",
        "--ca-lifetime=12s",
        "--leaf-lifetime=6s",
        "--propagation-delay=1s",
        "--pod-count-interval=1s",
    ];
    let installation = Installation::new(plane, "config.events=true", &times);
    let settings = plane.read(&["configmap", "dynamo-cache", "--namespace=dynamo-cache"]);
    let settings = installation.file("config.yaml", settings["data"]["config.yaml"].as_str().unwrap());
    let before = plane.asked().len();
    let replica = installation.start_with("one", &[format!("--config={settings}")]);
    replica.wait_for("/readyz", "ok");
    let namespace = Namespace::opted_in(plane, &[]);
    let template = worker("");
    let deployment = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "workers"}, "spec": {
        "selector": {"matchLabels": {"app": "workers"}},
        "template": {"metadata": {"labels": {"app": "workers"}}, "spec": template["spec"]}}});
    namespace.create(&deployment.to_string()).unwrap();

    // A namespace that the API server calls for before our watch has it: only chance makes one here.
    let pair = certificates::ecdsa("rights-unknown");
    let webhook = certificates::serve(&pair, &installation.kubeconfig());
    wait_for("the webhook to be ready", || {
        let page = webhook.page("/readyz");
        if page.status == 200 { Ok(()) } else { Err(page.body) }
    });
    assert_eq!(webhook.caller().review(&crate::harness::caller::worker("x")).status, 200);

    // Pods whose owners are not there: the controllers of some are no part of this control plane.
    let ca = &installation.bundles()[0];
    let mut caller = call(replica.webhook, "dynamo-cache.dynamo-cache.svc", ca, TLS_VERSIONS, &[b"http/1.1"]);
    // All with one UID: what is said of one takes nothing from the others.
    for (version, kind) in [
        ("apps/v1", "DaemonSet"),
        ("apps/v1", "StatefulSet"),
        ("batch/v1", "Job"),
        ("grove.io/v1alpha1", "PodClique"),
        ("workloads.x-k8s.io/v1alpha1", "Instance"),
        ("workloads.x-k8s.io/v1alpha2", "RoleInstance"),
    ] {
        let owner = json!({"apiVersion": version, "kind": kind, "name": "o", "uid": "1", "controller": true});
        let review = forged_review(&namespace.name, &owner, "main");
        assert_eq!(caller.review(review.as_bytes()).status, 200);
    }

    let wanted = wanted(&rendered(plane, "config.events=true"));
    let used = || {
        plane.asked().split_off(before).into_iter().map(|(verb, resource, _)| (verb, resource)).collect::<BTreeSet<_>>()
    };
    wait_for("every right to be used", || {
        let unused: Vec<_> = wanted.difference(&used()).cloned().collect();
        if unused.is_empty() { Ok(()) } else { Err(format!("not used yet: {unused:?}")) }
    });
    let asked = plane.asked().split_off(before);
    let refused: Vec<_> = asked.iter().filter(|(.., allowed)| !allowed).collect();
    assert!(refused.is_empty(), "{refused:?}");
    assert_eq!(used(), wanted);
}

/// Each verb with each resource of the rules.
fn wanted(roles: &Value) -> BTreeSet<(String, String)> {
    let granted =
        roles.as_array().into_iter().flatten().flat_map(|role| role["rules"].as_array().into_iter().flatten());
    let list = |value: &Value| {
        value.as_array().into_iter().flatten().map(|text| text.as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    granted
        .flat_map(|rule| {
            let [groups, resources, verbs] = ["apiGroups", "resources", "verbs"].map(|key| list(&rule[key]));
            let group = groups[0].clone();
            let named = move |resource: &String| {
                if group.is_empty() { resource.clone() } else { format!("{resource}.{group}") }
            };
            let resources: Vec<_> = resources.iter().map(named).collect();
            verbs
                .into_iter()
                .flat_map(move |verb| resources.clone().into_iter().map(move |resource| (verb.clone(), resource)))
        })
        .collect()
}
