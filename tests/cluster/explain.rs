//! `dynamo-cache explain` of live pods.

use std::fs;

use serde_json::{Value, json};

use crate::harness::control_plane::namespace::{Namespace, csi, node, tied_to};
use crate::harness::control_plane::{shared, webhook};
use crate::harness::pods::{status, worker};
use crate::harness::{ROOT, wait_for};

const CACHES: [&str; 2] = ["model-cache", "compilation-cache"];

#[test]
fn a_live_pod_is_explained_with_what_the_cluster_knows() {
    let _webhook = webhook::running();
    let namespace = Namespace::opted_in(shared(), &[("model-mount-path", "/models")]);
    namespace.claims(&CACHES[..1]);
    let workload = fs::read_to_string(format!("{ROOT}/manifests/examples/vllm-worker.yaml")).unwrap();
    namespace.apply(&workload).unwrap();
    let pod = namespace.pod_of_controller("app=vllm-worker");
    let pod = pod["metadata"]["name"].as_str().unwrap();
    let said = namespace.dynamo_cache(&["explain", pod]);
    assert_eq!((said.code, said.errors.as_str()), (Some(0), ""), "{}", said.output);
    let as_kubectl_prints = format!("pod/{pod}");
    assert_eq!(namespace.dynamo_cache(&["explain", &as_kubectl_prints]).output, said.output);
    for expected in [
        "    model: in place\n      present: claim model-cache at /models\n",
        "    compile: skipped: the claim is not in the pod's namespace (claim compilation-cache) [claim-not-found]",
        "namespace, dynamo-cache.io/model-mount-path",
        "settings file",
    ] {
        assert!(said.output.contains(expected), "no {expected:?} in:\n{}", said.output);
    }
    assert!(!said.output.contains("recreated"), "{}", said.output);

    namespace.claims(&CACHES[1..]);
    let said = namespace.dynamo_cache(&["explain", pod]);
    let expected =
        "    compile: skipped when the pod was created: the claim is not in the pod's namespace [claim-not-found]";
    assert!(said.output.contains(expected), "{}", said.output);
    assert!(said.output.contains("It could be in place now"), "{}", said.output);
    let rollout = format!("kubectl rollout restart deployment/vllm-worker -n {}", namespace.name);
    assert!(said.output.contains(&rollout), "{}", said.output);
}

#[test]
fn a_setting_that_changed_since_is_held_against_the_pod_as_it_was_made() {
    let _webhook = webhook::running();
    let namespace = Namespace::opted_in(shared(), &[]);
    namespace.claims(&["model-cache", "compilation-cache", "models2"]);
    namespace.create(&worker("worker").to_string()).unwrap();
    let explained = |annotations: &[&str]| {
        let annotate = ["annotate", "--overwrite", "namespace", &namespace.name];
        namespace.kubectl(&[&annotate, annotations].concat()).unwrap();
        let said = namespace.dynamo_cache(&["explain", "worker"]);
        assert_eq!((said.code, said.errors.as_str()), (Some(0), ""), "{}", said.output);
        // What is mounted there is ours.
        assert!(!said.output.contains("[user-cache]") && !said.output.contains("[env-set"), "{}", said.output);
        said.output
    };
    let has = |output: &str, part: &str| assert!(output.contains(part), "no {part:?} in:\n{output}");
    let advice = format!("To recreate the pod: kubectl delete pod worker -n {}", namespace.name);

    let output = explained(&["dynamo-cache.io/model-claim=models2"]);
    has(&output, "    model: in place\n      present: claim model-cache at ");
    has(&output, "      If recreated, it would be on claim models2.\n    compile");
    has(&output, "    compile: in place\n      present: claim compilation-cache at ");
    has(&output, &advice);
    let output = explained(&["dynamo-cache.io/model-claim=models2", "dynamo-cache.io/compile-claim=models2"]);
    has(&output, "    compile: in place\n      present: claim compilation-cache at ");
    assert_eq!(output.matches("      If recreated, it would be on claim models2.\n").count(), 2, "{output}");
    let output = explained(&["dynamo-cache.io/model-claim=nowhere", "dynamo-cache.io/compile-claim-"]);
    has(
        &output,
        "      If recreated, it would be skipped: the claim is not in the pod's namespace (claim nowhere) [claim-not-found]\n",
    );
    assert!(!output.contains(&advice), "{output}");
    let output = explained(&["dynamo-cache.io/model-claim-", "dynamo-cache.io/model-layout=hub"]);
    has(&output, "    model: in place\n      present: claim model-cache at ");
    assert!(!output.contains("ecreated"), "{output}");
    let output = explained(&["dynamo-cache.io/model-layout-", "dynamo-cache.io/model-express-url=mx:8001"]);
    has(
        &output,
        "    model-express: not requested when the pod was created\n      It could be in place now: main would get it",
    );
    has(&output, &advice);
}

