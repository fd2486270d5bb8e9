//! Silent and slow callers: all are closed, and the others are answered meanwhile.

use std::io::Write as _;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use crate::harness::caller::{Caller, worker};
use crate::harness::webhook::Webhook;

/// Many times what any of them is given.
const DEADLINE: Duration = Duration::from_secs(120);

/// What a TLS client says first, but for its end.
const HALF_HELLO: &[u8] = &[22, 3, 1, 2, 0, 1, 0, 1];

#[test]
fn silent_connections_half_handshakes_and_slow_heads_are_closed_meanwhile() {
    hold(&["--handshake-timeout", "2s"]);
}

#[test]
#[ignore = "at the real deadline: tests/run --long"]
fn silent_connections_and_the_others_are_closed_at_the_real_deadline() {
    hold(&[]);
}

fn hold(more: &[&str]) {
    let webhook = Webhook::standalone(&format!("silence-{}", more.len()), more);
    let mut reviewed = webhook.caller();
    assert_eq!(reviewed.review(&worker("x")).status, 200);
    // With the others, fewer than the limit: none is evicted.
    let silent: Vec<_> = (0..500).map(|_| webhook.tcp()).collect();
    let half: Vec<_> = (0..150).map(|_| said(webhook.tcp(), HALF_HELLO)).collect();
    let slow = (0..50).map(|_| {
        let mut caller = webhook.caller();
        caller.0.write_all(b"POST /mutate HTTP/1.1\r\nX-Slow: ").unwrap();
        caller
    });
    let mut slow: Vec<_> = slow.collect();
    // A head that grows by a byte now and then is no nearer to its end.
    let begun = Instant::now();
    while !slow.is_empty() {
        assert!(begun.elapsed() < DEADLINE, "{} slow heads were waited for", slow.len());
        assert_eq!(reviewed.review(&worker("x")).status, 200);
        assert_eq!(webhook.caller().review(&worker("x")).status, 200, "over a new connection");
        slow.retain_mut(|caller| caller.0.write_all(b"x").and_then(|()| caller.0.flush()).is_ok());
    }
    for stream in silent.into_iter().chain(half) {
        Caller(stream).wait_until_closed();
    }
    assert_eq!(reviewed.review(&worker("x")).status, 200);
    let page = webhook.page("/metrics").body;
    assert!(page.contains("dynamo_cache_handshakes_total{result=\"timeout\"} 650\n"), "{page}");
}

fn said(mut stream: TcpStream, bytes: &[u8]) -> TcpStream {
    stream.write_all(bytes).unwrap();
    stream
}

#[test]
#[ignore = "two minutes: tests/run --long"]
fn a_connection_idle_for_a_hundred_seconds_is_still_good() {
    let webhook = Webhook::standalone("idle-long", &[]);
    let mut idle = webhook.caller();
    assert_eq!(idle.review(&worker("x")).status, 200);
    // Each of these is closed after ten seconds, by the real deadline.
    for _ in 0..10 {
        Caller(webhook.tcp()).wait_until_closed();
    }
    assert_eq!(idle.review(&worker("x")).status, 200);
}
