//! Many connections at once, more than the webhook takes, each of which makes it hold as much as it can.

use std::io::Write as _;
use std::time::{Duration, Instant};

use socket2::SockRef;

use super::{Arena, probes};
use crate::harness::DEADLINE;
use crate::harness::caller::{Caller, Tls, worker};
use crate::harness::hostile_connections::{
    CONNECTION_LIMIT, Harm, MEMORY_LIMIT, body, every_harm, headed, large_answer, large_head, large_hello,
    largest_head, largest_hello, medium_answer, over_tls, pipeline, plain, run_all,
};
use crate::harness::wait_for;
use crate::harness::webhook::Webhook;

/// A webhook in the chart's memory survives a crowd, answers every honest review and every probe meanwhile.
fn survives(name: &'static str, harms: &[Harm], times: usize) {
    // The deadlines are no help here.
    let arena = Arena::open(name, &["--handshake-timeout", "120s"]);
    arena.during(|webhook| {
        probes::during(webhook, || {
            let (made, wanted) = (run_all(webhook, harms, times), times * harms.len());
            assert!(made > wanted / 2, "{made} of {wanted} connections: that is no crowd");
        });
    });
    arena.close();
}

#[test]
fn heads_of_400_kb_without_an_end_stay_within_the_memory_limit() {
    survives("crowd-heads", &[over_tls(large_head)], 600);
}

#[test]
fn more_heads_without_an_end_than_connections_stay_within_the_memory_limit() {
    survives("crowd-more-heads", &[over_tls(largest_head), over_tls(large_head)], CONNECTION_LIMIT);
}

#[test]
fn bodies_of_32_kb_without_an_end_stay_within_the_memory_limit() {
    survives("crowd-bodies", &[over_tls(body)], 4_000);
}

#[test]
fn half_hellos_stay_within_the_memory_limit() {
    survives("crowd-hellos", &[plain(large_hello), plain(largest_hello)], 2_000);
}

#[test]
fn connections_idle_after_a_large_head_stay_within_the_memory_limit() {
    let idle = |says: fn() -> Vec<u8>| Harm { reads: true, ..over_tls(says) };
    survives("crowd-idle", &[idle(|| headed(7_000)), idle(|| headed(300_000))], CONNECTION_LIMIT);
}

#[test]
fn answers_that_are_not_read_stay_within_the_memory_limit() {
    survives("crowd-answers", &[Harm { reads: true, ..over_tls(large_answer) }], 100);
}

#[test]
fn an_unread_answer_is_evicted_even_if_its_client_sends_more() {
    let webhook = Webhook::limited("crowd-next", MEMORY_LIMIT << 20, &["--handshake-timeout", "120s"]);
    let unread = Harm { reads: true, adds: b"P", ..over_tls(medium_answer) };
    run_all(&webhook, &[unread], CONNECTION_LIMIT / 4);
    // A half of them is above the bound, and each but those is closed for the next one.
    let evicted = evicted(&webhook, "response");
    assert!(evicted >= CONNECTION_LIMIT / 16, "{evicted} of {} were evicted", CONNECTION_LIMIT / 4);
}

/// How many connections were evicted in a phase.
fn evicted(webhook: &Webhook, phase: &str) -> usize {
    let page = webhook.page("/metrics").body;
    let name = format!("dynamo_cache_connections_evicted_total{{listener=\"webhook\",phase=\"{phase}\"}} ");
    page.lines().find_map(|line| line.strip_prefix(&name)).unwrap_or_else(|| panic!("{page}")).parse().unwrap()
}

/// Connections on which a head was said whose body does not come. The webhook answers 100 once it waits for the body, so
/// each has its share of the budget.
fn without_body(webhook: &Webhook, length: &str, many: usize) -> Vec<Caller<Tls>> {
    let head = format!("POST /mutate HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\n{length}\r\n\r\n");
    let mut callers: Vec<_> = (0..many).map(|_| webhook.caller()).collect();
    for caller in &mut callers {
        assert_eq!(caller.ask(&head, b"").status, 100);
    }
    callers
}

#[test]
fn a_body_is_evicted_for_its_size_and_not_for_its_age() {
    let webhook = Webhook::standalone("crowd-holders", &["--handshake-timeout", "120s"]);
    let nothing = without_body(&webhook, "Transfer-Encoding: chunked", 100);
    // The whole budget of small bodies.
    let all = without_body(&webhook, "Content-Length: 32768", 512);
    let mut honest = webhook.caller();
    for _ in 0..3 {
        assert_eq!(honest.review(&worker("x")).status, 200);
    }
    let evicted = evicted(&webhook, "body");
    assert!((1..=3).contains(&evicted), "{evicted} were evicted for three reviews");
    drop((nothing, all));
}

#[test]
fn large_bodies_that_do_not_come_keep_no_other_large_one_out() {
    let webhook = Webhook::standalone("crowd-large", &["--handshake-timeout", "120s"]);
    let silent = without_body(&webhook, "Content-Length: 16777216", 4);
    let mut review = worker("x");
    // JSON may end in any number of spaces.
    review.resize(40_000, b' ');
    // An API server comes again after 503.
    wait_for("a large review", || match webhook.caller().review(&review).status {
        200 => Ok(()),
        status => Err(status.to_string()),
    });
    assert_eq!(evicted(&webhook, "body"), 1, "of the four, one is enough");
    drop(silent);
}

#[test]
fn pipelined_answers_that_are_not_read_stay_within_the_memory_limit() {
    survives("crowd-pipelines", &[over_tls(pipeline)], 300);
}

#[test]
fn all_of_it_at_once_stays_within_the_memory_limit() {
    survives("crowd-mixed", &every_harm(), 200);
}

#[test]
fn twice_as_many_silent_connections_as_there_may_be_keep_no_review_out() {
    survives("crowd-silent", &[plain(Vec::new)], 3_000);
}

#[test]
#[ignore = "half a minute: tests/run --long"]
fn an_answer_that_is_not_read_is_given_up_after_half_a_minute() {
    let webhook = Webhook::standalone("given-up", &[]);
    let mut silent = webhook.caller();
    SockRef::from(&silent.0.sock).set_recv_buffer_size(4096).unwrap();
    let open =
        |number: usize| webhook.page("/metrics").body.contains(&format!("\ndynamo_cache_connections {number}\n"));
    silent.0.write_all(&large_answer()).unwrap();
    let begun = Instant::now();
    while !open(0) {
        assert!(begun.elapsed() < DEADLINE, "{}", webhook.page("/metrics").body);
    }
    // A deadline may be late, and is never early.
    assert!(begun.elapsed() > Duration::from_secs(29), "given up after {:?}", begun.elapsed());
    drop(silent);
}
