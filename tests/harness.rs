//! What the suites share: the program, a running webhook, callers, pods, certificates, and a control plane.

use std::time::{Duration, Instant};

pub(crate) mod any_pod;
pub(crate) mod caller;
pub(crate) mod case;
pub(crate) mod certificates;
pub(crate) mod cgroup;
pub(crate) mod control_plane;
pub(crate) mod document_commands;
pub(crate) mod download_job;
pub(crate) mod hostile_connections;
pub(crate) mod markdown;
pub(crate) mod kinds;
pub(crate) mod odd_yaml;
pub(crate) mod pods;
pub(crate) mod program;
pub(crate) mod prometheus;
pub(crate) mod sources;
pub(crate) mod webhook;

/// The checkout.
pub(crate) const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// Long enough for a busy machine, short enough for a person who waits: nothing takes a tenth of it.
pub(crate) const DEADLINE: Duration = Duration::from_secs(60);

/// Waits until `look` sees what it looks for; what it last saw instead is in the message when the deadline has passed.
#[track_caller]
pub(crate) fn wait_for<T>(what: &str, look: impl FnMut() -> Result<T, String>) -> T {
    wait_within(DEADLINE, what, look)
}

/// The same for what takes longer than anything else here.
#[track_caller]
pub(crate) fn wait_within<T>(deadline: Duration, what: &str, mut look: impl FnMut() -> Result<T, String>) -> T {
    let begun = Instant::now();
    loop {
        match look() {
            Ok(seen) => return seen,
            Err(why) => assert!(begun.elapsed() < deadline, "waited {deadline:?} in vain for {what}: {why}"),
        }
        #[allow(clippy::disallowed_methods, reason = "the one place where the tests pause, between two looks")]
        std::thread::sleep(Duration::from_millis(100));
    }
}
