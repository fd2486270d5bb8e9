//! What dynamo-cache promises where pods run, each promise a test whose name says it.
//!
//! Run by `tests/run --node`, or `cargo test --test node` where all that it needs is installed.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "a promise that is broken ends its test")]
#![allow(clippy::print_stdout, reason = "numbers and logs are for people, by --nocapture")]

mod provided_certificate;
mod certificate;
mod check;
mod cluster;
mod download;
mod hub;
mod install;
mod life;
mod namespace;
mod pod;
mod release;
mod restart;
mod storage;
mod tool;
mod volume;
