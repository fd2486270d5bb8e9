//! How soon a server is ready, how large the program is, and what an idle one takes of memory.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::cluster;
use crate::median;
use crate::server::{PROGRAM, Process, pause};
use crate::subject::standalone;
use crate::watching::Watching;

/// The largest program that there is to be.
const MOST_BYTES: u64 = 14_000_000;

/// An odd number, so that one is in the middle.
const STARTS: usize = 21;

/// Prints how long `serve --standalone` takes to be ready, and the size of the program.
pub(crate) fn run(folder: &Path) {
    let starts = (0..STARTS).map(|_| {
        let begun = Instant::now();
        let started = standalone(folder, Process::start);
        let ready = begun.elapsed();
        drop(started);
        ready.as_secs_f64() * 1e3
    });
    println!("Start to ready of serve --standalone: {:.0} ms (median of {STARTS})", median(starts.collect()));
    let size = fs::metadata(PROGRAM).unwrap().len();
    println!("The program, stripped: {size} bytes\n");
    assert!(
        size <= MOST_BYTES,
        "the program is larger than {MOST_BYTES} bytes: [profile.release.package] says what is for size"
    );
}

/// Prints resident memory with clusters of several sizes, ten seconds after everything is known.
pub(crate) fn memory(folder: &Path) {
    println!("| namespaces | claims | RSS idle | at most so far |\n|---|---|---|---|");
    let mut idle = Vec::new();
    for namespaces in [0, 5_000, 10_000] {
        let webhook = Watching::start(folder, namespaces, Process::start);
        pause(Duration::from_secs(10));
        let [now, most] = ["VmRSS", "VmHWM"].map(|line| webhook.process.memory(line));
        println!("| {namespaces} | {} | {now:.1} MiB | {most:.1} MiB |", namespaces * cluster::CLAIMS.len());
        idle.push(now);
    }
    println!("\n5,000 namespaces with 10,000 claims take {:.1} MiB\n", idle[1] - idle[0]);
}
