//! Wait until the compile cache of a pod is restored, as an init container.

use tokio::runtime::Builder;
use tracing::error;

use crate::cli::Gate;
use crate::log;
use crate::signal::Signals;
use crate::stage::gate;

/// Runs `gate`, which never fails.
///
/// # Errors
/// None.
#[expect(clippy::unnecessary_wraps, reason = "as every command")]
pub(super) fn run(options: &Gate) -> anyhow::Result<()> {
    // Without a log the engine starts all the same.
    drop(log::start_in_other_image());
    let wait = || {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            let mut signals = Signals::listen()?;
            gate::wait(options, async { _ = signals.next().await }).await.log();
            Ok::<_, std::io::Error>(())
        })
    };
    if let Err(error) = wait() {
        error!(%error, "the gate failed; the engine may start");
    }
    Ok(())
}
