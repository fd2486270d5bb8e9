//! From the bytes of a review to the bytes of its answer.
#![allow(missing_docs, clippy::unwrap_used, reason = "a bench that cannot go on ends")]

use std::hint::black_box;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};

#[allow(dead_code, reason = "other benches take other parts")]
mod samples;

criterion_group!(benches, reviews);
criterion_main!(benches);

/// Throughput is shown in bytes: nanoseconds per byte are its inverse.
fn reviews(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("review");
    for sample in samples::all() {
        group.throughput(Throughput::Bytes(sample.body.len() as u64));
        // Each time a body of its own, just written, as the server has it.
        group.bench_function(sample.name, |bench| {
            let answer = |body: &mut Vec<u8>| samples::answer(black_box(body));
            bench.iter_batched_ref(|| sample.body.clone(), answer, BatchSize::PerIteration);
        });
    }
}
