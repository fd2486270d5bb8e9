//! Promises about log lines.

use std::fs;

use super::program::file;
use super::webhook::{Webhook, worker};

#[test]
fn the_line_about_a_review_names_its_owner_and_nothing_that_is_in_the_pod() {
    let webhook = Webhook::standalone("log-owner", &["--claim=other"]);
    let owner = r#""ownerReferences":[{"apiVersion":"v1","kind":"Node","name":"n","uid":"1"},
        {"apiVersion":"apps/v1","kind":"ReplicaSet","name":"w-5d4f","uid":"2","controller":true}],"name":"w""#;
    let question = String::from_utf8(worker("a-secret")).unwrap().replace(r#""name":"w""#, owner);
    assert_eq!(webhook.caller().review(question.as_bytes()).status, 200);
    let line = webhook.line("something was left out");
    assert_eq!(line["owner"], "ReplicaSet/w-5d4f", "{line:#}");
    assert_eq!((&line["uid"], &line["namespace"]), (&"u-1".into(), &"team".into()), "{line:#}");
    assert_eq!(line["reasons"], "claim-not-found", "{line:#}");
    assert!(!line.to_string().contains("a-secret"), "{line:#}");

    assert_eq!(webhook.caller().review(&worker("a-secret")).status, 200);
    let line = webhook.line("something was left out");
    assert!(line.get("owner").is_none(), "a bare pod has none: {line:#}");
}

#[test]
fn events_without_a_cluster_are_warned_of() {
    let head = "apiVersion: dynamo-cache.io/v1alpha1\nkind: CacheConfig\n";
    let settings = file("events-standalone.yaml", head);
    let webhook = Webhook::standalone("events-standalone", &["--config", &settings, "--reread=100ms"]);
    fs::write(&settings, format!("{head}events: true\n")).unwrap();
    let line = webhook.line("no cluster to write events to");
    assert_eq!(line["level"], "WARN", "{line:#}");
}
