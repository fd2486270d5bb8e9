//! What the server promises about callers that mean it harm: each is answered or closed, memory stays within what the chart
//! gives, and a caller that behaves is answered meanwhile.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use crate::webhook::{Webhook, worker};

mod body;
mod framing;
mod hello;

/// `resources.limits.memory` of the chart, in MiB: who takes more is killed.
const MEMORY_LIMIT: u64 = 256;

/// A webhook to which harm is done.
struct Arena {
    name: &'static str,
    webhook: Webhook,
    inputs: AtomicUsize,
}

impl Arena {
    fn open(name: &'static str, more: &[&str]) -> Self {
        Arena { name, webhook: Webhook::standalone(&format!("hostile-{name}"), more), inputs: AtomicUsize::new(0) }
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
    #[expect(clippy::print_stdout, reason = "a test tells its numbers to who wants them: --nocapture")]
    fn close(self) {
        assert_eq!(self.webhook.caller().review(&worker("x")).status, 200);
        let page = self.webhook.page("/metrics").body;
        assert!(page.contains("dynamo_cache_in_flight_bytes 0\n"), "{page}");
        assert!(!page.contains("{status=\"500\"}"), "{page}");
        let (inputs, most) = (self.inputs.into_inner(), self.webhook.most_memory());
        println!("hostile {}: {inputs} inputs, at most {most} MiB of memory", self.name);
        assert!(most < MEMORY_LIMIT, "{most} MiB of memory were taken");
    }
}

/// Tells the caller that behaves to end, also where the harm ends in a panic.
struct Over<'o>(&'o AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
