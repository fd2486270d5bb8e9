//! What dynamo-cache promises, each promise a test whose name says it, in folders by what they need.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "a promise that is broken ends its test")]

mod chart;
mod cli;
mod cluster;
mod core;
mod harness;
mod project;
mod server;
mod stage;
