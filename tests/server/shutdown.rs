//! Changes of the settings, and shutdown.

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};

use crate::harness::caller::{patch, worker};
use crate::harness::program::file;
use crate::harness::webhook::Webhook;

fn settings(claim: &str) -> String {
    format!("apiVersion: dynamo-cache.io/v1alpha1\nkind: CacheConfig\nmodelCache:\n  claim: {claim}\n")
}

#[test]
fn a_changed_settings_file_applies_and_a_bad_one_leaves_the_last_good_one() {
    let path = file("reload.yaml", &settings("one"));
    let webhook = Webhook::standalone("reload", &["--config", &path, "--reload-interval", "20ms"]);
    let mut caller = webhook.caller();
    assert!(patch(&caller.review(&worker("x"))).contains(r#""claimName":"one""#));

    file("reload.yaml.new", &settings("two"));
    std::fs::rename(format!("{path}.new"), &path).unwrap();
    webhook.line("reloaded the settings file");
    assert!(patch(&caller.review(&worker("x"))).contains(r#""claimName":"two""#));

    file("reload.yaml.new", &settings("[]"));
    std::fs::rename(format!("{path}.new"), &path).unwrap();
    webhook.line("the changed settings file is invalid");
    let ready = webhook.page("/readyz?verbose");
    assert_eq!(ready.status, 200, "the last good ones are good: {}", ready.body);
    assert!(ready.body.contains("[-]settings: last valid from") && ready.body.contains(":4:"), "{}", ready.body);
    assert!(patch(&caller.review(&worker("x"))).contains(r#""claimName":"two""#));
    let page = webhook.page("/metrics").body;
    for result in ["accepted", "rejected"] {
        let line = format!("dynamo_cache_settings_reloads_total{{result=\"{result}\"}} 1\n");
        assert!(page.contains(&line), "{page}");
    }

    std::fs::remove_file(&path).unwrap();
    webhook.line("the changed settings file is invalid");
    file("reload.yaml.new", &settings("three"));
    std::fs::rename(format!("{path}.new"), &path).unwrap();
    webhook.line("reloaded the settings file");
    let ready = webhook.page("/readyz?verbose").body;
    assert!(ready.contains("[+]settings: ") && !ready.contains("invalid"), "{ready}");
    assert!(patch(&caller.review(&worker("x"))).contains(r#""claimName":"three""#));
}

#[test]
fn sigterm_drains_and_ends_with_success() {
    let mut webhook = Webhook::standalone("drain", &["--shutdown-delay", "10s"]);
    let mut kept = webhook.caller();
    assert!(!kept.review(&worker("x")).head.contains("connection: close"));
    assert_eq!(webhook.page("/readyz").body, "ok\n");
    assert!(webhook.page("/metrics").body.contains("\ndynamo_cache_ready 1\n"));
    webhook.signal("TERM");
    webhook.line("stopping");
    assert!(webhook.page("/metrics").body.contains("\ndynamo_cache_ready 0\n"));
    let ready = webhook.page("/readyz");
    assert!(ready.status == 503 && ready.body.contains("[-]shutdown: in progress"), "{ready:?}");
    let last = kept.review(&worker("x"));
    assert!(last.status == 200 && last.head.contains("connection: close\r\n"), "{}", last.head);
    kept.wait_until_closed();
    let late = webhook.caller().review(&worker("x"));
    assert!(late.status == 200 && late.head.contains("connection: close\r\n"), "{}", late.head);
    webhook.line("stopped");
    assert_eq!(webhook.exit_code(), Some(0));
}

#[test]
fn what_is_in_flight_when_we_stop_accepting_is_answered() {
    let mut webhook = Webhook::standalone("in-flight", &["--shutdown-delay", "0s", "--drain-timeout", "60s"]);
    let mut caller = webhook.caller();
    let body = worker("x");
    let head = crate::harness::caller::post(body.len()).replace("\r\n\r\n", "\r\nExpect: 100-continue\r\n\r\n");
    assert_eq!(caller.ask(&head, b"").status, 100, "its head is read");
    webhook.signal("TERM");
    webhook.line("stopping");
    let answered = caller.ask("", &body);
    assert!(answered.status == 200 && !patch(&answered).is_empty(), "{answered:?}");
    webhook.line("stopped");
    assert_eq!(webhook.exit_code(), Some(0));
}

#[test]
fn a_connection_that_never_ends_does_not_prevent_the_shutdown() {
    let mut webhook = Webhook::standalone("stuck", &["--shutdown-delay", "0s", "--drain-timeout", "200ms"]);
    let mut stuck = webhook.caller();
    let head = crate::harness::caller::post(10).replace("\r\n\r\n", "\r\nExpect: 100-continue\r\n\r\n");
    assert_eq!(stuck.ask(&head, b"").status, 100);
    webhook.signal("TERM");
    webhook.line("did not drain in time");
    assert_eq!(webhook.exit_code(), Some(0));
}

#[test]
fn a_second_signal_aborts() {
    let mut webhook = Webhook::standalone("abort", &["--shutdown-delay", "600s"]);
    webhook.signal("TERM");
    webhook.line("stopping");
    webhook.signal("INT");
    assert_eq!(webhook.exit_code(), Some(1));
}

#[test]
fn a_shutdown_succeeds_where_the_reader_of_the_log_is_gone() {
    let mut child = Command::new(env!("CARGO_BIN_EXE_dynamo-cache"))
        .args(["serve", "--standalone", "--shutdown-delay=0s", "--listen=127.0.0.1:0", "--admin-listen=127.0.0.1:0"])
        .env_remove("RUST_LOG")
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let listening = lines.map_while(Result::ok).filter(|line| line.contains("listening")).take(2).count();
    assert_eq!(listening, 2);
    // What it says of its end goes nowhere.
    let kill = Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap();
    assert!(kill.success());
    assert_eq!(child.wait().unwrap().code(), Some(0));
}
