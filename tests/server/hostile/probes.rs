//! The port of the probes: a caller that stays connected there keeps no probe out.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::Over;
use crate::harness::caller::Caller;
use crate::harness::webhook::Webhook;

/// Its limit of connections, `MAX_ADMIN_CONNECTIONS` in `serve::startup`.
const LIMIT: usize = 128;

/// Far more than any probe takes, and less than it takes to close a connection that stays.
const PATIENCE: Duration = Duration::from_secs(30);

fn connect(webhook: &Webhook) -> TcpStream {
    let stream = TcpStream::connect(webhook.admin).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// Probes as a kubelet does, on a new connection each time.
pub(super) fn probe(webhook: &Webhook, path: &str) {
    let ask = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    assert_eq!(Caller(connect(webhook)).ask(&ask, b"").status, 200, "{path}");
}

/// Goes on probing while something else happens.
pub(super) fn during<T>(webhook: &Webhook, harm: impl FnOnce() -> T) -> T {
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                probe(webhook, "/livez");
                probe(webhook, "/readyz");
            }
        });
        let _over = Over(&over);
        harm()
    })
}

/// One that asked once and stays.
fn idle(webhook: &Webhook) -> TcpStream {
    let mut stream = connect(webhook);
    stream.write_all(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    stream.read_exact(&mut [0; 15]).unwrap();
    stream
}

fn half_a_head(webhook: &Webhook) -> TcpStream {
    let mut stream = connect(webhook);
    stream.write_all(b"GET /livez HTTP/1.1\r\nX: ").unwrap();
    stream
}

/// Asks for the page of metrics again and again, and reads none of it.
fn unread(webhook: &Webhook) -> TcpStream {
    let mut stream = connect(webhook);
    let ask = b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n".repeat(100);
    // The rest may find a connection that is closed.
    let _ = stream.write_all(&ask);
    stream
}

#[test]
fn twice_as_many_connections_as_there_may_be_keep_no_probe_out() {
    let webhook = Webhook::standalone("hostile-probes", &[]);
    for harm in [idle, connect, half_a_head, unread] {
        let kept: Vec<_> = during(&webhook, || (0..2 * LIMIT).map(|_| harm(&webhook)).collect());
        probe(&webhook, "/livez");
        drop(kept);
    }
    let line = webhook.line("too many connections");
    assert_eq!(line["listener"], "admin", "{line}");
    let page = webhook.page("/metrics").body;
    let idle = "dynamo_cache_connections_evicted_total{listener=\"admin\",phase=\"idle\"} ";
    let evicted: usize = page.lines().find_map(|line| line.strip_prefix(idle)).unwrap().parse().unwrap();
    assert!(evicted >= LIMIT, "{page}");
}

#[test]
fn a_connection_that_stays_on_the_port_of_probes_is_closed_in_the_end() {
    let webhook =
        Webhook::standalone("probes-idle", &["--keep-alive-timeout", "300ms", "--handshake-timeout", "300ms"]);
    Caller(idle(&webhook)).wait_until_closed();
    Caller(half_a_head(&webhook)).wait_until_closed();
}
