//! Promises about decisions: they need the library alone, no process, no network and no cluster.

mod allocations;
mod any_pod;
mod any_review;
mod any_yaml;
mod cases;
mod tenant;

#[allow(dead_code, reason = "the benches take other parts")]
#[path = "../benches/samples.rs"]
mod samples;
