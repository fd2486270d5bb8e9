//! Lines of the log.

use std::fs;

use serde_json::{Value, json};

use crate::harness::caller::worker;
use crate::harness::program::file;
use crate::harness::wait_for;
use crate::harness::webhook::{Webhook, field};

#[test]
fn the_line_about_a_review_names_its_owner_and_nothing_that_is_in_the_pod() {
    let webhook = Webhook::standalone("log-owner", &["--claim=other"]);
    let owner = r#""ownerReferences":[{"apiVersion":"v1","kind":"Node","name":"n","uid":"1"},
        {"apiVersion":"apps/v1","kind":"ReplicaSet","name":"w-5d4f","uid":"2","controller":true}],"name":"w""#;
    let question = String::from_utf8(worker("a-secret")).unwrap().replace(r#""name":"w""#, owner);
    assert_eq!(webhook.caller().review(question.as_bytes()).status, 200);
    let line = webhook.line("something was skipped");
    assert_eq!(line["owner"], "ReplicaSet/w-5d4f", "{line:#}");
    assert_eq!((&line["uid"], &line["namespace"]), (&"u-1".into(), &"team".into()), "{line:#}");
    assert_eq!(line["reasons"], "claim-not-found", "{line:#}");
    assert!(!line.to_string().contains("a-secret"), "{line:#}");

    assert_eq!(webhook.caller().review(&worker("a-secret")).status, 200);
    let line = webhook.line("something was skipped");
    assert!(line.get("owner").is_none(), "a bare pod has none: {line:#}");
}

#[test]
fn containers_that_lack_variables_for_want_of_scratch_are_named() {
    let webhook = Webhook::standalone("log-scratch", &[]);
    let mut question: Value = serde_json::from_slice(&worker("x")).unwrap();
    question["request"]["object"]["spec"]["containers"][0]["volumeMounts"] =
        json!([{"name": "tmp", "mountPath": "/tmp", "readOnly": true}]);
    assert_eq!(webhook.caller().review(question.to_string().as_bytes()).status, 200);
    let line = webhook.line("something was skipped");
    assert_eq!((&line["without_scratch"], &line["reasons"]), (&json!("main"), &json!("")), "{line:#}");
}

