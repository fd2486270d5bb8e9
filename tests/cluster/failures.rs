//! Failures of the API server and changes under load: every pod is answered meanwhile, and everything recovers.

use std::fs;

use futures::StreamExt as _;
use k8s_openapi::api::core::v1::{Namespace as Object, PersistentVolumeClaim};
use kube::Api;
use kube::api::PostParams;
use serde_json::{Value, json};

use crate::harness::certificates;
use crate::harness::control_plane::faulty_api_server::FaultyApiServer;
use crate::harness::control_plane::namespace::{Namespace, claim};
use crate::harness::control_plane::{ControlPlane, shared, webhook};
use crate::harness::pods::{claims, status, worker};
use crate::harness::program::file;
use crate::harness::wait_for;
use crate::harness::webhook::Webhook;

/// Which caches a pod in a namespace would get, by a review that the test itself sends.
fn reviewed(webhook: &Webhook, namespace: &str) -> Value {
    let review = String::from_utf8(crate::harness::caller::worker("x")).unwrap();
    let review = review.replace(r#""namespace":"team""#, &format!(r#""namespace":"{namespace}""#));
    let answer = webhook.caller().review(review.as_bytes());
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.json()["response"]["allowed"], true, "{answer:?}");
    let patch: Value = serde_json::from_str(&crate::harness::caller::patch(&answer)).unwrap();
    let values = patch.as_array().into_iter().flatten().map(|operation| &operation["value"]);
    let mut annotations =
        values.filter_map(|value| value.as_str().or_else(|| value["dynamo-cache.io/status"].as_str()));
    annotations.find_map(|text| serde_json::from_str::<Value>(text).ok()).unwrap_or_default()
}

/// Waits until a pod gets its model cache, or until it does not.
pub(crate) fn wait_for_model(webhook: &Webhook, namespace: &str, there: bool) {
    wait_for(&format!("a pod with{} its model cache", if there { "" } else { "out" }), || {
        let status = reviewed(webhook, namespace);
        if (status["containers"]["main"][0] == "model") == there { Ok(()) } else { Err(status.to_string()) }
    });
}

/// Waits until `/readyz?verbose` has these words.
pub(crate) fn wait_for_page(webhook: &Webhook, words: &str) {
    wait_for(words, || {
        let page = webhook.page("/readyz?verbose").body;
        if page.contains(words) { Ok(()) } else { Err(page) }
    });
}

#[test]
fn watches_that_end_are_opened_again() {
    heals_after(None);
}

#[test]
fn watches_that_end_with_410_are_opened_again_while_pods_are_answered() {
    heals_after(Some(410));
}

#[test]
fn an_api_server_that_answers_429_is_asked_again_while_pods_are_answered() {
    heals_after(Some(429));
}

#[test]
fn an_api_server_that_answers_403_is_asked_again_while_pods_are_answered() {
    heals_after(Some(403));
}

#[test]
fn an_api_server_that_answers_500_or_503_is_asked_again_while_pods_are_answered() {
    heals_after(Some(500));
    heals_after(Some(503));
}

/// Every watch is cut, and where `refusal` is a status, everything that is asked after is answered with it. What was known
/// is known meanwhile, and what was missed is seen after.
fn heals_after(refusal: Option<u16>) {
    let installed = webhook::running();
    let faulty = FaultyApiServer::to(&fs::read_to_string(installed.kubeconfig()).unwrap());
    let name = format!("faulty-{}", refusal.unwrap_or_default());
    let kubeconfig = file(&format!("{name}.kubeconfig"), &faulty.kubeconfig());
    let webhook = certificates::serve(&certificates::ecdsa(&name), &kubeconfig);
    wait_for_page(&webhook, "[+]claims: ok");
    let namespace = Namespace::opted_in(shared(), &[]);
    namespace.claims(&["model-cache"]);
    wait_for_model(&webhook, &namespace.name, true);
    let before = faulty.watches();
    faulty.refuse(refusal);
    faulty.cut();
    if refusal.is_some() {
        for condition in ["claims", "namespaces"] {
            wait_for_page(&webhook, &format!("[-]{condition}: the watch fails: "));
        }
        let cached = &reviewed(&webhook, &namespace.name)["containers"]["main"][0];
        assert_eq!(cached, "model", "what was known is known");
        assert_eq!(webhook.page("/readyz").status, 200, "it was ready, so it stays");
    }
    namespace.kubectl(&["delete", "persistentvolumeclaim", "model-cache", "--wait=false"]).unwrap();
    faulty.refuse(None);
    wait_for("the watches of claims and of namespaces to begin again", || {
        if faulty.watches() >= before + 2 { Ok(()) } else { Err(format!("{} of {before}", faulty.watches())) }
    });
    // Only a watch reports that a claim is gone.
    wait_for_model(&webhook, &namespace.name, false);
    for condition in ["claims", "namespaces"] {
        wait_for_page(&webhook, &format!("[+]{condition}: ok"));
    }
}

