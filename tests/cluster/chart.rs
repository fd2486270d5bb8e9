//! The chart on a real API server: other namespaces, kustomize, and an uninstall that leaves nothing.

use std::fs;

use serde_json::{Value, json};

use crate::harness::control_plane::ControlPlane;
use crate::harness::control_plane::namespace::Namespace;
use crate::harness::control_plane::replicas::{Installation, alone, lock_address};
use crate::harness::pods::{status, worker};
use crate::harness::{ROOT, wait_for};

/// The blocks of code of a document, by their language.
fn blocks(document: &str, language: &str) -> Vec<String> {
    let text = fs::read_to_string(format!("{ROOT}/{document}")).unwrap();
    let parts = text.split("```").skip(1).step_by(2);
    let code = parts.filter_map(|part| part.strip_prefix(language)?.strip_prefix('\n').map(str::to_owned));
    code.collect()
}

/// Everything in the cluster that carries our name, in any kind that it has.
fn ours(plane: &ControlPlane) -> String {
    let script = "kubectl api-resources --verbs=list --output=name | grep -v '^events' | paste -sd,";
    let kinds = plane.bash(script).unwrap().out;
    let all =
        plane.kubectl(&["get", kinds.trim(), "--all-namespaces", "--ignore-not-found", "--output=name"]).unwrap().out;
    all.lines().filter(|line| line.contains("dynamo-cache")).collect::<Vec<_>>().join("\n")
}

#[test]
fn namespaces_are_chosen_by_a_selector_and_webhook_guard_count_and_check_follow_it() {
    let (plane, _one) = alone();
    let values = "webhook.namespaceSelector.matchLabels.team=serving";
    let installation = Installation::new(
        plane,
        values,
        &["--shutdown-delay=0s", "--pod-count-interval=200ms", "--namespace-selector=team=serving"],
    );
    let mut replica = installation.start("one");
    replica.wait_until_ready();
    let (selected, labelled) = (Namespace::plain(plane), Namespace::opted_in(plane, &[]));
    let mut unreviewed = worker("unreviewed");
    unreviewed["metadata"]["labels"] = json!({"nvidia.com/dynamo-component-type": "worker"});
    selected.create(&unreviewed.to_string()).unwrap();
    let annotation = "dynamo-cache.io/missing-claim=inject";
    selected.kubectl(&["annotate", "namespace", &selected.name, annotation]).unwrap();
    selected.kubectl(&["label", "namespace", &selected.name, "team=serving"]).unwrap();
    replica.wait_for("/metrics", "\ndynamo_cache_pods_without_status 1\n");

    wait_for("a pod with its caches", || {
        let pod = selected.dry_run(&worker("seen").to_string());
        let recorded = status(&pod);
        let volumes = pod["spec"]["volumes"].to_string();
        if volumes.contains("dynamo-cache-model") { Ok(()) } else { Err(format!("{recorded} {volumes}")) }
    });
    let policy = plane.read(&["validatingadmissionpolicy", "dynamo-cache-guard"]);
    let configuration = plane.read(&["mutatingwebhookconfiguration", "dynamo-cache"]);
    let selector = &configuration["webhooks"][0]["namespaceSelector"];
    assert_eq!(selector["matchLabels"], json!({"team": "serving"}));
    assert_eq!(policy["spec"]["matchConstraints"]["namespaceSelector"], *selector);
    let pod = labelled.dry_run(&worker("not-asked").to_string());
    assert_eq!(pod.pointer("/metadata/annotations/dynamo-cache.io~1status"), None, "the label alone chooses nothing");

    let output = plane.dynamo_cache(&["check"]).output;
    assert!(!output.contains("differs from the chart"), "{output}");
    let about = |namespace: &Namespace| {
        let part = output.split("\n\n").find(|part| part.contains(&namespace.name));
        part.unwrap_or_else(|| panic!("nothing of {}: {output}", namespace.name)).to_owned()
    };
    assert!(about(&selected).contains("the webhook reviews the pods of the namespace"), "{output}");
    assert!(about(&labelled).contains("webhook.namespaceSelector"), "{output}");
}

