//! Follows a download Job until it ends.

use std::time::Duration;

use anyhow::bail;
use serde_json::Value;
use tokio::time::{Instant, sleep};

use crate::command::download::progress;
use crate::command::download::progress::Progress;
use crate::inspect::api::{Api, Error};
use crate::inspect::job_status::Job;
use crate::terminal::progress_line::ProgressLine;

/// How often the Job is read.
const POLL_INTERVAL: Duration = Duration::from_secs(1);

/// How long the API server may be unavailable.
const MAX_OUTAGE: Duration = Duration::from_secs(120);

/// How many lines are read from the end of the log.
const LOG_LINES: usize = 100;

/// Waits until the Job completes and shows its progress: one line that changes on a terminal, else a line per change.
///
/// # Errors
/// The Job failed (with its error), disappeared, or did not complete within `timeout`, or the cluster does not answer.
pub(super) async fn follow(api: &Api, name: &str, timeout: Duration) -> anyhow::Result<()> {
    let begun = Instant::now();
    let mut line = ProgressLine::new();
    let mut answered = begun;
    loop {
        let progress = match read(api, name).await {
            // An API server that restarts takes a while, and the Job runs on meanwhile.
            Err(error) if error.is_retryable() && answered.elapsed() < MAX_OUTAGE => {
                Progress::Phase(format!("{error}; retrying"))
            }
            Err(error) => {
                line.finish();
                return Err(error.into());
            }
            Ok(None) => {
                line.finish();
                bail!("Job {name} no longer exists");
            }
            Ok(Some(progress)) => {
                answered = Instant::now();
                progress
            }
        };
        match &progress {
            Progress::Done => {
                line.update("done");
                line.finish();
                return Ok(());
            }
            Progress::Failed(why) => {
                line.finish();
                bail!("Job {name} failed: {why}");
            }
            Progress::Downloading(done, total) if !line.is_terminal => {
                // Without a terminal, one line per tenth is enough.
                let tenth = Progress::Downloading(done - done % (total / 10).max(1), *total);
                line.update(&tenth.line());
            }
            other => line.update(&other.line()),
        }
        if begun.elapsed() >= timeout {
            line.finish();
            bail!("Job {name} has not completed after {timeout:?} and runs on: {}", progress.line());
        }
        sleep(POLL_INTERVAL).await;
    }
}

/// Reads the progress of the Job; `None` if the Job no longer exists.
async fn read(api: &Api, name: &str) -> Result<Option<Progress>, Error> {
    let namespace = &api.namespace;
    let Some(Job { object, pod, warning }) = Job::get(api, namespace, name).await? else { return Ok(None) };
    let text =
        |object: &Value, pointer: &str| object.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
    let mut log = String::new();
    if let Some(pod) = pod.as_ref().filter(|pod| text(pod, "/status/phase") != "Pending") {
        let pod = text(pod, "/metadata/name");
        let path = format!("/api/v1/namespaces/{namespace}/pods/{pod}/log?container=download&tailLines={LOG_LINES}");
        // A log that cannot be read counts as empty.
        log = api.text(&path).await.unwrap_or_default();
    }
    Ok(Some(progress::read(&object, pod.as_ref(), &log, warning.as_deref())))
}