#[test]
fn rights_that_are_taken_away_and_given_back_are_used_again() {
    let (plane, installed) = (shared(), webhook::running());
    let namespace = Namespace::opted_in(plane, &[]);
    namespace.kubectl(&["create", "serviceaccount", "webhook"]).unwrap();
    let account = format!("--serviceaccount={}:webhook", namespace.name);
    let bind = ["create", "clusterrolebinding", "broken", "--clusterrole=dynamo-cache", &account];
    plane.kubectl(&bind).unwrap();
    let token = namespace.kubectl(&["create", "token", "webhook", "--duration=1h"]).unwrap().out;
    let mut kubeconfig: Value = serde_json::from_str(&fs::read_to_string(installed.kubeconfig()).unwrap()).unwrap();
    kubeconfig["users"][0]["user"]["token"] = json!(token.trim());
    let faulty = FaultyApiServer::to(&kubeconfig.to_string());
    let webhook = certificates::serve(&certificates::ecdsa("rights"), &file("rights.kubeconfig", &faulty.kubeconfig()));
    wait_for_page(&webhook, "[+]claims: ok");

    plane.kubectl(&["delete", "clusterrolebinding", "broken"]).unwrap();
    // An API server asks at the beginning of a watch alone.
    faulty.cut();
    wait_for_page(&webhook, "[-]claims: the watch fails: ");
    assert!(webhook.page("/readyz?verbose").body.contains("forbidden"));
    namespace.claims(&["model-cache"]);
    assert_eq!(reviewed(&webhook, &namespace.name)["skipped"][0]["reason"], "claim-not-found", "it cannot be known");

    plane.kubectl(&bind).unwrap();
    wait_for_page(&webhook, "[+]claims: ok");
    wait_for_model(&webhook, &namespace.name, true);
    plane.kubectl(&["delete", "clusterrolebinding", "broken"]).unwrap();
}

#[test]
fn namespaces_that_come_and_go_under_load_leave_no_pod_without_an_answer() {
    let (plane, _webhook) = (shared(), webhook::running());
    let created: usize = std::thread::scope(|scope| {
        let turns = (0..4).map(|_| {
            scope.spawn(|| {
                let mut created = 0;
                for _ in 0..5 {
                    let namespace = Namespace::opted_in(plane, &[]);
                    namespace.claims(&["model-cache"]);
                    for number in 0..5 {
                        if number == 3 {
                            namespace.delete();
                        }
                        let pod = worker(&format!("pod-{number}")).to_string();
                        // The API server refuses pods of a namespace that goes.
                        if namespace.create(&pod).is_ok() {
                            let stored = namespace.kubectl(&["get", "pod", &format!("pod-{number}"), "--output=json"]);
                            let Ok(stored) = stored else { continue };
                            let stored: Value = serde_json::from_str(&stored.out).unwrap();
                            assert!(!status(&stored).is_null(), "{stored:#}");
                            created += 1;
                        }
                    }
                }
                created
            })
        });
        turns.collect::<Vec<_>>().into_iter().map(|turn| turn.join().unwrap()).sum()
    });
    assert!(created >= 4 * 5 * 3, "{created}");
}

