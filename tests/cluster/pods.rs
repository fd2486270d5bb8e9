//! Pods on a real API server: the webhook is a process of its own, and what counts is the stored pod.

use serde_json::{Value, json};

use crate::harness::certificates;
use crate::harness::control_plane::namespace::{Namespace, claim};
use crate::harness::control_plane::second_webhook::{SecondWebhook, call_later};
use crate::harness::control_plane::{shared, webhook};
use crate::harness::pods::{assert_untouched, claims, container, environment, example, mounts, status, worker};
use crate::harness::program::file;
use crate::harness::wait_for;
use crate::harness::webhook::Webhook;

const CACHES: [&str; 2] = ["model-cache", "compilation-cache"];
const HUGGING_FACE: &str = "/home/dynamo/.cache/huggingface";
const DECISION: &str = "pods.dynamo-cache.io/decision";
const REASONS: &str = "pods.dynamo-cache.io/reasons";

fn annotated(name: &str, annotations: &Value) -> String {
    let mut pod = worker(name);
    pod["metadata"]["annotations"] = annotations.clone();
    pod.to_string()
}

#[test]
fn a_deployment_in_a_labelled_namespace_yields_a_stored_pod_with_its_caches() {
    let _webhook = webhook::running();
    let namespace = Namespace::opted_in(shared(), &[("model-express-url", "http://model-express.models:8001")]);
    namespace.apply(&example("claims.yaml")).unwrap();
    namespace.kubectl(&["annotate", "persistentvolumeclaims", "--all", "dynamo-cache.io/writable=true"]).unwrap();
    namespace.apply(&example("vllm-worker.yaml")).unwrap();
    let pod = namespace.pod_of_controller("app=vllm-worker");

    assert_eq!(claims(&pod)["dynamo-cache-model"], "model-cache");
    assert_eq!(claims(&pod)["dynamo-cache-compile"], "compilation-cache");
    let worker = container(&pod, "worker");
    let mounts = mounts(worker);
    assert_eq!(mounts[HUGGING_FACE], "dynamo-cache-model");
    let compile = *mounts.iter().find(|(_, volume)| **volume == "dynamo-cache-compile").unwrap().0;
    let environment = environment(worker);
    assert_eq!(environment["HF_HOME"], HUGGING_FACE);
    assert_eq!(environment["HF_HUB_CACHE"], format!("{HUGGING_FACE}/hub"));
    let root = &environment["VLLM_CACHE_ROOT"];
    assert!(root.starts_with(compile), "VLLM_CACHE_ROOT={root}, not below {compile}");
    for variable in ["MODEL_EXPRESS_URL", "MX_SERVER_ADDRESS"] {
        assert_eq!(environment[variable], "http://model-express.models:8001");
    }
    assert_eq!(status(&pod)["containers"], json!({"worker": ["model", "compile", "model-express"]}), "{pod:#}");
}

#[test]
fn the_same_deployment_in_an_unlabelled_namespace_is_untouched() {
    let _webhook = webhook::running();
    let namespace = Namespace::plain(shared());
    namespace.apply(&example("claims.yaml")).unwrap();
    namespace.apply(&example("vllm-worker.yaml")).unwrap();
    assert_untouched(&namespace.pod_of_controller("app=vllm-worker"));
}

#[test]
fn warnings_about_a_bare_pod_reach_the_person_at_kubectl() {
    let _webhook = webhook::running();
    let namespace = Namespace::opted_in(shared(), &[]);
    let said = namespace.create(&worker("bare").to_string()).unwrap();
    for claim in CACHES {
        let warned = said.err.lines().any(|line| line.starts_with("Warning: dynamo-cache:") && line.contains(claim));
        assert!(warned, "no warning about {claim} in {:?}", said.err);
    }
    assert_eq!(status(&namespace.pod("bare"))["skipped"][0]["reason"], "claim-not-found");
}

#[test]
fn the_audit_log_carries_the_decision_and_its_reasons() {
    let _webhook = webhook::running();
    let namespace = Namespace::opted_in(shared(), &[]);
    namespace.claims(&CACHES[..1]);
    namespace.create(&worker("audited").to_string()).unwrap();
    let annotations =
        wait_for("the pod in the audit log", || shared().audit(&namespace).pop().ok_or_else(|| "no event".to_owned()));
    assert_eq!(annotations[DECISION], "patched", "{annotations:#}");
    let reasons = annotations[REASONS].as_str().unwrap_or_default();
    assert!(reasons.contains("claim-not-found"), "{annotations:#}");
}

