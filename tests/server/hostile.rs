//! Hostile callers: each is answered or closed, memory stays within the chart's limit, and a well-behaved caller is answered
//! meanwhile.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use crate::harness::caller::worker;
use crate::harness::hostile_connections::MEMORY_LIMIT;
use crate::harness::webhook::Webhook;

mod body;
mod connections;
mod framing;
mod handshake;
mod probes;

/// A webhook to which harm is done.
struct Arena {
    name: &'static str,
    webhook: Webhook,
    inputs: AtomicUsize,
}

impl Arena {
    fn open(name: &'static str, more: &[&str]) -> Self {
        Arena {
            name,
            webhook: Webhook::limited(&format!("hostile-{name}"), MEMORY_LIMIT << 20, more),
            inputs: AtomicUsize::new(0),
        }
    }

    /// Does harm once, while a caller that behaves goes on being answered on one connection and on new ones.
    fn during<T>(&self, harm: impl FnOnce(&Webhook) -> T) -> T {
        self.inputs.fetch_add(1, Ordering::Relaxed);
        let over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let mut kept = self.webhook.caller();
                while !over.load(Ordering::Relaxed) {
                    assert_eq!(kept.review(&worker("x")).status, 200);
                    assert_eq!(self.webhook.caller().review(&worker("x")).status, 200);
                }
                assert_eq!(kept.review(&worker("x")).status, 200);
            });
            let _over = Over(&over);
            harm(&self.webhook)
        })
    }

    /// Nothing was broken by all of it.
    #[expect(clippy::print_stdout, reason = "the numbers of a test, for --nocapture")]
    fn close(self) {
        assert_eq!(self.webhook.caller().review(&worker("x")).status, 200);
        // What a connection held that was closed a moment ago goes when its task has its turn.
        let until = std::time::Instant::now() + crate::harness::DEADLINE;
        let mut page = self.webhook.page("/metrics").body;
        while !page.contains("dynamo_cache_in_flight_bytes 0\n") {
            assert!(std::time::Instant::now() < until, "{page}");
            page = self.webhook.page("/metrics").body;
        }
        assert!(!page.contains("{code=\"500\"}"), "{page}");
        let (inputs, most, (sockets, kills)) =
            (self.inputs.into_inner(), self.webhook.peak_memory_mib(), self.webhook.socket_memory_and_oom_kills());
        println!("hostile {}: {inputs} inputs, at most {most} MiB of memory and {sockets} MiB in sockets", self.name);
        assert_eq!(kills, 0, "it was killed for its memory");
        assert!(most + sockets < MEMORY_LIMIT, "{most} MiB of memory were taken, and {sockets} MiB in sockets");
    }
}

/// Stops the well-behaved caller when this is dropped, also after a panic.
struct Over<'o>(&'o AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
