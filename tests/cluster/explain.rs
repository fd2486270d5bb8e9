//! `dynamo-cache explain` of live pods.

use std::fs;

use serde_json::json;

use crate::harness::control_plane::namespace::Namespace;
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