#[test]
fn a_review_is_one_line_at_debug_and_none_at_info_without_content_of_the_pod() {
    for format in ["json", "text"] {
        for (level, expected) in [(None, 0), (Some("info,dynamo_cache=debug"), 2)] {
            let what = format!("log-{format}-{expected}");
            let webhook = Webhook::logging(&what, format, level);
            let question = worker("a-secret");
            let rehearsal = String::from_utf8(question.clone()).unwrap();
            let rehearsal = rehearsal.replace(r#""operation""#, r#""dryRun":true,"operation""#);
            for question in [question.as_slice(), rehearsal.as_bytes()] {
                assert_eq!(webhook.caller().review(question).status, 200);
            }
            let log = webhook.rest_of_the_log();
            let whole = log.iter().map(Value::to_string).collect::<Vec<_>>().join("\n");
            for secret in ["a-secret", "FILLER", "vllm-runtime", "python3", "dynamo.vllm"] {
                assert!(!whole.contains(secret), "{what}: {secret} is in the log:\n{whole}");
            }
            assert!(!whole.contains("something was skipped"), "{what}: nothing was:\n{whole}");
            let lines: Vec<_> = log.iter().filter(|line| field(line, "uid").is_some()).collect();
            assert_eq!(lines.len(), expected, "{what}:\n{whole}");
            for line in &lines {
                assert_eq!(line.is_object(), format == "json", "{line}");
                let fields = ["uid", "namespace", "name", "decision", "reasons"].map(|name| field(line, name).unwrap());
                assert_eq!(fields, ["u-1", "team", "w", "patched", ""], "{line}");
                assert!(line["message"] == "reviewed" || line.to_string().contains(" reviewed "), "{line}");
            }
            let rehearsed =
                |line: &&Value| line["dry_run"].as_bool().unwrap_or_else(|| field(line, "dry_run") == Some("true"));
            let rehearsed: Vec<_> = lines.iter().map(rehearsed).collect();
            assert!(rehearsed.is_empty() || rehearsed == [false, true], "{what}:\n{whole}");
        }
    }
}

#[test]
fn a_dry_run_with_a_skipped_cache_is_a_line_at_debug_and_none_at_info() {
    for (level, expected) in [(None, &[false][..]), (Some("info,dynamo_cache=debug"), &[true, false])] {
        let what = format!("log-skipped-{}", expected.len());
        let mut question = String::from_utf8(worker("a-secret")).unwrap();
        question = question.replace(r#""dynamo.vllm""#, r#""dynamo.vllm","--nnodes","2""#);
        let rehearsal = question.replace(r#""operation""#, r#""dryRun":true,"operation""#);
        let webhook = Webhook::logging(&what, "json", level);
        for question in [rehearsal, question] {
            assert_eq!(webhook.caller().review(question.as_bytes()).status, 200);
        }
        let log = webhook.rest_of_the_log();
        let lines: Vec<_> = log.iter().filter(|line| line["message"] == "something was skipped").collect();
        let dry: Vec<_> = lines.iter().map(|line| line["dry_run"] == true).collect();
        assert_eq!(dry, expected, "{what}: {log:#?}");
        for line in lines {
            let at = if line["dry_run"] == true { "DEBUG" } else { "INFO" };
            assert_eq!((&line["level"], &line["reasons"]), (&at.into(), &"multi-node".into()), "{line:#}");
        }
    }
}

#[test]
fn events_without_a_cluster_are_warned_of() {
    let head = "apiVersion: dynamo-cache.io/v1alpha1\nkind: CacheConfig\n";
    let settings = file("events-standalone.yaml", head);
    let webhook = Webhook::standalone("events-standalone", &["--config", &settings, "--reload-interval=100ms"]);
    fs::write(&settings, format!("{head}events: true\n")).unwrap();
    let line = webhook.line("has no effect without a cluster");
    assert_eq!(line["level"], "WARN", "{line:#}");
}

/// A review whose line of the log is as long as one can be.
fn with_a_long_line() -> Vec<u8> {
    let name = "ü".repeat(300);
    let names = format!(r#""name":"{name}","ownerReferences":[{{"kind":"K","name":"{name}","controller":true}}]"#);
    String::from_utf8(worker("x")).unwrap().replace(r#""name":"w""#, &names).into_bytes()
}

/// The value of a counter on a page of metrics.
fn counter(page: &str, name: &str) -> u64 {
    let line = page.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_else(|| panic!("no {name} in {page}"));
    line.trim().parse().unwrap()
}

const DROPPED: &str = "dynamo_cache_log_lines_dropped_total";

#[test]
fn a_log_that_is_not_read_delays_no_review_or_probe_and_reports_dropped_lines() {
    let webhook = Webhook::logging("log-unread", "json", Some("info,dynamo_cache=debug"));
    let gate = webhook.log_gate();
    let held = gate.lock().unwrap();
    let (mut caller, question) = (webhook.caller(), with_a_long_line());
    let dropped = wait_for("lines to be dropped", || {
        for _ in 0..200 {
            assert_eq!(caller.review(&question).status, 200);
        }
        assert_eq!(webhook.page("/livez").status, 200);
        let dropped = counter(&webhook.page("/metrics").body, DROPPED);
        if dropped > 0 { Ok(dropped) } else { Err("none was".to_owned()) }
    });
    drop(held);
    let line = webhook.line("log lines were dropped");
    assert!(line["lines"].as_u64().unwrap() >= dropped, "{line:#}");
    assert_eq!(line["level"], "WARN", "{line:#}");
    assert_eq!(caller.review(&worker("x")).status, 200);
    webhook.line("reviewed");
    let last = webhook.rest_of_the_log();
    assert_eq!(last.last().unwrap()["message"], "stopped", "what is written last is written: {last:#?}");
}

#[test]
fn a_log_that_is_not_read_delays_no_shutdown() {
    for (signals, code) in [(&["TERM"][..], 0), (&["TERM", "TERM"], 1)] {
        let (name, drain) = (format!("log-unread-end-{code}"), if code == 0 { "0s" } else { "600s" });
        let mut webhook =
            Webhook::logging_and(&name, "text", Some("info,dynamo_cache=debug"), &["--shutdown-delay", drain]);
        let gate = webhook.log_gate();
        let held = gate.lock().unwrap();
        let (mut caller, question) = (webhook.caller(), with_a_long_line());
        wait_for("the log to be full", || {
            for _ in 0..200 {
                assert_eq!(caller.review(&question).status, 200);
            }
            if counter(&webhook.page("/metrics").body, DROPPED) > 0 { Ok(()) } else { Err("it is not".to_owned()) }
        });
        drop(caller);
        for (number, signal) in signals.iter().enumerate() {
            webhook.signal(signal);
            if number + 1 < signals.len() {
                wait_for("the end to begin", || {
                    let ready = webhook.page("/readyz").status;
                    if ready == 503 { Ok(()) } else { Err(format!("{ready}")) }
                });
            }
        }
        assert_eq!(webhook.exit_code_with_unread_log(), Some(code), "{signals:?}");
        drop(held);
    }
}
