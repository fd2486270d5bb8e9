//! Whether a review takes longer where the cluster is larger: two webhooks by turns, each review about another namespace.

use std::path::Path;
use std::time::Instant;

use crate::awake::Awake;
use crate::caller::Caller;
use crate::rounds::micros;
use crate::server::Process;
use crate::watching::Watching;
use crate::{cluster, generator, median, samples};

const NAMESPACES: [usize; 2] = [10, 10_000];

/// An odd number, so that one is in the middle.
const ROUNDS: usize = 9;

/// In a round, on each server.
const REVIEWS: u32 = 4_000;

/// Prints, for each size of the cluster, how long one that asks waits, and the processor time.
pub(crate) fn run(folder: &Path) {
    let mut sizes = NAMESPACES.map(|namespaces| Size::start(folder, namespaces));
    let awake = Awake::keep();
    // A thread of its own, so that nothing else is kept from the first processor.
    std::thread::scope(|scope| {
        scope.spawn(|| {
            generator::stay_on_the_second_processor();
            for _ in 0..=ROUNDS {
                sizes.iter_mut().for_each(Size::round);
                // Each comes first as often as the other, and each twice in a row.
                sizes.reverse();
            }
        });
    });
    let kept =
        if awake.is_ok() { "processors are kept awake" } else { "processors sleep when they have nothing to do" };
    println!("The 8 kB review, one at a time, each about another namespace; medians of {ROUNDS} rounds, {kept}.\n");
    println!("| namespaces | p50 | CPU per request |\n|---|---|---|");
    sizes.sort_by_key(|size| size.namespaces);
    let [few, many] = sizes.map(Size::medians);
    for (namespaces, [p50, cpu]) in NAMESPACES.into_iter().zip([few, many]) {
        println!("| {namespaces} | {p50:.1} µs | {cpu:.1} µs |");
    }
    println!("\np50 with 10,000 namespaces: {:.3} × that with 10; CPU {:.3} ×\n", many[0] / few[0], many[1] / few[1]);
}

/// A webhook with a cluster of some size, and what was seen of it.
struct Size {
    webhook: Watching,
    caller: Caller,
    namespaces: usize,
    asked: usize,
    p50: Vec<f64>,
    cpu: Vec<f64>,
}

impl Size {
    fn start(folder: &Path, namespaces: usize) -> Self {
        let webhook = Watching::start(folder, namespaces, Process::pinned);
        let caller = Caller::connect(webhook.address, &webhook.ca).unwrap();
        Size { webhook, caller, namespaces, asked: 0, p50: Vec::new(), cpu: Vec::new() }
    }

    fn round(&mut self) {
        let before = self.webhook.process.cpu();
        let waits = (0..REVIEWS).map(|_| {
            // A step that has no divisor in common with their number reaches all of them.
            self.asked += 7919;
            let body = samples::worker_from(&cluster::namespace(self.asked % self.namespaces));
            let begun = Instant::now();
            let answer = self.caller.ask(body.as_bytes());
            let wait = begun.elapsed().as_secs_f64() * 1e6;
            assert!(
                answer.status == 200 && answer.body.windows(8).any(|part| part == b"\"patch\":"),
                "{}",
                answer.head
            );
            wait
        });
        self.p50.push(median(waits.collect()));
        self.cpu.push(micros(self.webhook.process.cpu().saturating_sub(before), REVIEWS));
    }

    /// Without the first round, in which everything is cold.
    fn medians(self) -> [f64; 2] {
        [self.p50, self.cpu].map(|seen| median(seen[1..].to_vec()))
    }
}
