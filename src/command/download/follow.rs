//! Follow a download Job to its end.

use std::io::{IsTerminal as _, Write as _};
use std::time::Duration;

use anyhow::bail;
use serde_json::Value;
use tokio::time::{Instant, sleep};

use super::progress::{self, Progress};
use crate::command::api::Api;
use crate::command::tell;

/// Between two looks.
const PAUSE: Duration = Duration::from_secs(1);

/// How much of the log's end is looked at.
const LOG_LINES: usize = 100;

/// Waits until the Job is done, and shows how far it is: one line that changes on a terminal, else a line per change.
///
/// # Errors
/// The Job failed, with its own error; it is gone; it took too long; or the cluster does not answer.
pub(super) async fn follow(api: &Api, name: &str, timeout: Duration) -> anyhow::Result<()> {
    let begun = Instant::now();
    let mut screen = Screen { is_terminal: std::io::stderr().is_terminal(), shown: String::new() };
    loop {
        let progress = look(api, name).await?;
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

async fn look(api: &Api, name: &str) -> anyhow::Result<Progress> {
    let namespace = &api.namespace;
    let Some(job) = api.get(&format!("/apis/batch/v1/namespaces/{namespace}/jobs/{name}")).await? else {
        bail!("Job {name} is gone");
    };
    let pods = format!("/api/v1/namespaces/{namespace}/pods");
    let selected = format!("batch.kubernetes.io/job-name%3D{name}");
    let mut of_job = api.select(&pods, &format!("labelSelector={selected}")).await?;
    let text =
        |object: &Value, pointer: &str| object.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
    of_job.sort_by_key(|pod| text(pod, "/metadata/creationTimestamp"));
    let pod = of_job.last();
    let mut log = String::new();
    if let Some(pod) = pod.filter(|pod| text(pod, "/status/phase") != "Pending") {
        let path = format!("{pods}/{}/log?tailLines={LOG_LINES}", text(pod, "/metadata/name"));
        // A log that cannot be read is one that tells nothing.
        log = api.text(&path).await.unwrap_or_default();
    }
    let mut warning = None;
    if pod.is_none() {
        let about = format!("fieldSelector=involvedObject.name%3D{name},type%3DWarning");
        let events = api.select(&format!("/api/v1/namespaces/{namespace}/events"), &about).await.unwrap_or_default();
        warning = events.last().map(|event| text(event, "/message"));
    }
    Ok(progress::of(&job, pod, &log, warning.as_deref()))
}

/// Where progress is shown.
struct Screen {
    is_terminal: bool,
    shown: String,
}

impl Screen {
    fn show(&mut self, line: &str) {
        if self.shown == line {
            return;
        }
        line.clone_into(&mut self.shown);
        if self.is_terminal {
            // Back to the line's beginning, and away with what was there.
            let _ = write!(std::io::stderr().lock(), "\r\u{1b}[K{line}");
        } else {
            tell(line);
        }
    }

    fn end(&mut self) {
        if self.is_terminal && !self.shown.is_empty() {
            tell("");
        }
    }
}