#[test]
fn explain_says_why_a_pod_without_a_status_was_not_reviewed() {
    let webhook = webhook::running();
    let without = |namespace: &Namespace, pod: &str, why: &str, fix: &str| {
        let said = namespace.dynamo_cache(&["explain", pod]);
        assert_eq!(said.code, Some(0), "{}", said.errors);
        assert!(said.output.contains(why) && said.output.contains(fix), "no {why:?}, {fix:?} in:\n{}", said.output);
    };
    let plain = Namespace::plain(shared());
    plain.claims(&CACHES);
    plain.create(&worker("early").to_string()).unwrap();
    without(
        &plain,
        "early",
        "Containers, as the webhook would handle them now",
        "    model: would be in place\n      adds: ",
    );
    let label = format!("kubectl label namespace {} dynamo-cache.io/inject=enabled", plain.name);
    without(&plain, "early", "label dynamo-cache.io/inject: enabled is missing", &label);

    // Times have whole seconds: the label has to come in a later one.
    wait_for("a label that is younger than the pod", || {
        plain.kubectl(&["label", "namespace", &plain.name, "dynamo-cache.io/inject=enabled", "--overwrite"])?;
        let said = plain.dynamo_cache(&["explain", "early"]).output;
        if said.contains("before the namespace was labelled, at ") && said.contains("Z or earlier; otherwise ") {
            return Ok(());
        }
        plain.kubectl(&["label", "namespace", &plain.name, "dynamo-cache.io/inject-"])?;
        Err(said)
    });

    let namespace = Namespace::opted_in(shared(), &[]);
    let mut out = worker("out");
    out["metadata"]["annotations"] = json!({"dynamo-cache.io/inject": "false"});
    namespace.create(&out.to_string()).unwrap();
    without(&namespace, "out", "a match condition of the webhook excludes the pod", "Remove the annotation");
    let mut other = worker("other");
    other["spec"]["containers"][0]["command"] = json!(["sleep"]);
    namespace.create(&other.to_string()).unwrap();
    without(&namespace, "other", "the webhook leaves no status on it", "[not-a-component]");
    for (pod, sentence) in [("out", "inject: \"false\" [opted-out]"), ("other", "the pod is not a Dynamo component")] {
        let said = namespace.dynamo_cache(&["explain", pod]).output;
        assert_eq!(said.matches(sentence).count(), 1, "{said}");
    }
    drop(webhook);

    let stopped = webhook::stopped();
    namespace.create(&worker("missed").to_string()).unwrap();
    drop(stopped);
    let _webhook = webhook::running();
    assert!(status(&namespace.pod("missed")).is_null());
    without(&namespace, "missed", "the webhook did not answer when the pod was created", "API server's log");
    let said = namespace.dynamo_cache(&["explain", "missing"]);
    assert_eq!(said.code, Some(1));
    assert_eq!(said.errors, format!("there is no pod missing in namespace {}\n", namespace.name));
}

