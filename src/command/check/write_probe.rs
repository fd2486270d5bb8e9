//! Proves that the claims of a namespace are writable, with Jobs that write to them.

mod job;
mod outcome;

use std::time::Duration;

use anyhow::Context as _;
use serde_json::Value;
use tokio::time::{Instant, sleep};

use crate::admission::cache::Cache;
use crate::cli::Probe;
use crate::command::check::catalog::CheckId;
use crate::command::check::report::Report;
use crate::inspect::api::{Api, Error};
use crate::inspect::job_status::Job;
use crate::signal::Signals;
use crate::signal::Stopped;
use crate::terminal::note;
use crate::terminal::progress_line::ProgressLine;

use outcome::Outcome;

/// How often the state of the Jobs is read.
const POLL_INTERVAL: Duration = Duration::from_secs(1);

/// How a worker would use a claim, read from a pod that the webhook has changed.
pub(super) struct ClaimUse {
    cache: Cache,
    claim: String,
    /// The directory that the worker would write to.
    directory: String,
    mount: Value,
    volume: Value,
    /// The fields that the webhook adds to the pod's security context.
    security: serde_json::Map<String, Value>,
}

impl ClaimUse {
    /// Reads how the only container of a pod uses a cache; `None` if it does not.
    pub(super) fn from_pod(cache: Cache, pod: &Value) -> Option<ClaimUse> {
        let variable = match cache {
            Cache::Model => "HF_HUB_CACHE",
            Cache::Compile => "VLLM_CACHE_ROOT",
            Cache::LoadFormat | Cache::ModelExpress => return None,
        };
        let list = |pointer: &str| pod.pointer(pointer).and_then(Value::as_array).into_iter().flatten();
        let text = |value: &Value, key: &str| value.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
        let directory =
            list("/spec/containers/0/env").find(|one| one["name"] == variable).map(|one| text(one, "value"))?;
        let is_below =
            |path: &str| directory.strip_prefix(path).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
        let mounts = list("/spec/containers/0/volumeMounts").filter(|mount| is_below(&text(mount, "mountPath")));
        let mount = mounts.max_by_key(|mount| text(mount, "mountPath").len())?.clone();
        let volume = list("/spec/volumes").find(|volume| volume["name"] == mount["name"])?.clone();
        let claim = volume.pointer("/persistentVolumeClaim/claimName")?.as_str()?.to_owned();
        let security = pod.pointer("/spec/securityContext").and_then(Value::as_object).cloned().unwrap_or_default();
        Some(ClaimUse { cache, claim, directory, mount, volume, security })
    }

    fn is_read_only(&self) -> bool {
        let is_true = |value: &Value, pointer: &str| value.pointer(pointer).is_some_and(|read_only| read_only == true);
        is_true(&self.mount, "/readOnly") || is_true(&self.volume, "/persistentVolumeClaim/readOnly")
    }
}

/// A Job, and its outcome so far.
struct ProbeJob<'u> {
    used: &'u ClaimUse,
    /// The Job's name; `None` if the Job could not be created.
    name: Option<String>,
    outcome: Outcome,
}

