//! What dynamo-cache promises about the real engine: Dynamo's worker and frontend with vLLM, in pods that the real
//! webhook changes and a real kubelet runs.
//!
//! Run by `tests/run --engine`. It asserts what the engine logs and what lies on the disk, and no duration; it prints
//! the durations as a table.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "a promise that is broken ends its test")]
#![allow(clippy::print_stdout, reason = "numbers and logs are for people, by --nocapture")]

#[path = "../../node/harness"]
#[allow(dead_code, reason = "the node suite uses the rest")]
mod harness {
    pub(crate) mod cluster;
    pub(crate) mod namespace;
    pub(crate) mod pod;
    pub(crate) mod release;
    pub(crate) mod tool;
    pub(crate) mod volume;
}

/// What the suite writes.
pub(crate) const FOLDER: &str = concat!(env!("CARGO_TARGET_TMPDIR"), "/engine");
/// What builds the images that its pods run, beside the product's.
pub(crate) const IMAGES: &[&str] = &["tests/node/images/python/build", "tests/engine/image/build"];

mod deployment;
mod keys;
mod model;
mod replicas;
mod spoilt_claims;
mod staged;
mod start;
mod whole_way;
