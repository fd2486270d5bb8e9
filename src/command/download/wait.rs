//! Follow a download Job to its end.

use std::time::Duration;

use anyhow::bail;
use serde_json::Value;
use tokio::time::{Instant, sleep};

use crate::command::download::progress;
use crate::command::download::progress::Progress;
use crate::inspect::api::{Api, Error};
use crate::inspect::job_status::Job;
use crate::terminal::screen::Screen;

/// Between two looks.
const PAUSE: Duration = Duration::from_secs(1);

/// How long the API server may fail to answer.
const PATIENCE: Duration = Duration::from_secs(120);

/// How much of the log's end is looked at.
const LOG_LINES: usize = 100;

/// Waits until the Job is done, and shows how far it is: one line that changes on a terminal, else a line per change.
///
/// # Errors
/// The Job failed, with its own error; it is gone; it took too long; or the cluster does not answer.
pub(super) async fn follow(api: &Api, name: &str, timeout: Duration) -> anyhow::Result<()> {
    let begun = Instant::now();
    let mut screen = Screen::new();
    let mut answered = begun;
    loop {
        let progress = match look(api, name).await {
            // An API server that starts anew takes a while, and the Job goes on meanwhile.
            Err(error) if error.may_pass() && answered.elapsed() < PATIENCE => {
                Progress::Phase(format!("{error}; trying again"))
            }
            Err(error) => {
                screen.end();
                return Err(error.into());
            }
            Ok(None) => {
                screen.end();
                bail!("Job {name} is gone");
            }
            Ok(Some(progress)) => {
                answered = Instant::now();
                progress
            }
        };
        match &progress {
            Progress::Done => {
                screen.show("done");
                screen.end();
                return Ok(());
            }
            Progress::Failed(why) => {
                screen.end();
                bail!("Job {name} failed: {why}");
            }
            Progress::Loads(done, total) if !screen.is_terminal => {
                // A log wants a line for each tenth, not for each look.
                let tenth = Progress::Loads(done - done % (total / 10).max(1), *total);
                screen.show(&tenth.line());
            }
            other => screen.show(&other.line()),
        }
        if begun.elapsed() >= timeout {
            screen.end();
            bail!("Job {name} is not done after {timeout:?}, and goes on: {}", progress.line());
        }
        sleep(PAUSE).await;
    }
}

/// How far the Job is; none where it is gone.
async fn look(api: &Api, name: &str) -> Result<Option<Progress>, Error> {
    let namespace = &api.namespace;
    let Some(Job { object, pod, warning }) = Job::look(api, namespace, name).await? else { return Ok(None) };
    let text =
        |object: &Value, pointer: &str| object.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
    let mut log = String::new();
    if let Some(pod) = pod.as_ref().filter(|pod| text(pod, "/status/phase") != "Pending") {
        let pod = text(pod, "/metadata/name");
        let path = format!("/api/v1/namespaces/{namespace}/pods/{pod}/log?container=download&tailLines={LOG_LINES}");
        // A log that cannot be read is one that tells nothing.
        log = api.text(&path).await.unwrap_or_default();
    }
    Ok(Some(progress::of(&object, pod.as_ref(), &log, warning.as_deref())))
}
