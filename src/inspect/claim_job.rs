//! Jobs that work on one claim each: created, followed to their end, and removed again.

mod job;
mod outcome;

use std::time::Duration;

use anyhow::Context as _;
use serde_json::Value;
use tokio::time::{Instant, sleep};

use crate::inspect::api::{Api, Error};
use crate::inspect::job_status::Job;
use crate::signal::{Signals, Stopped};
use crate::terminal::note;
use crate::terminal::progress_line::ProgressLine;

use outcome::Outcome;

pub(crate) use job::{CONTAINER, MOUNT, Template, client};
pub(crate) use outcome::is_unfinished;

/// How often the state of the Jobs is read.
const POLL_INTERVAL: Duration = Duration::from_secs(1);

/// The most bytes that are read of a Job's log.
const LONGEST_LOG: usize = 8 << 20;

/// A Job for a claim.
pub(crate) struct ClaimJob {
    /// The claim.
    pub(crate) claim: String,
    /// The Job, with a generated name.
    pub(crate) job: Value,
}

/// What a Job has said.
pub(crate) struct Said {
    /// Its claim.
    pub(crate) claim: String,
    /// Its log; or why there is none, with the Job's own error if it has one.
    pub(crate) log: Result<String, String>,
}

/// A Job on its way.
struct Running {
    claim: String,
    /// The Job's name; `None` if it could not be created.
    name: Option<String>,
    outcome: Outcome,
}

/// Runs the Jobs beside each other, and removes them afterwards, also after an error or a signal. `doing` says what they do while they run.
///
/// # Errors
/// A signal asked to stop, or the API server was not reached.
pub(crate) async fn run(api: &Api, jobs: Vec<ClaimJob>, doing: &str, timeout: Duration) -> anyhow::Result<Vec<Said>> {
    let mut signals = Signals::listen().context("failed to listen to signals")?;
    let mut running = Vec::new();
    // Not cancelled by a signal: the name of every created Job must be known here to remove it.
    let created = create(api, jobs, &mut running).await;
    let finished = if created.is_ok() {
        tokio::select! {
            finished = follow(api, &mut running, doing, timeout) => finished.map_err(anyhow::Error::from),
            signal = signals.next() => Err(Stopped(signal).into()),
        }
    } else {
        created.map_err(Into::into)
    };
    remove(api, &api.namespace, running.iter().filter_map(|job| job.name.as_deref()), &mut signals).await?;
    finished?;
    Ok(running.into_iter().map(|job| Said { claim: job.claim, log: job.outcome.into_log(timeout) }).collect())
}

/// Creates the Jobs. Those that were created are in `running` even if this fails.
async fn create(api: &Api, jobs: Vec<ClaimJob>, running: &mut Vec<Running>) -> Result<(), Error> {
    let path = format!("/apis/batch/v1/namespaces/{}/jobs", api.namespace);
    for ClaimJob { claim, job } in jobs {
        let (name, outcome) = match api.create(&path, &job).await {
            Ok(job) => {
                let name = job.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default().to_owned();
                (Some(name), Outcome::Waits("waiting for its pod".to_owned()))
            }
            Err(refused @ Error::Refused { .. }) => (None, Outcome::Failed(refused.to_string())),
            Err(unreachable) => return Err(unreachable),
        };
        running.push(Running { claim, name, outcome });
    }
    Ok(())
}

/// Reads the state of the Jobs until each has ended or the timeout has passed, and shows what they wait for.
async fn follow(api: &Api, running: &mut [Running], doing: &str, timeout: Duration) -> Result<(), Error> {
    let (begun, mut progress) = (Instant::now(), ProgressLine::new());
    loop {
        let mut waits = Vec::new();
        for job in running.iter_mut().filter(|job| matches!(job.outcome, Outcome::Waits(_))) {
            let Some(name) = &job.name else { continue };
            job.outcome = match Job::get(api, &api.namespace, name).await {
                Err(refused @ Error::Refused { .. }) => outcome::from_refusal(&refused),
                found => outcome::from_job(found?.as_ref(), doing),
            };
            if let Outcome::Ended(pod) = &job.outcome {
                job.outcome = log(api, pod).await;
            }
            if let Outcome::Waits(words) = &job.outcome {
                waits.push(format!("claim {}: {words}", job.claim));
            }
        }
        if waits.is_empty() || begun.elapsed() >= timeout {
            progress.finish();
            return Ok(());
        }
        progress.update(&waits.join("; "));
        sleep(POLL_INTERVAL).await;
    }
}

/// The log of a pod that has succeeded.
async fn log(api: &Api, pod: &str) -> Outcome {
    let namespace = &api.namespace;
    let path = format!("/api/v1/namespaces/{namespace}/pods/{pod}/log?container={CONTAINER}&limitBytes={LONGEST_LOG}");
    match api.text(&path).await {
        Ok(log) => Outcome::Log(log),
        // The kubelet, which the API server asks, may be away or hang.
        Err(why) => Outcome::Failed(format!("the Job has ended, and its log cannot be read: {why}")),
    }
}

/// Removes the Jobs and their pods. Another signal aborts the removal; the cluster then removes the Jobs after a minute.
///
/// # Errors
/// Another signal, with the Job that was not removed.
pub(crate) async fn remove(
    api: &Api,
    namespace: &str,
    names: impl Iterator<Item = &str>,
    signals: &mut Signals,
) -> anyhow::Result<()> {
    for name in names {
        let path = format!("/apis/batch/v1/namespaces/{namespace}/jobs/{name}");
        let by_hand = format!("kubectl delete job {name} -n {namespace}");
        tokio::select! {
            removed = api.delete(&path) => if let Err(why) = removed {
                note(&format!("failed to remove Job {name}: {why}; {by_hand}"));
            },
            signal = signals.next() => {
                return Err(anyhow::Error::new(Stopped(signal)).context(format!("a Job was not removed ({by_hand})")));
            },
        }
    }
    Ok(())
}
