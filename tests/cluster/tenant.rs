//! What a tenant cannot do to other tenants, or to the webhook.

use std::io::ErrorKind;
use std::net::TcpListener;

use serde_json::json;

use crate::harness::control_plane::namespace::Namespace;
use crate::harness::control_plane::{shared, webhook};
use crate::harness::pods::{claims, container, environment, status, worker};

#[test]
fn a_claim_of_another_namespace_is_no_claim() {
    let _webhook = webhook::running();
    let (theirs, own) = (Namespace::opted_in(shared(), &[]), Namespace::opted_in(shared(), &[]));
    theirs.claims(&["model-cache", "secret-models"]);
    for claim in ["secret-models", &format!("{}/secret-models", theirs.name), "model-cache"] {
        let mut pod = worker("x");
        pod["metadata"]["annotations"] = json!({"dynamo-cache.io/model-claim": claim});
        let pod = own.dry_run(&pod.to_string());
        assert!(claims(&pod).is_empty(), "{pod:#}");
        assert_ne!(status(&pod)["skipped"][0]["reason"], serde_json::Value::Null, "{pod:#}");
    }
}

#[test]
fn no_address_that_a_setting_names_is_called() {
    let webhook = webhook::running();
    let listener = TcpListener::bind("127.0.0.9:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let url = format!("http://{address}");
    let namespace = Namespace::opted_in(shared(), &[("model-express-url", &url)]);
    let pod = namespace.dry_run(&worker("x").to_string());
    assert_eq!(environment(container(&pod, "main"))["MODEL_EXPRESS_URL"], url, "the pod itself has the address");
    let mut pod = worker("y");
    pod["metadata"]["annotations"] = json!({"dynamo-cache.io/model-express-url": url,
        "dynamo-cache.io/model-express-shared-storage": "false", "dynamo-cache.io/model-claim": address});
    pod["metadata"]["ownerReferences"] =
        json!([{"apiVersion": format!("{address}/v1"), "kind": "Caller", "name": "c", "uid": "u", "controller": true}]);
    pod["spec"]["containers"][0]["image"] = format!("{address}/vllm-runtime:1").into();
    let names = ["MODEL_EXPRESS_URL", "MX_SERVER_ADDRESS", "HF_ENDPOINT", "HTTPS_PROXY"];
    pod["spec"]["containers"][0]["env"] = names.map(|name| json!({"name": name, "value": url})).into_iter().collect();
    // It is stored, so the webhook also looks for its owner, for an event about the skipped caches.
    namespace.create(&pod.to_string()).unwrap();
    assert!(webhook.admin("/readyz").is_ok());
    // A caller until now waits to be accepted.
    assert_eq!(listener.accept().unwrap_err().kind(), ErrorKind::WouldBlock, "somebody has called");
}

#[test]
fn no_word_of_a_tenant_makes_a_line_of_the_log() {
    let webhook = webhook::running();
    let words = "x\n2026-01-01T00:00:00Z  INFO forged\r\u{1b}[31m\u{0007}";
    let namespace = Namespace::opted_in(shared(), &[("model-claim", words), ("model-express-url", words)]);
    let mut pod = worker("x");
    pod["metadata"]["annotations"] = json!({"dynamo-cache.io/engine": words, "dynamo-cache.io/nonsense": words});
    namespace.create(&pod.to_string()).unwrap();
    let log = webhook.log();
    let ours: Vec<_> = log.lines().filter(|line| line.contains(&namespace.name)).collect();
    assert!(!ours.is_empty(), "{log}");
    for line in log.lines() {
        assert!(!line.starts_with("2026-01-01T00:00:00Z  INFO forged") && !line.contains('\u{1b}'), "{line:?}");
    }
}
