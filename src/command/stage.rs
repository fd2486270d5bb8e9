//! Restore and publish the compile cache of a pod, as its sidecar.

use anyhow::Context as _;
use tokio::runtime::Builder;

use crate::cli::Stage;
use crate::log;
use crate::signal::Signals;
use crate::stage;

/// Runs `stage` until a signal.
///
/// # Errors
/// The log, the runtime or the signals cannot be set up.
pub(super) fn run(options: &Stage) -> anyhow::Result<()> {
    log::start_in_other_image().context("failed to start logging")?;
    let runtime = Builder::new_current_thread().enable_all().build().context("failed to start the runtime")?;
    let result = runtime.block_on(async {
        let mut signals = Signals::listen().context("failed to listen for signals")?;
        stage::run(options, async { _ = signals.next().await }).await;
        Ok(())
    });
    // A thread that waits for a claim without an answer does not hold up the end.
    runtime.shutdown_background();
    result
}
