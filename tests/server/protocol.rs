//! HTTP and TLS: what the server promises to its callers.

use std::io::{Read as _, Write as _};

use crate::harness::caller::{Caller, TLS_VERSIONS, patch, post, worker};
use crate::harness::certificates;
use crate::harness::program::{file, kubeconfig};
use crate::harness::prometheus::lint_metrics;
use crate::harness::webhook::Webhook;

#[test]
fn a_malformed_body_is_answered_with_what_is_wrong() {
    let webhook = Webhook::standalone("malformed", &[]);
    for (body, words) in [("{", "no AdmissionReview"), ("{}", "not an AdmissionReview"), ("", "no AdmissionReview")] {
        let answer = webhook.caller().review(body.as_bytes());
        assert_eq!(answer.status, 400, "{body:?}");
        assert!(answer.body.contains(words), "{body:?}: {}", answer.body);
    }
}

#[test]
fn a_body_above_20_mib_is_refused_whether_announced_or_not_and_the_client_sees_why() {
    let webhook = Webhook::standalone("large", &[]);
    let body = vec![b' '; 25 * 1024 * 1024];
    let answer = webhook.caller().review(&body);
    assert_eq!((answer.status, answer.body.as_str()), (413, "the body is larger than 20 MiB\n"));

    let mut chunked = format!("{:x}\r\n", body.len()).into_bytes();
    chunked.extend(&body);
    chunked.extend(b"\r\n0\r\n\r\n");
    let head = "POST /mutate HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n";
    assert_eq!(webhook.caller().ask(head, &chunked).status, 413);

    let head = post(body.len()).replace("\r\n\r\n", "\r\nExpect: 100-continue\r\n\r\n");
    assert_eq!(webhook.caller().ask(&head, b"").status, 413, "before a byte of it was sent");
    let page = webhook.page("/metrics").body;
    assert!(page.contains("dynamo_cache_in_flight_bytes 0\n"), "all of it was given back: {page}");
}

#[test]
fn a_legal_review_of_18_mb_is_answered() {
    let webhook = Webhook::standalone("legal", &[]);
    let answer = webhook.caller().review(&worker(&r"\u003c".repeat(3_000_000)));
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert!(patch(&answer).contains("model-cache"));
}

#[test]
fn reviews_that_are_sent_at_once_are_answered_one_after_another() {
    let webhook = Webhook::standalone("at-once", &[]);
    let bodies = [10, 3_000, 9_000, 40_000, 1].map(|length| worker(&"x".repeat(length)));
    let all: Vec<_> = bodies.iter().flat_map(|body| [post(body.len()).into_bytes(), body.clone()].concat()).collect();
    let mut caller = webhook.caller();
    caller.0.write_all(&all).unwrap();
    for body in &bodies {
        let answer = caller.answer();
        assert_eq!(answer.status, 200, "of {} bytes: {}", body.len(), answer.body);
    }
}

#[test]
fn a_body_without_an_announced_length_is_answered() {
    let webhook = Webhook::standalone("chunked", &[]);
    let body = worker(&"x".repeat(100_000));
    let (one, other) = body.split_at(50_000);
    let mut chunked = Vec::new();
    for part in [one, other] {
        chunked.extend(format!("{:x}\r\n", part.len()).bytes());
        chunked.extend(part);
        chunked.extend(b"\r\n");
    }
    chunked.extend(b"0\r\n\r\n");
    let head = "POST /mutate HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n";
    assert_eq!(webhook.caller().ask(head, &chunked).status, 200);
}

#[test]
fn bodies_beyond_the_budget_are_asked_to_come_again_and_small_ones_pass() {
    let webhook = Webhook::standalone("budget", &[]);
    let large = 20 * 1024 * 1024;
    let mut waiting: Vec<_> = (0..3).map(|_| webhook.caller()).collect();
    for caller in &mut waiting {
        let head = post(large).replace("\r\n\r\n", "\r\nExpect: 100-continue\r\n\r\n");
        // The word to go on is the sign that the body has its share of the budget.
        assert_eq!(caller.ask(&head, b"").status, 100);
    }
    let body = vec![b' '; large];
    let answer = webhook.caller().review(&body);
    assert_eq!(answer.status, 503, "{}", answer.head);
    assert!(answer.head.contains("retry-after: 1\r\n") && answer.head.contains("connection: close\r\n"));
    assert_eq!(webhook.caller().review(&worker("x")).status, 200);
    assert!(webhook.page("/metrics").body.contains("dynamo_cache_shed_total{limit=\"bytes\"} 1\n"));
    let mut first = waiting.remove(0);
    first.0.write_all(&body).unwrap();
    assert_eq!(first.answer().status, 400, "spaces are no review");
    assert_eq!(webhook.caller().review(&worker(&"x".repeat(large / 2))).status, 200, "what is free again is used");
}

