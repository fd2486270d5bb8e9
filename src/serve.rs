//! Runs the webhook: starts it, waits for a signal, drains and stops.

use std::num::NonZero;
use std::{io, thread};

use anyhow::{Context as _, bail};
use tokio::runtime::{Builder, Runtime};
use tokio::time::sleep;
use tracing::info;

use crate::cli::Serve;
use crate::log;
use crate::signal::Signals;

mod watches;
mod certificate_tasks;
mod certificates;
mod tasks;
mod options;
mod startup;
pub mod file_limit;

pub(crate) use startup::Running;

pub(crate) fn run(options: &Serve) -> anyhow::Result<()> {
    log::start(options.log_format).context("failed to start logging")?;
    runtime().context("failed to start threads")?.block_on(serve(options))
}

/// A runtime with as many threads as our cgroup has processors, from two to eight. The second lets usual reviews pass
/// while a large one is parsed; more than eight would only wait.
pub(crate) fn runtime() -> io::Result<Runtime> {
    let processors = thread::available_parallelism().map_or(2, NonZero::get);
    Builder::new_multi_thread().worker_threads(processors.clamp(2, 8)).enable_all().build()
}

async fn serve(options: &Serve) -> anyhow::Result<()> {
    let mut signals = Signals::listen().context("failed to listen for signals")?;
    let mut running = Running::start(options).await?;
    let signal = tokio::select! {
        signal = signals.next() => signal,
        task = running.task_ended() => bail!("{task} ended unexpectedly"),
    };
    let delay = options.timing.shutdown_delay;
    running.start_draining();
    info!(signal, ?delay, "stopping; serving until the cluster has removed this endpoint");
    tokio::select! {
        () = sleep(delay) => {}
        task = running.task_ended() => bail!("{task} ended unexpectedly"),
        signal = signals.next() => bail!("aborted by a second signal, {signal}"),
    }
    tokio::select! {
        stopped = running.stop() => stopped?,
        signal = signals.next() => bail!("aborted by a second signal, {signal}"),
    }
    info!("stopped");
    Ok(())
}