#[test]
fn the_rendered_manifests_are_a_kustomize_base_that_is_removed_without_a_trace() {
    let plane = ControlPlane::start().unwrap();
    let [overlay] = blocks("docs/kustomize.md", "yaml").try_into().unwrap();
    let [apply, remove] = blocks("docs/kustomize.md", "sh").try_into().unwrap();
    let folder = plane.folder("kustomize");
    fs::create_dir(&folder).unwrap();
    // Kustomize takes no absolute path.
    std::os::unix::fs::symlink(format!("{ROOT}/manifests"), folder.join("manifests")).unwrap();
    let overlay = overlay.replace("../dynamo-cache/manifests", &up_to("manifests", &folder));
    fs::write(folder.join("kustomization.yaml"), overlay).unwrap();
    let run = |script: &str| plane.bash(&format!("cd '{}'\n{script}", folder.display()));
    assert_eq!(run(&apply).unwrap().err, "", "nothing is warned of");
    assert_eq!(run("kubectl diff -k .").unwrap().out, "", "a second time would change something");

    let deployment = plane.read(&["deployment", "dynamo-cache", "--namespace=dynamo-cache"]);
    assert_eq!(deployment["spec"]["replicas"], 3);
    let container = &deployment["spec"]["template"]["spec"]["containers"][0];
    assert_eq!(container["image"], "registry.example/mirror/dynamo-cache:0.1.0");
    let arguments = container["args"].as_array().unwrap();
    assert!(arguments.len() > 1 && arguments.last().unwrap() == "--log-format=json", "{arguments:?}");
    let settings = plane.read(&["configmap", "dynamo-cache", "--namespace=dynamo-cache"]);
    let settings = dynamo_cache::config::Config::read(settings["data"]["config.yaml"].as_str().unwrap()).unwrap();
    assert_eq!(settings.settings.model.claim, "models");
    let configuration = plane.read(&["mutatingwebhookconfiguration", "dynamo-cache"]);
    let entries = configuration["webhooks"].as_array().unwrap();
    let timeouts: Vec<&Value> = entries.iter().map(|entry| &entry["timeoutSeconds"]).collect();
    assert_eq!(timeouts, [&json!(5), &json!(3)], "both entries are there, one is changed");

    run(&remove).unwrap();
    wait_for("nothing of ours", || {
        let left = ours(&plane);
        if left.is_empty() { Ok(()) } else { Err(left) }
    });
}

/// The way from a folder to one of the checkout.
fn up_to(name: &str, folder: &std::path::Path) -> String {
    let folder = folder.canonicalize().unwrap();
    let up = "../".repeat(folder.components().count() - 1);
    format!("{up}{}/{name}", ROOT.trim_start_matches('/'))
}

#[test]
fn helm_uninstall_removes_the_webhook_configuration_first_and_leaves_nothing() {
    let plane = ControlPlane::start().unwrap();
    let [install, remove] = blocks("manifests/chart/README.md", "sh").try_into().unwrap();
    plane.bash(&install).unwrap();
    let _address = lock_address();
    let installation = Installation::adopt(&plane, &["--shutdown-delay=0s"]);
    // It runs until the end, as pods do, and cannot put its Secret back.
    let replica = installation.ready("one");
    let there = ours(&plane);
    for object in ["deployment.apps/dynamo-cache", "secret/dynamo-cache-ca"] {
        assert!(there.contains(object), "{there}");
    }
    let said = plane.bash(&remove.replace("helm uninstall", "helm uninstall --debug")).unwrap().err;
    wait_for("no more than the namespace that Helm created", || {
        let left = ours(&plane);
        if left == "namespace/dynamo-cache" { Ok(()) } else { Err(left) }
    });
    wait_for("the replica to have seen that its Secret is gone", || {
        let log = replica.log();
        let seen = log.contains("the CA Secret cannot be used") || log.contains("kind=Secret");
        if seen { Ok(()) } else { Err(log) }
    });
    assert_eq!(ours(&plane), "namespace/dynamo-cache");
    let position = |kind: &str| {
        let mut lines = said.lines().filter(|line| line.contains("starting delete"));
        lines.position(|line| line.ends_with(&format!("kind={kind}"))).unwrap_or_else(|| panic!("no {kind}: {said}"))
    };
    let first = position("MutatingWebhookConfiguration");
    for kind in ["Service", "Deployment", "Role", "ClusterRole", "ConfigMap", "Secret", "ServiceAccount"] {
        assert!(first < position(kind), "{said}");
    }
}

#[test]
fn the_oldest_helm_installs_upgrades_rolls_back_and_leaves_nothing() {
    let plane = ControlPlane::start().unwrap();
    let readme = fs::read_to_string(format!("{ROOT}/README.md")).unwrap();
    let (_, minor) = readme.split_once("Helm 3.").unwrap();
    let promised = format!("v3.{}.", minor.split_whitespace().next().unwrap());
    let version = plane.oldest_helm(&["version", "--short"]).unwrap().out;
    assert!(version.starts_with(&promised), "{version}");

    let helm = |command: &[&str]| {
        let said = plane.oldest_helm(&[command, &["--namespace=dynamo-cache"]].concat()).unwrap();
        assert_eq!(said.err, "", "nothing is warned of");
    };
    let replicas =
        || plane.read(&["deployment", "dynamo-cache", "--namespace=dynamo-cache"])["spec"]["replicas"].clone();
    let chart = format!("{ROOT}/manifests/chart");
    helm(&["install", "dynamo-cache", &chart, "--create-namespace"]);
    assert_eq!(replicas(), 2);
    helm(&["upgrade", "dynamo-cache", &chart, "--set=replicas=3"]);
    assert_eq!(replicas(), 3);
    helm(&["rollback", "dynamo-cache", "1"]);
    assert_eq!(replicas(), 2);
    helm(&["uninstall", "dynamo-cache"]);
    wait_for("no more than the namespace that Helm created", || {
        let left = ours(&plane);
        if left == "namespace/dynamo-cache" { Ok(()) } else { Err(left) }
    });
}
