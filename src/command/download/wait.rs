//! Follows download Jobs until they end.

use std::time::Duration;

use serde_json::Value;
use tokio::time::{Instant, sleep};

use crate::command::download::progress;
use crate::command::download::progress::Progress;
use crate::inspect::api::{Api, Error};
use crate::inspect::job_status::Job;
use crate::terminal::progress_line::ProgressLines;

/// How often the Jobs are read.
const POLL_INTERVAL: Duration = Duration::from_secs(1);

/// How long the API server may be unavailable.
const MAX_OUTAGE: Duration = Duration::from_secs(120);

/// How many lines are read from the end of the log.
const LOG_LINES: usize = 100;

/// A Job to follow.
pub(super) struct Followed {
    /// Its name.
    pub(super) name: String,
    /// What its line begins with, if there are several.
    pub(super) label: String,
}

/// How the Jobs have ended.
#[derive(Default)]
pub(super) struct Ended {
    /// The names of those that have completed.
    pub(super) completed: Vec<String>,
    /// Why the others have not, one part each.
    pub(super) failures: Vec<String>,
}

/// Waits until the Jobs have ended and shows their progress: a line each that changes on a terminal, else a line per change.
/// A Job that fails, disappears, can get no pod or does not end within `timeout` does not end the others.
///
/// # Errors
/// The cluster does not answer.
pub(super) async fn follow(api: &Api, jobs: &[Followed], timeout: Duration) -> anyhow::Result<Ended> {
    let begun = Instant::now();
    let labels = jobs.iter().map(|job| if jobs.len() > 1 { job.label.as_str() } else { "" });
    let mut lines = ProgressLines::new(labels);
    let mut answered = begun;
    let mut ended = Ended::default();
    let mut open: Vec<_> = jobs.iter().enumerate().collect();
    while !open.is_empty() {
        let mut still_open = Vec::new();
        for (index, job) in open {
            let name = &job.name;
            let progress = match read(api, name).await {
                // An API server that restarts takes a while, and the Job runs on meanwhile.
                Err(error) if error.is_retryable() && answered.elapsed() < MAX_OUTAGE => {
                    Progress::Phase(format!("{error}; retrying"))
                }
                Err(error) => {
                    lines.finish();
                    return Err(error.into());
                }
                Ok(None) => {
                    lines.update(index, "gone");
                    ended.failures.push(format!("Job {name} no longer exists"));
                    continue;
                }
                Ok(Some(progress)) => {
                    answered = Instant::now();
                    progress
                }
            };
            match &progress {
                Progress::Done => {
                    lines.update(index, "done");
                    ended.completed.push(name.clone());
                    continue;
                }
                Progress::Failed(why) => {
                    if jobs.len() > 1 {
                        lines.update(index, "failed");
                    }
                    ended.failures.push(format!("Job {name} failed: {why}"));
                    continue;
                }
                Progress::Impossible(why) => {
                    lines.update(index, &progress.line());
                    ended.failures.push(format!(
                        "Job {name} gets no pod, and waits on; after a change (--memory, --cpu, --user), --replace starts it \
                         again: {why}"
                    ));
                    continue;
                }
                Progress::Downloading(done, total) if !lines.is_terminal() => {
                    // Without a terminal, one line per tenth is enough.
                    let tenth = Progress::Downloading(done - done % (total / 10).max(1), *total);
                    lines.update(index, &tenth.line());
                }
                other => lines.update(index, &other.line()),
            }
            if begun.elapsed() >= timeout {
                let line = progress.line();
                ended.failures.push(format!("Job {name} has not completed after {timeout:?} and runs on: {line}"));
                continue;
            }
            still_open.push((index, job));
        }
        open = still_open;
        if !open.is_empty() {
            sleep(POLL_INTERVAL).await;
        }
    }
    lines.finish();
    Ok(ended)
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