#[test]
fn other_methods_and_paths_are_refused_and_the_body_decides_not_its_media_type() {
    let webhook = Webhook::standalone("other", &[]);
    let mut caller = webhook.caller();
    let answer = caller.ask("GET /mutate HTTP/1.1\r\nHost: x\r\n\r\n", b"");
    assert_eq!(answer.status, 405);
    assert!(answer.head.contains("allow: post\r\n"), "{}", answer.head);
    assert_eq!(caller.ask("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n", b"").status, 404);
    let yaml = post(2).replace("application/json", "application/yaml");
    assert_eq!(caller.ask(&yaml, b"{}").status, 400);
    let json = post(2).replace("application/json", "Application/JSON; charset=utf-8");
    assert_eq!(caller.ask(&json, b"{}").status, 400);
}

#[test]
fn one_connection_carries_many_reviews_over_both_versions_of_tls() {
    let webhook = Webhook::standalone("versions", &[]);
    for version in TLS_VERSIONS {
        let mut caller = webhook.caller_with(&[version], &[b"h2", b"http/1.1"]);
        for _ in 0..3 {
            let answer = caller.review(&worker("x"));
            assert_eq!(answer.status, 200);
            assert!(!answer.head.contains("connection: close"));
            assert_eq!(answer.json()["response"]["uid"], "u-1");
        }
        assert_eq!(caller.0.conn.alpn_protocol(), Some(&b"http/1.1"[..]));
        assert_eq!(caller.0.conn.protocol_version(), Some(version.version));
    }
}

#[test]
fn silent_connections_are_closed_and_idle_ones_kept() {
    let webhook = Webhook::standalone("silent", &["--handshake-timeout", "2s"]);
    let mut idle = webhook.caller();
    assert_eq!(idle.review(&worker("x")).status, 200);

    let mut half_hello = webhook.tcp();
    half_hello.write_all(&[22, 3, 1]).unwrap();
    let mut no_byte = webhook.caller();
    while no_byte.0.conn.is_handshaking() {
        no_byte.0.conn.complete_io(&mut no_byte.0.sock).unwrap();
    }
    let mut half_head = webhook.caller();
    half_head.0.write_all(b"POST /mutate HTTP/1.1\r\nHost:").unwrap();
    let mut half_second_head = webhook.caller();
    assert_eq!(half_second_head.review(&worker("x")).status, 200);
    half_second_head.0.write_all(b"POST /mutate HTTP/1.1\r\nHost:").unwrap();

    Caller(webhook.tcp()).wait_until_closed();
    Caller(half_hello).wait_until_closed();
    no_byte.wait_until_closed();
    half_head.wait_until_closed();
    half_second_head.wait_until_closed();
    assert_eq!(idle.review(&worker("x")).status, 200, "silent for longer than all of these, and still good");
}

#[test]
fn an_idle_connection_is_closed_in_the_end() {
    let webhook = Webhook::standalone("idle", &["--keep-alive-timeout", "300ms"]);
    let mut caller = webhook.caller();
    assert_eq!(caller.review(&worker("x")).status, 200);
    caller.wait_until_closed();
}

#[test]
fn a_client_without_http_1_1_is_refused() {
    let webhook = Webhook::standalone("h2", &[]);
    let mut caller = webhook.caller_with(TLS_VERSIONS, &[b"h2"]);
    let said = caller.0.write_all(b"PRI * HTTP/2.0\r\n\r\n").and_then(|()| caller.0.read(&mut [0; 1]));
    assert!(said.is_err(), "{said:?}");
}

#[test]
fn the_metrics_page_can_be_read_by_a_machine_in_the_form_that_it_asks_for() {
    let webhook = Webhook::standalone("metrics", &[]);
    assert_eq!(webhook.caller().review(&worker("x")).status, 200);
    let page = webhook.page_as("/metrics", "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;q=0.2");
    assert!(page.head.contains("content-type: application/openmetrics-text; version=1.0.0; charset=utf-8\r\n"));
    let lines: Vec<_> = page.body.lines().collect();
    assert_eq!(lines.last(), Some(&"# EOF"));
    for line in ["# TYPE dynamo_cache_reviews counter", "# TYPE dynamo_cache_build info"] {
        assert!(lines.contains(&line), "{line} is not in {}", page.body);
    }
    for line in lines.iter().filter(|line| !line.starts_with('#')) {
        let (name, value) = line.rsplit_once(' ').unwrap();
        assert!(value.parse::<f64>().is_ok(), "{line}");
        let bare = name.split('{').next().unwrap();
        assert!(bare.starts_with("dynamo_cache_") || bare.starts_with("process_"), "{line}");
    }
    for line in [
        "dynamo_cache_reviews_total{decision=\"patched\",dry_run=\"false\"} 1",
        "dynamo_cache_skipped_total{reason=\"claim-not-found\"} 0",
        "dynamo_cache_http_responses_total{code=\"200\"} 1",
        "dynamo_cache_review_duration_seconds_count 1",
    ] {
        assert!(lines.contains(&line), "{line} is not in {}", page.body);
    }

    // A request without a preference gets the older form, with the same series.
    let older = webhook.page("/metrics");
    assert!(older.head.contains("content-type: text/plain; version=0.0.4; charset=utf-8\r\n"), "{}", older.head);
    let series = |page: &str| -> Vec<String> {
        let series = page.lines().filter(|line| !line.starts_with('#'));
        series.filter_map(|line| Some(line.rsplit_once(' ')?.0.to_owned())).collect()
    };
    assert_eq!(series(&older.body), series(&page.body));
    lint_metrics(&older.body);
}

