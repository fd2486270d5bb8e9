//! What dynamo-cache promises, each promise a test whose name says it.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "a promise that is broken ends its test")]

mod any_pod_on_cluster;
mod architecture;
mod broken_on_cluster;
mod cases;
mod cases_on_cluster;
mod certificates;
mod check_on_cluster;
mod cluster;
mod config;
mod control_plane;
mod download;
mod download_on_cluster;
mod events_on_cluster;
mod explain;
mod explain_on_cluster;
mod guard_on_cluster;
mod inject;
mod install;
mod log;
mod look_on_cluster;
mod missed_on_cluster;
mod pair;
mod probe_on_cluster;
mod program;
mod property;
mod readme;
mod renewed;
mod second_webhook;
mod server;
mod silence;
mod stop;
mod stored;
mod tool;
mod tool_on_cluster;
mod webhook;