/// Writes to the claims of each namespace in turn, and removes the Jobs afterwards, also after an error or a signal.
///
/// # Errors
/// A signal asked to stop, or the API server was not reached.
pub(super) async fn check(
    api: &Api,
    namespaces: &[(String, Vec<ClaimUse>)],
    options: &Probe,
    report: &mut Report,
) -> anyhow::Result<()> {
    let mut signals = Signals::listen().context("failed to listen to signals")?;
    for (namespace, uses) in namespaces {
        report.begin_namespace(namespace);
        let writable = uses.iter().filter(|used| !used.is_read_only());
        let mut jobs = Vec::new();
        // Not cancelled by a signal: the name of every created Job must be known here to remove it.
        let created = create(api, namespace, writable, options, &mut jobs).await;
        let finished = if created.is_ok() {
            tokio::select! {
                finished = follow(api, namespace, &mut jobs, options.probe_timeout) => finished,
                signal = signals.next() => Err(Stopped(signal).into()),
            }
        } else {
            created.map_err(Into::into)
        };
        remove(api, namespace, &jobs, &mut signals).await?;
        finished?;
        for (cache, check) in [(Cache::Model, CheckId::ModelWrite), (Cache::Compile, CheckId::CompileWrite)] {
            match jobs.iter().find(|job| job.used.cache == cache) {
                Some(job) => report_outcome(check, namespace, job, options, report),
                None if uses.iter().any(|used| used.cache == cache) => {
                    report.not_checked(check, "the claim is mounted read-only");
                }
                None => {
                    if let Some(claim) = check.depends_on().first() {
                        report.depends_on(check, *claim);
                    }
                }
            }
        }
    }
    Ok(())
}

/// Creates the Jobs. Those that were created are in `jobs` even if this fails.
async fn create<'u>(
    api: &Api,
    namespace: &str,
    uses: impl Iterator<Item = &'u ClaimUse>,
    options: &Probe,
    jobs: &mut Vec<ProbeJob<'u>>,
) -> Result<(), Error> {
    let path = format!("/apis/batch/v1/namespaces/{namespace}/jobs");
    for used in uses {
        let (name, outcome) = match api.create(&path, &job::job(used, options)).await {
            Ok(job) => {
                let name = job.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default().to_owned();
                (Some(name), Outcome::Waits("waiting for its pod".to_owned()))
            }
            Err(refused @ Error::Refused { .. }) => (None, outcome::from_refusal(&refused)),
            Err(unreachable) => return Err(unreachable),
        };
        jobs.push(ProbeJob { used, name, outcome });
    }
    Ok(())
}

