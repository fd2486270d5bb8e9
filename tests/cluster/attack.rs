//! Everything that a caller without rights can do to the ports, all at once for a minute, while an API server and a kubelet go on.

use std::net::Ipv4Addr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::harness::caller::worker;
use crate::harness::certificates;
use crate::harness::control_plane::namespace::Namespace;
use crate::harness::control_plane::shared;
use crate::harness::hostile_connections::{
    CONNECTION_LIMIT, MEMORY_LIMIT, run_every_harm, silent_connections, silent_connections_from,
};
use crate::harness::webhook::Webhook;

/// How long it lasts.
const LONG: Duration = Duration::from_secs(60);

/// Between two honest reviews: a rollout of a hundred pods a second.
const PACE: Duration = Duration::from_millis(10);

/// Between two probes: ten times as often as a kubelet with `periodSeconds: 1`.
const PROBE_PACE: Duration = Duration::from_millis(100);

/// Another address of this machine than the one that callers have.
const POD: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 66);

/// Goes on until a minute is over.
struct Minute(Instant);

impl Minute {
    fn lasts(&self) -> bool {
        self.0.elapsed() < LONG
    }

    /// Does something again and again, at this pace where it does not take longer.
    #[expect(clippy::disallowed_methods, reason = "the pace of a caller, not a wait for something")]
    fn at(&self, pace: Duration, mut act: impl FnMut()) {
        while self.lasts() {
            let begun = Instant::now();
            act();
            std::thread::sleep(pace.saturating_sub(begun.elapsed()));
        }
    }
}

/// An anonymous review of a pod that names a claim of its own in a namespace that does not exist: two live reads.
fn forged_review(number: usize) -> Vec<u8> {
    let review = String::from_utf8(worker("x")).unwrap();
    let mut review: Value = serde_json::from_str(&review).unwrap();
    review["request"]["namespace"] = json!(format!("nowhere-{number}"));
    review["request"]["object"]["metadata"]["annotations"] =
        json!({"dynamo-cache.io/model-claim": format!("c-{number}")});
    review.to_string().into_bytes()
}

/// Asks for a review and connects again where the connection was closed.
fn flood(webhook: &Webhook, minute: &Minute, number: &AtomicUsize) {
    while minute.lasts() {
        let mut caller = webhook.caller();
        // A flooding caller that is evicted during a request panics here; honest callers are elsewhere.
        let asked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            while minute.lasts() {
                caller.review(&forged_review(number.fetch_add(1, Ordering::Relaxed)));
            }
        }));
        drop(asked);
    }
}

#[test]
#[ignore = "a minute: tests/run --long"]
#[allow(clippy::print_stdout, reason = "the numbers are what a person runs it for")]
fn a_minute_of_everything_at_once_loses_no_honest_review_and_no_probe() {
    let plane = shared();
    let namespace = Namespace::opted_in(plane, &[]);
    namespace.claims(&["model-cache", "compilation-cache"]);
    let (pair, kubeconfig) = (certificates::ecdsa("attack"), plane.kubeconfig());
    let files = ["--kubeconfig", &kubeconfig, "--cert-file", &pair.certificate, "--key-file", &pair.key];
    let webhook = Webhook::within(MEMORY_LIMIT << 20, &files, || pair.ca.clone());
    super::failures::wait_for_page(&webhook, "[+]claims: ok");
    let review = |namespace: &str| {
        let mut review: Value = serde_json::from_slice(&worker("x")).unwrap();
        review["request"]["namespace"] = json!(namespace);
        review.to_string().into_bytes()
    };
    let honest = review(&namespace.name);

    let (minute, forgeries) = (Minute(Instant::now()), AtomicUsize::new(0));
    let (times, probes) = (Mutex::new(Vec::new()), AtomicUsize::new(0));
    // The log is read by no one from here on.
    let gate = webhook.log_gate();
    let held = gate.lock().unwrap();
    std::thread::scope(|scope| {
        // What the API server does: reviews on a connection that it keeps, and on new ones.
        scope.spawn(|| {
            let mut kept = webhook.caller();
            minute.at(PACE, || {
                let begun = Instant::now();
                let answer = kept.review(&honest);
                times.lock().unwrap().push(begun.elapsed());
                assert_eq!(answer.status, 200);
                assert!(answer.body.contains("\"patch\""), "{answer:?}");
            });
        });
        scope.spawn(|| {
            minute.at(10 * PACE, || {
                let begun = Instant::now();
                assert_eq!(webhook.caller().review(&honest).status, 200);
                times.lock().unwrap().push(begun.elapsed());
            });
        });
        scope.spawn(|| {
            minute.at(PROBE_PACE, || {
                for path in ["/livez", "/readyz"] {
                    assert_eq!(webhook.page(path).status, 200, "{path}");
                    probes.fetch_add(1, Ordering::Relaxed);
                }
            });
        });
        // Heads, bodies, hellos and answers without an end; the connections of each round are kept until it is over.
        scope.spawn(|| {
            while minute.lasts() {
                run_every_harm(&webhook, 100);
            }
        });
        // Silent connections, on both ports; those of probes come from a pod, whose address is not that of the kubelet's node.
        scope.spawn(|| {
            while minute.lasts() {
                drop(silent_connections(webhook.address, 2 * CONNECTION_LIMIT));
                drop(silent_connections_from(POD, webhook.admin, 256));
            }
        });
        scope.spawn(|| flood(&webhook, &minute, &forgeries));
    });
    drop(held);

    let mut times = times.into_inner().unwrap();
    times.sort_unstable();
    let at = |percent: usize| times[(times.len() * percent / 100).min(times.len() - 1)];
    let ((sockets, kills), most) = (webhook.socket_memory_and_oom_kills(), webhook.peak_memory_mib());
    println!(
        "{} honest reviews, p50 {:?}, p99 {:?}, slowest {:?}; {} probes; {} forged reviews; at most {most} MiB and {sockets} MiB in sockets",
        times.len(),
        at(50),
        at(99),
        at(100),
        probes.into_inner(),
        forgeries.into_inner(),
    );
    let page = webhook.page("/metrics").body;
    for line in page.lines().filter(|line| {
        [
            "dynamo_cache_live_reads_total{kind=\"claim\"",
            "dynamo_cache_connections_evicted",
            "dynamo_cache_log_lines_dropped",
            "dynamo_cache_shed",
        ]
        .iter()
        .any(|name| line.starts_with(name))
    }) {
        println!("{line}");
    }
    assert_eq!(kills, 0, "it was killed for its memory");
    assert!(most + sockets < MEMORY_LIMIT, "{most} MiB of memory were taken, and {sockets} MiB in sockets");
}
