//! Allocations of one review, from its bytes to the bytes of its answer: no timing, so one run is enough.
#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "a bench prints, and one that cannot go on ends")]

use allocation_counter::measure;

#[allow(dead_code, reason = "other benches take other parts")]
mod samples;

fn main() {
    println!("| review | bytes | allocations | bytes allocated | most at once |\n|---|---|---|---|---|");
    for mut sample in samples::all() {
        let counted = measure(|| drop(samples::answer(&mut sample.body)));
        let (name, size) = (sample.name, sample.body.len());
        println!("| {name} | {size} | {} | {} | {} |", counted.count_total, counted.bytes_total, counted.bytes_max);
    }
}