#[test]
fn a_pod_with_too_many_containers_is_untouched() {
    let webhook = Webhook::standalone("enormous", &[]);
    let containers = vec![r#"{"name":"c","args":["-mdynamo.vllm"]}"#; 30_000].join(",");
    let review = String::from_utf8(worker("x"))
        .unwrap()
        .replace(r#"{"name":"main""#, &format!(r#"{containers},{{"name":"main""#));
    let answer = webhook.caller().review(review.as_bytes());
    assert_eq!(answer.status, 200);
    let response = &answer.json()["response"];
    assert!(response["allowed"] == true && response.get("patch").is_none(), "{answer:?}");
    webhook.line("was too large to review");
}

#[test]
fn a_cluster_that_cannot_be_reached_keeps_no_pod_from_running() {
    let (webhook, _) = certificates::serve_without_cluster("unreachable", &certificates::ecdsa("unreachable"));
    assert_eq!(webhook.page("/livez").status, 200);
    let ready = webhook.page("/readyz");
    assert_eq!(ready.status, 503);
    for line in ["[+]certificate: ok", "[-]claims: ", "[-]namespaces: "] {
        assert!(ready.body.contains(line), "{}", ready.body);
    }
    assert!(webhook.page("/metrics").body.contains("\ndynamo_cache_ready 0\n"), "the metric says what /readyz says");
    let answer = webhook.caller().review(&worker("x"));
    assert_eq!(answer.status, 200);
    assert!(patch(&answer).contains("claim-not-found"), "{}", patch(&answer));
    let page = webhook.page("/metrics").body;
    assert!(page.contains("dynamo_cache_live_reads_total{kind=\"claim\",result=\"failed\"} 2\n"), "{page}");
    assert!(page.contains("dynamo_cache_skipped_total{reason=\"claim-not-found\"} 1\n"), "{page}");
}

#[test]
fn a_slow_api_server_is_asked_by_few_connections_and_makes_few_lines_of_the_log() {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let server = format!("http://{}", silent.local_addr().unwrap());
    let text = std::fs::read_to_string(kubeconfig("slow")).unwrap().replace("http://127.0.0.1:1", &server);
    let pair = certificates::ecdsa("slow");
    let webhook = certificates::serve(&pair, &file("slow.kubeconfig", &text));
    let before = webhook.open_files();
    let (callers, reviews) = (32, 2_000);
    let most = std::thread::scope(|scope| {
        let calls = (0..callers).map(|caller| {
            let webhook = &webhook;
            scope.spawn(move || {
                let (mut connection, mut most) = (webhook.caller(), 0);
                for number in (caller..reviews).step_by(callers) {
                    let namespace = format!(r#""namespace":"team-{}""#, number / 2);
                    let claim = format!(r#""annotations":{{"dynamo-cache.io/model-claim":"m-{number}"}},"name":"w""#);
                    let review = String::from_utf8(worker("x")).unwrap();
                    let review = review.replace(r#""namespace":"team""#, &namespace).replace(r#""name":"w""#, &claim);
                    assert_eq!(connection.review(review.as_bytes()).status, 200);
                    most = most.max(webhook.open_files());
                }
                most
            })
        });
        calls.collect::<Vec<_>>().into_iter().map(|call| call.join().unwrap()).max().unwrap()
    });
    // Sixteen reads, each with a connection, which is closed a moment after its read is given up.
    assert!(most <= before + callers + 2 * 16, "{before} files before, {most} at the most");
    let log = webhook.rest_of_the_log();
    let about = |words: &str| log.iter().filter(|line| line.to_string().contains(words)).count();
    assert!(about("did not answer in time") >= 1 && about("did not answer in time") <= 4, "{log:#?}");
    assert!(log.len() < 200, "{} lines of the log", log.len());
}