#[test]
fn metrics_and_log_say_which_caches_were_skipped_and_why() {
    let webhook = webhook::running();
    let namespace = Namespace::opted_in(shared(), &[]);
    namespace.create(&worker("without-claims").to_string()).unwrap();
    let metrics = webhook.admin("/metrics").unwrap();
    for counter in ["dynamo_cache_reviews_total", "dynamo_cache_skipped_total{reason=\"claim-not-found\"}"] {
        assert!(metrics.contains(counter), "no {counter} in {metrics}");
    }
    let log = webhook.log();
    let is_skipped = |line: &str| line.contains(&namespace.name) && line.contains("claim-not-found");
    assert!(log.lines().any(is_skipped), "nothing about {} in {log}", namespace.name);
}

#[test]
fn a_container_that_a_later_webhook_adds_gets_its_share_and_nothing_is_there_twice() {
    let _webhook = webhook::running();
    let namespace = Namespace::opted_in(shared(), &[]);
    namespace.claims(&CACHES);
    let mut added = worker("")["spec"]["containers"][0].take();
    added["name"] = json!("added-later");
    let _second = SecondWebhook::install(shared(), &namespace, &added);
    namespace.create(&worker("reinvoked").to_string()).unwrap();
    let pod = namespace.pod("reinvoked");

    assert_eq!(claims(&pod).len(), 2, "{pod:#}");
    let (first, second) = (container(&pod, "main"), container(&pod, "added-later"));
    assert_eq!(mounts(first)[HUGGING_FACE], "dynamo-cache-model");
    assert_eq!(mounts(first), mounts(second));
    assert_eq!(environment(first)["HF_HOME"], HUGGING_FACE);
    assert_eq!(environment(first), environment(second));
    assert_eq!(
        status(&pod)["containers"],
        json!({"added-later": ["model", "compile"], "main": ["model", "compile"]}),
        "{pod:#}"
    );
}

#[test]
fn a_second_dynamo_cache_with_claims_of_its_own_leaves_the_status_of_the_first() {
    let installed = webhook::running();
    let namespace = Namespace::opted_in(shared(), &[]);
    namespace.claims(&[&CACHES[..], &["other-models", "other-compiled"]].concat());
    let settings = "apiVersion: dynamo-cache.io/v1alpha1\nkind: CacheConfig\nmodelCache:\n  claim: other-models\n\
                    compileCache:\n  claim: other-compiled\n";
    let pair = certificates::ecdsa("second-dynamo-cache");
    let files = ["--kubeconfig", installed.kubeconfig(), "--cert-file", &pair.certificate, "--key-file", &pair.key];
    let settings = ["--config", &file("second-dynamo-cache.yaml", settings)];
    let second = Webhook::start(&[&files[..], &settings].concat(), || pair.ca.clone());
    call_later(shared(), &format!("https://localhost:{}/mutate", second.address.port()), &pair.ca, &namespace);
    wait_for("the second to be called", || {
        namespace.dry_run(&worker("canary").to_string());
        let page = second.page("/metrics").body;
        if page.contains("http_responses_total{code=\"200\"}") { Ok(()) } else { Err(page) }
    });
    namespace.create(&worker("of-both").to_string()).unwrap();
    let pod = namespace.pod("of-both");
    let expected = json!({"dynamo-cache-model": CACHES[0], "dynamo-cache-compile": CACHES[1]});
    assert_eq!(json!(claims(&pod)), expected, "{pod:#}");
    assert_eq!(status(&pod)["containers"], json!({"main": ["model", "compile"]}), "{pod:#}");
    assert_eq!(status(&pod)["skipped"], json!([]), "{pod:#}");
}

#[test]
fn pods_are_created_while_the_webhook_is_stopped() {
    let stopped = webhook::stopped();
    let namespace = Namespace::opted_in(shared(), &[]);
    namespace.claims(&CACHES);
    namespace.apply(&example("vllm-worker.yaml")).unwrap();
    namespace.create(&worker("alone").to_string()).unwrap();
    assert_untouched(&namespace.pod("alone"));
    assert_untouched(&namespace.pod_of_controller("app=vllm-worker"));

    drop(stopped);
    wait_for("caches on the pods that come after", || {
        let pod = namespace.dry_run(&worker("cached").to_string());
        (claims(&pod).len() == 2).then_some(()).ok_or_else(|| status(&pod).to_string())
    });
}

