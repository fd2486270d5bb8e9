//! Many reviews of the largest kind at once: some are answered, the others are asked to come again, and memory is bound.

use std::path::Path;
use std::sync::Barrier;
use std::time::Duration;

use serde_json::json;

use crate::caller::{Answer, Caller};
use crate::server::{Process, page, pause};
use crate::subject::standalone;
use crate::{median, samples};

const REVIEWS: usize = 25;

const ROUNDS: usize = 5;

/// Prints what became of them, and the most memory that was seen.
pub(crate) fn run(folder: &Path) {
    let body = largest();
    let (process, address, admin, ca) = standalone(folder, Process::start);
    let idle = process.memory("VmRSS");
    let (mut shed, mut slowest) = (0, Vec::new());
    for _ in 0..ROUNDS {
        let begun = std::time::Instant::now();
        let together = Barrier::new(REVIEWS);
        let answers: Vec<Answer> = std::thread::scope(|scope| {
            let ask = || {
                let mut caller = Caller::connect(address, &ca).unwrap();
                together.wait();
                caller.ask(&body)
            };
            let asking: Vec<_> = (0..REVIEWS).map(|_| scope.spawn(ask)).collect();
            asking.into_iter().map(|asking| asking.join().unwrap()).collect()
        });
        slowest.push(begun.elapsed().as_secs_f64());
        for answer in answers {
            match answer.status {
                200 => assert!(answer.body.windows(8).any(|part| part == b"\"patch\":"), "not patched"),
                503 => {
                    let says = |line: &str| answer.head.contains(&format!("\r\n{line}\r\n"));
                    assert!(says("retry-after: 1") && says("connection: close"), "{}", answer.head);
                    shed += 1;
                }
                other => panic!("{other}: {}", answer.head),
            }
        }
    }
    let counted = format!("dynamo_cache_shed_total{{limit=\"bytes\"}} {shed}\n");
    let metrics = page(admin, "/metrics").unwrap();
    assert!(metrics.contains(&counted), "{shed} were shed, and the metrics say otherwise:\n{metrics}");
    let most = process.memory("VmHWM");
    pause(Duration::from_secs(10));
    let after = process.memory("VmRSS");
    let (size, all, each) = (body.len(), ROUNDS * REVIEWS, median(slowest));
    println!(
        "{REVIEWS} reviews of {size} bytes at once, {ROUNDS} times: {} answered, {shed} asked to come again, a round in \
         {each:.1} s.\nRSS: {idle:.1} MiB idle, {most:.1} MiB at most, {after:.1} MiB ten seconds after\n",
        all - shed
    );
}

/// A pod of 3 MB as it arrives where all of it has to be escaped: 18 MB.
fn largest() -> Vec<u8> {
    let mut worker = samples::worker(0);
    let script = json!({"name": "SCRIPT", "value": "<".repeat(3_000_000)});
    worker.pointer_mut("/spec/containers/0/env").unwrap().as_array_mut().unwrap().push(script);
    samples::review(&worker)
}
