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
    /// Its log, also of a Job that has not succeeded; or why it cannot be read.
    pub(crate) log: Result<String, String>,
    /// Whether it has succeeded; or why not, with the Job's own error if it has one.
    pub(crate) end: Result<(), String>,
}

/// A Job on its way.
struct Running {
    claim: String,
    /// The Job's name; `None` if it could not be created.
    name: Option<String>,
    /// The name of its newest pod, once it has any.
    pod: Option<String>,
    outcome: Outcome,
}

/// Runs the Jobs beside each other, and removes them afterwards, also after an error or a signal. `doing` says what they do while they run.
///
/// # Errors
/// A signal asked to stop, or the API server was not reached when the Jobs were to be created.
pub(crate) async fn run(api: &Api, jobs: Vec<ClaimJob>, doing: &str, timeout: Duration) -> anyhow::Result<Vec<Said>> {
    let mut signals = Signals::listen().context("failed to listen to signals")?;
    let mut running = Vec::new();
    // Not cancelled by a signal: the name of every created Job must be known here to remove it.
    let created = create(api, jobs, &mut running).await;
    let finished = if created.is_ok() {
        tokio::select! {
            said = follow(api, &mut running, doing, timeout) => Ok(said),
            signal = signals.next() => Err(Stopped(signal).into()),
        }
    } else {
        created.map(|()| Vec::new()).map_err(Into::into)
    };
    remove(api, &api.namespace, running.iter().filter_map(|job| job.name.as_deref()), &mut signals).await?;
    finished
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
        running.push(Running { claim, name, pod: None, outcome });
    }
    Ok(())
}

/// Reads the state of the Jobs until each has ended or the timeout has passed, and shows what they wait for. An API server that is
/// away for a while is waited for, too.
async fn follow(api: &Api, running: &mut [Running], doing: &str, timeout: Duration) -> Vec<Said> {
    let (begun, mut progress) = (Instant::now(), ProgressLine::new());
    loop {
        let mut waits = Vec::new();
        for job in running.iter_mut().filter(|job| matches!(job.outcome, Outcome::Waits(_))) {
            let Some(name) = &job.name else { continue };
            job.outcome = match Job::get(api, &api.namespace, name).await {
                Err(error) => outcome::from_error(&error),
                Ok(found) => {
                    let pod = found.as_ref().and_then(Job::pod_name).map(str::to_owned);
                    job.pod = pod.or(job.pod.take());
                    outcome::from_job(found.as_ref(), doing)
                }
            };
            if let Outcome::Waits(words) = &job.outcome {
                waits.push(format!("claim {}: {words}", job.claim));
            }
        }
        if waits.is_empty() || begun.elapsed() >= timeout {
            break progress.finish();
        }
        progress.update(&waits.join("; "));
        sleep(POLL_INTERVAL).await;
    }
    let mut all = Vec::new();
    for job in running {
        let log = match &job.pod {
            // The kubelet, which the API server asks, may be away or hang.
            Some(pod) => log(api, pod).await.map_err(|why| why.to_string()),
            None => Err("it had no pod".to_owned()),
        };
        let log = log.map_err(|why| format!("the log of the Job cannot be read: {why}"));
        all.push(Said { claim: job.claim.clone(), log, end: job.outcome.end(timeout) });
    }
    all
}

async fn log(api: &Api, pod: &str) -> Result<String, Error> {
    let namespace = &api.namespace;
    api.text(&format!("/api/v1/namespaces/{namespace}/pods/{pod}/log?container={CONTAINER}&limitBytes={LONGEST_LOG}"))
        .await
}

/// Removes the Jobs and their pods. Another signal aborts the removal; the cluster then removes the Jobs ten minutes after their end.
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