#[test]
fn a_claim_that_is_deleted_while_pods_start_is_mounted_whole_or_not_at_all() {
    let (plane, _webhook) = (shared(), webhook::running());
    let namespace = Namespace::opted_in(plane, &[]);
    let over = std::sync::atomic::AtomicBool::new(false);
    let seen = std::thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(std::sync::atomic::Ordering::Relaxed) {
                namespace.claims(&["model-cache"]);
                namespace.kubectl(&["delete", "persistentvolumeclaim", "model-cache"]).unwrap();
            }
        });
        let mut seen = std::collections::BTreeMap::<bool, usize>::new();
        for _ in 0..40 {
            let pod = namespace.dry_run(&worker("pod").to_string());
            let status = status(&pod);
            let mounted = claims(&pod).contains_key("dynamo-cache-model");
            let environment = crate::harness::pods::environment(crate::harness::pods::container(&pod, "main"));
            assert_eq!(mounted, status["containers"]["main"] == json!(["model"]), "{pod:#}");
            assert_eq!(mounted, environment.contains_key("HF_HOME"), "{pod:#}");
            let skipped = status["skipped"].as_array().into_iter().flatten();
            let reasons: Vec<_> =
                skipped.filter(|skipped| skipped["cache"] == "model").map(|skipped| &skipped["reason"]).collect();
            assert_eq!(reasons.is_empty(), mounted, "{pod:#}");
            *seen.entry(mounted).or_default() += 1;
        }
        over.store(true, std::sync::atomic::Ordering::Relaxed);
        seen
    });
    assert_eq!(seen.values().sum::<usize>(), 40, "{seen:?}");
}

#[test]
fn hundreds_of_namespaces_are_known_at_the_first_review() {
    start_with(500);
}

#[test]
#[ignore = "two minutes: tests/run --long"]
fn ten_thousand_namespaces_are_known_at_the_first_review() {
    start_with(10_000);
}

#[allow(clippy::print_stdout, reason = "the numbers are what a person runs it for")]
fn start_with(namespaces: usize) {
    let plane = ControlPlane::start().unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let client = plane.client().await;
        let made = futures::stream::iter(0..namespaces).map(|number| {
            let client = client.clone();
            async move {
                let name = format!("many-{number}");
                let metadata = json!({"name": name, "labels": {"dynamo-cache.io/inject": "enabled"},
                    "annotations": {"dynamo-cache.io/skip": "compile", "large": "x".repeat(10_000)}});
                let object: Object = serde_json::from_value(json!({"metadata": metadata})).unwrap();
                Api::<Object>::all(client.clone()).create(&PostParams::default(), &object).await.unwrap();
                let claim: PersistentVolumeClaim = serde_json::from_value(claim("model-cache")).unwrap();
                Api::namespaced(client, &name).create(&PostParams::default(), &claim).await.unwrap();
            }
        });
        made.buffer_unordered(32).collect::<Vec<_>>().await;
    });
    let webhook = certificates::serve(&certificates::ecdsa("many"), &plane.kubeconfig());
    wait_for_page(&webhook, "[+]claims: ok");
    wait_for_page(&webhook, "[+]namespaces: ok");
    for number in [0, namespaces / 2, namespaces - 1] {
        let status = reviewed(&webhook, &format!("many-{number}"));
        assert_eq!(status["containers"]["main"], json!(["model"]), "{status}");
        assert_eq!(status["skipped"][0]["reason"], "skipped-by-user", "its annotations are known: {status}");
    }
    let page = webhook.page("/metrics").body;
    assert!(page.contains("dynamo_cache_live_reads_total{kind=\"claim\",result=\"found\"} 0\n"), "{page}");
    assert!(page.contains("dynamo_cache_live_reads_total{kind=\"namespace\",result=\"found\"} 0\n"), "{page}");
    let memory = webhook.peak_memory_kib();
    println!("{namespaces} namespaces and claims: {memory} kB at the most");
    assert!(memory < 100_000, "{memory} kB");
}