#[test]
fn a_pod_that_cannot_use_the_volume_of_its_claim_is_explained_with_the_fix() {
    let _webhook = webhook::running();
    let plane = shared();
    let namespace = Namespace::opted_in(plane, &[("unproven-claim", "inject")]);
    let pool = "dynamo-cache.test/explain";
    for name in ["explain-a", "explain-b"] {
        namespace.create(&node(name, (pool, name)).to_string()).unwrap();
    }
    let bucket = tied_to((pool, "explain-a"), csi("gcsfuse.csi.storage.gke.io"));
    let bucket = namespace.bound_claim(CACHES[0], &bucket);
    let share = namespace.bound_claim(CACHES[1], &json!({"nfs": {"server": "nfs.test", "path": "/compiled"}}));
    let create = |name: &str, node: &str, annotations: Value, security: Value| {
        let mut pod = worker(name);
        pod["metadata"]["annotations"] = annotations;
        pod["spec"]["nodeSelector"] = json!({pool: node});
        pod["spec"]["securityContext"] = security;
        namespace.create(&pod.to_string()).unwrap();
    };
    create("fails", "explain-b", json!({}), json!({"fsGroup": 1000}));
    create("fits", "explain-a", json!({"gke-gcsfuse/volumes": "true"}), json!({}));
    let explain = |pod: &str| {
        let said = namespace.dynamo_cache(&["explain", pod]);
        assert_eq!((said.code, said.errors.as_str()), (Some(0), ""), "{}", said.output);
        said.output
    };
    let output = explain("fails");
    let volumes = output.split_once("\nVolumes\n").unwrap_or_else(|| panic!("{output}")).1;
    let expected = [
        format!(
            "  claim model-cache: the pod lacks the annotation gke-gcsfuse/volumes: \"true\", without which \
             gcsfuse.csi.storage.gke.io does not mount volume {bucket}\n    Set the annotation "
        ),
        format!(
            "  claim model-cache: volume {bucket} is tied to nodes with {pool} In explain-a, and the pod's node selector \
             and affinity admit only others: explain-b\n    Let the pod run "
        ),
        format!(
            "  claim compilation-cache: the pod's fsGroup 1000 does nothing on volume {share}: the kubelet changes no owners \
             on nfs volumes\n    Prepare the root "
        ),
    ];
    for part in expected {
        assert!(volumes.contains(&part), "no {part:?} in:\n{output}");
    }
    // The driver of buckets applies fsGroup itself.
    assert_eq!(volumes.matches("the pod's fsGroup").count(), 1, "{output}");
    let output = explain("fits");
    assert!(output.contains("    model: in place\n") && !output.contains("Volumes"), "{output}");

    // What a person may not read is a note, and the rest is explained.
    let name = &namespace.name;
    let kubeconfig = plane.kubeconfig_of("default", name);
    let allow = |rights: &[(&str, &str)]| {
        let rules: Vec<_> = rights
            .iter()
            .map(|(verb, resource)| json!({"verbs": [verb], "apiGroups": ["", "storage.k8s.io"], "resources": [resource]}))
            .collect();
        let role = json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": name}, "rules": rules,
        });
        namespace.apply(&role.to_string()).unwrap();
    };
    let needed = [("get", "pods"), ("list", "persistentvolumeclaims")];
    allow(&needed);
    let account = format!("--serviceaccount={name}:default");
    plane.kubectl(&["create", "clusterrolebinding", name, &format!("--clusterrole={name}"), &account]).unwrap();
    let says = |parts: &[&str]| {
        wait_for(&format!("{parts:?}"), || {
            let said = namespace.dynamo_cache(&["explain", "fails", "--kubeconfig", &kubeconfig]);
            let all = format!("{}{}", said.output, said.errors);
            let fits = said.code == Some(0) && parts.iter().all(|part| all.contains(part));
            if fits { Ok(all) } else { Err(all) }
        })
    };
    let hidden = "the volume was not checked: claim model-cache: persistentvolumes ";
    let all = says(&[hidden, "cannot get resource \"persistentvolumes\"", "    model: in place\n"]);
    assert!(!all.contains("Volumes\n"), "{all}");
    allow(&[&needed, [("get", "persistentvolumes"), ("get", "csidrivers")].as_slice()].concat());
    let tied = format!(
        "the volume was not checked: claim model-cache: volume {bucket} is tied to nodes with {pool} In explain-a"
    );
    says(&[&tied, "cannot list resource \"nodes\"", "the pod lacks the annotation gke-gcsfuse/volumes"]);
    plane.kubectl(&["delete", "clusterrole,clusterrolebinding", name]).unwrap();
    namespace.kubectl(&["delete", "node", "explain-a", "explain-b"]).unwrap();
}
