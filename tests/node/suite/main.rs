//! What dynamo-cache promises where pods run, each promise a test whose name says it.
//!
//! Run by `tests/run --node`, or `cargo test --test node` where all that it needs is installed.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "a promise that is broken ends its test")]
#![allow(clippy::print_stdout, reason = "numbers and logs are for people, by --nocapture")]

#[path = "../harness"]
mod harness {
    pub(crate) mod cluster;
    pub(crate) mod namespace;
    pub(crate) mod pod;
    pub(crate) mod release;
    pub(crate) mod tool;
    pub(crate) mod volume;
}
#[path = "../../harness/prometheus.rs"]
#[allow(dead_code, reason = "the other suite uses the rest")]
mod prometheus;
/// What the suite writes.
pub(crate) const FOLDER: &str = concat!(env!("CARGO_TARGET_TMPDIR"), "/node");
/// What builds the images that its pods run, beside the product's.
pub(crate) const IMAGES: &[&str] = &["tests/node/images/python/build"];

use harness::{cluster, namespace, pod, release, volume};

mod certificate;
mod check;
mod download;
mod fill;
mod hub;
mod install;
mod life;
mod local_files;
mod provided_certificate;
mod restart;
mod small_claim;
mod staged;
mod storage;
mod usage;
mod user_namespace;
mod volume_owner;