/// Reads the state of the Jobs until each has ended or the timeout has passed, and shows what they wait for.
async fn follow(api: &Api, namespace: &str, jobs: &mut [ProbeJob<'_>], timeout: Duration) -> anyhow::Result<()> {
    let (begun, mut progress) = (Instant::now(), ProgressLine::new());
    loop {
        let mut waits = Vec::new();
        for job in jobs.iter_mut().filter(|job| matches!(job.outcome, Outcome::Waits(_))) {
            let Some(name) = &job.name else { continue };
            job.outcome = match Job::get(api, namespace, name).await {
                Err(refused @ Error::Refused { .. }) => outcome::from_refusal(&refused),
                found => outcome::from_job(found?.as_ref()),
            };
            if let Outcome::Waits(words) = &job.outcome {
                waits.push((job.used.cache, words.clone()));
            }
        }
        if waits.is_empty() || begun.elapsed() >= timeout {
            progress.finish();
            return Ok(());
        }
        progress.update(&format!("{namespace}: {}", summarize(&waits)));
        sleep(POLL_INTERVAL).await;
    }
}

/// What the Jobs wait for, in one line; once if both wait for the same.
fn summarize(waits: &[(Cache, String)]) -> String {
    match waits {
        [(_, words), (_, others)] if words == others => format!("both caches: {words}"),
        waits => waits.iter().map(|(cache, words)| format!("{cache} cache: {words}")).collect::<Vec<_>>().join("; "),
    }
}

/// Removes the Jobs and their pods. Another signal aborts the removal; the cluster then removes the Jobs after a minute.
async fn remove(api: &Api, namespace: &str, jobs: &[ProbeJob<'_>], signals: &mut Signals) -> anyhow::Result<()> {
    for name in jobs.iter().filter_map(|job| job.name.as_ref()) {
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

/// Reports the outcome of one claim.
fn report_outcome(check: CheckId, namespace: &str, job: &ProbeJob<'_>, options: &Probe, report: &mut Report) {
    let ProbeJob { used: ClaimUse { cache, claim, mount, .. }, outcome, .. } = job;
    let what = format!("{cache} cache, claim {claim}:");
    match outcome {
        Outcome::Failed(why) => {
            report.fail(check, format!("{what} the write failed: {why}"), outcome::hint(why, claim, namespace));
        }
        Outcome::Hidden(message) => report.not_checked(check, message),
        Outcome::Waits(words) => {
            let text = format!("{what} no write within {:?}: {words}", options.probe_timeout);
            report.fail(check, text, outcome::hint(words, claim, namespace));
        }
        Outcome::Wrote => {
            let user = options.probe_user.0.map(|user| format!(" as user {user}")).unwrap_or_default();
            let path = mount.get("mountPath").and_then(Value::as_str).unwrap_or_default();
            report.ok(check, format!("{what} a file below {path} was written, read and removed{user}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::json;

    use super::{ClaimUse, job, summarize};
    use crate::admission::cache::Cache;
    use crate::cli::{Check, Cli, Command};

    fn pod() -> serde_json::Value {
        let claim = |name: &str| json!({"name": name, "persistentVolumeClaim": {"claimName": name}});
        json!({"spec": {
            "securityContext": {"fsGroup": 0, "fsGroupChangePolicy": "OnRootMismatch"},
            "volumes": [claim("models"), claim("compiled")],
            "containers": [{
                "env": [{"name": "HF_HUB_CACHE", "value": "/m/hub"}, {"name": "VLLM_CACHE_ROOT", "value": "/m/vllm/a/b"}],
                "volumeMounts": [
                    {"name": "models", "mountPath": "/m"},
                    {"name": "compiled", "mountPath": "/m/vllm", "readOnly": true},
                    {"name": "models", "mountPath": "/m/vll"},
                ],
            }],
        }})
    }

    #[test]
    fn what_both_jobs_wait_for_is_printed_once() {
        let (model, compile) = ((Cache::Model, "writing".to_owned()), (Cache::Compile, "pulling".to_owned()));
        assert_eq!(summarize(&[model.clone(), compile]), "model cache: writing; compile cache: pulling");
        assert_eq!(summarize(&[model.clone(), (Cache::Compile, "writing".to_owned())]), "both caches: writing");
        assert_eq!(summarize(&[model]), "model cache: writing");
    }

    #[test]
    fn the_probe_mounts_the_claim_as_the_worker_does_and_writes_where_it_does() {
        let (model, compile) =
            (ClaimUse::from_pod(Cache::Model, &pod()).unwrap(), ClaimUse::from_pod(Cache::Compile, &pod()).unwrap());
        assert_eq!((model.claim.as_str(), model.directory.as_str()), ("models", "/m/hub"));
        assert_eq!((compile.claim.as_str(), compile.directory.as_str()), ("compiled", "/m/vllm/a/b"));
        assert!(!model.is_read_only() && compile.is_read_only());
        assert!(ClaimUse::from_pod(Cache::Model, &json!({"spec": {"containers": [{}]}})).is_none());

        let typed = ["dynamo-cache", "check", "--write-probe", "--probe-timeout", "30s", "--probe-image", "mine:1"];
        let Command::Check(Check { probe, .. }) = Cli::read(&typed.map(Into::into)).unwrap().command else { panic!() };
        assert_eq!(probe.probe_timeout, Duration::from_secs(30));
        let job = job::job(&model, &probe);
        let (spec, pod) = (&job["spec"], &job["spec"]["template"]["spec"]);
        assert_eq!(spec["activeDeadlineSeconds"], 90, "the cluster ends a Job that check cannot remove");
        assert_eq!(pod["securityContext"]["fsGroup"], 0);
        assert_eq!(
            (&pod["securityContext"]["runAsUser"], &pod["securityContext"]["runAsGroup"]),
            (&json!(1000), &json!(0))
        );
        assert_eq!(pod["containers"][0]["volumeMounts"], json!([{"name": "models", "mountPath": "/m"}]));
        assert_eq!(pod["containers"][0]["image"], "mine:1");
    }
}
