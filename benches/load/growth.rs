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

/// Webhooks of each size. Some processes take a quarter longer than others from start to end, whatever they know.
const STARTS: usize = 15;

/// In a row, on each.
const ROUNDS: usize = 2;

/// In a round.
const REVIEWS: u32 = 2_000;

/// Prints, for each size of the cluster, how long one that asks waits, and the processor time.
pub(crate) fn run(folder: &Path) {
    let awake = Awake::keep();
    let mut seen: [Seen; 2] = Default::default();
    for start in 0..STARTS {
        let mut sizes = NAMESPACES.map(|namespaces| Size::start(folder, namespaces));
        // A thread of its own, so that nothing else is kept from the first processor.
        std::thread::scope(|scope| {
            scope.spawn(|| {
                generator::stay_on_the_second_processor();
                // In the first round everything is cold.
                for size in &mut sizes {
                    size.round();
                }
                for turn in 0..ROUNDS * 2 {
                    // Each comes first as often as the other.
                    let index = (start + turn + turn / 2) % 2;
                    let (p50, cpu) = sizes[index].round();
                    seen[index].p50.push(p50);
                    seen[index].cpu.push(cpu);
                }
            });
        });
    }
    let kept =
        if awake.is_ok() { "processors are kept awake" } else { "processors sleep when they have nothing to do" };
    println!(
        "The 8 kB review, one at a time, each about another namespace; medians of {ROUNDS} rounds on each of {STARTS} \
         webhooks, {kept}.\n"
    );
    println!("| namespaces | p50 | lowest and highest | CPU per request |\n|---|---|---|---|");
    let [few, many] = seen.map(Seen::medians);
    for (namespaces, [p50, least, most, cpu]) in NAMESPACES.into_iter().zip([few, many]) {
        println!("| {namespaces} | {p50:.1} µs | {least:.1}, {most:.1} µs | {cpu:.1} µs |");
    }
    println!("\np50 with 10,000 namespaces: {:.3} × that with 10; CPU {:.3} ×\n", many[0] / few[0], many[3] / few[3]);
}

/// What was seen of one size.
#[derive(Default)]
struct Seen {
    p50: Vec<f64>,
    cpu: Vec<f64>,
}

impl Seen {
    /// The median of p50, the lowest and the highest, and the median of processor time.
    fn medians(self) -> [f64; 4] {
        let least = self.p50.iter().copied().fold(f64::INFINITY, f64::min);
        let most = self.p50.iter().copied().fold(0.0, f64::max);
        [median(self.p50), least, most, median(self.cpu)]
    }
}

/// A webhook with a cluster of some size.
struct Size {
    webhook: Watching,
    caller: Caller,
    namespaces: usize,
    asked: usize,
}

impl Size {
    fn start(folder: &Path, namespaces: usize) -> Self {
        let webhook = Watching::start(folder, namespaces, Process::pinned);
        let caller = Caller::connect(webhook.address, &webhook.ca).unwrap();
        Size { webhook, caller, namespaces, asked: 0 }
    }

    /// The median wait and the processor time of a review, in microseconds.
    fn round(&mut self) -> (f64, f64) {
        let before = self.webhook.process.cpu();
        let waits = (0..REVIEWS).map(|_| {
            // A step that has no divisor in common with their number reaches all of them.
            self.asked += 7919;
            let body = samples::worker_from(&cluster::namespace(self.asked % self.namespaces));
            let begun = Instant::now();
            let answer = self.caller.ask(body.as_bytes());
            let wait = begun.elapsed().as_secs_f64() * 1e6;
            let is_patched = answer.body.windows(8).any(|part| part == b"\"patch\":");
            assert!(answer.status == 200 && is_patched, "{}", answer.head);
            wait
        });
        let p50 = median(waits.collect());
        (p50, micros(self.webhook.process.cpu().saturating_sub(before), REVIEWS))
    }
}