#[test]
fn pods_that_opt_out_and_mirror_pods_are_not_sent() {
    let _webhook = webhook::running();
    let namespace = Namespace::opted_in(shared(), &[]);
    namespace.claims(&CACHES);
    namespace.create(&annotated("opted-out", &json!({"dynamo-cache.io/inject": "false"}))).unwrap();
    let mut mirror = worker("mirror");
    mirror["metadata"]["annotations"] = json!({"kubernetes.io/config.mirror": "hash"});
    mirror["spec"]["nodeName"] = json!("node");
    namespace.create(&mirror.to_string()).unwrap();
    namespace.create(&worker("sent").to_string()).unwrap();

    let events = wait_for("three pods in the audit log", || {
        let events = shared().audit(&namespace);
        if events.len() == 3 { Ok(events) } else { Err(format!("{} events", events.len())) }
    });
    let sent: Vec<_> = events.iter().map(|annotations| annotations.get(DECISION).is_some()).collect();
    assert_eq!(sent, [false, false, true], "{events:#?}");
    for pod in ["opted-out", "mirror"] {
        assert_untouched(&namespace.pod(pod));
    }
}

#[test]
fn a_namespace_that_no_watch_knows_is_read() {
    let installed = webhook::running();
    // Without the label it is in none of our watches, like a namespace that got the label a moment ago.
    let namespace = Namespace::annotated(shared(), &[("skip", "model,compile")]);
    let webhook = certificates::serve(&certificates::ecdsa("namespace-read"), installed.kubeconfig());
    let question = String::from_utf8(crate::harness::caller::worker("x"))
        .unwrap()
        .replace(r#""namespace":"team""#, &format!(r#""namespace":"{}""#, namespace.name));
    wait_for("the watches of the webhook", || {
        let ready = webhook.page("/readyz");
        if ready.status == 200 { Ok(()) } else { Err(ready.body) }
    });
    let answer = webhook.caller().review(question.as_bytes());
    assert_eq!(answer.json()["response"]["auditAnnotations"]["reasons"], "skipped-by-user", "{answer:?}");
    let page = webhook.page("/metrics").body;
    assert!(page.contains("dynamo_cache_live_reads_total{kind=\"namespace\",result=\"found\"} 1\n"), "{page}");
}

#[test]
fn a_claim_created_moments_before_its_pod_is_seen() {
    let _webhook = webhook::running();
    let namespace = Namespace::opted_in(shared(), &[]);
    let manifests = [claim(CACHES[0]), claim(CACHES[1]), worker("hasty")].map(|manifest| manifest.to_string());
    namespace.create(&manifests.join("\n---\n")).unwrap();
    let pod = namespace.pod("hasty");
    assert_eq!(status(&pod)["containers"], json!({"main": ["model", "compile"]}), "{pod:#}");
}

#[test]
fn a_claim_that_comes_later_is_seen_by_the_pods_after_it() {
    let _webhook = webhook::running();
    let namespace = Namespace::opted_in(shared(), &[]);
    let early = namespace.dry_run(&worker("early").to_string());
    assert_eq!(status(&early)["containers"], json!({"main": []}), "{early:#}");
    namespace.claims(&CACHES);
    wait_for("caches on the pods that come after the claims", || {
        let status = status(&namespace.dry_run(&worker("late").to_string()));
        if status["containers"] == json!({"main": ["model", "compile"]}) { Ok(()) } else { Err(status.to_string()) }
    });
}

#[test]
fn a_namespace_decides_for_its_pods_and_a_pod_for_itself() {
    let _webhook = webhook::running();
    let namespace = Namespace::opted_in(shared(), &[("model-mount-path", "/models"), ("skip", "compile")]);
    namespace.claims(&CACHES);
    let pod = namespace.dry_run(&worker("as-the-namespace-says").to_string());
    assert_eq!(environment(container(&pod, "main"))["HF_HOME"], "/models", "{pod:#}");
    assert_eq!(status(&pod)["skipped"][0]["reason"], "skipped-by-user", "{pod:#}");

    let own = json!({"dynamo-cache.io/model-mount-path": "/own"});
    let pod = namespace.dry_run(&annotated("as-it-says-itself", &own));
    assert_eq!(environment(container(&pod, "main"))["HF_HOME"], "/own", "{pod:#}");
}

#[test]
fn a_changed_annotation_of_a_namespace_takes_effect() {
    let _webhook = webhook::running();
    let namespace = Namespace::opted_in(shared(), &[]);
    namespace.claims(&CACHES);
    let home = || {
        let pod = namespace.dry_run(&worker("asked").to_string());
        environment(container(&pod, "main")).get("HF_HOME").copied().unwrap_or_default().to_owned()
    };
    assert_eq!(home(), HUGGING_FACE);
    let name = namespace.name.clone();
    namespace.kubectl(&["annotate", "namespace", &name, "dynamo-cache.io/model-mount-path=/models"]).unwrap();
    wait_for("the namespace's new mount path", || {
        let home = home();
        if home == "/models" { Ok(()) } else { Err(home) }
    });
}
