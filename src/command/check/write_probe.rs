//! Proves that the claims of a namespace are writable, with Jobs that write to them.

mod job;
mod mark;
mod outcome;

use std::time::Duration;

use anyhow::Context as _;
use serde_json::Value;
use tokio::time::{Instant, sleep};

use crate::admission::cache::Cache;
use crate::admission::names::{STAGE_CONTAINER, TOOL_CONTAINER};
use crate::cli::Probe;
use crate::command::check::catalog::CheckId;
use crate::command::check::report::Report;
use crate::inspect::api::{Api, Error};
use crate::inspect::claim_job;
use crate::inspect::identity;
use crate::inspect::job_status::Job;
use crate::inspect::pod;
use crate::inspect::pod::OnVolume;
use crate::inspect::writable::Write;
use crate::signal::Signals;
use crate::signal::Stopped;
use crate::terminal::progress_line::ProgressLine;

use outcome::Outcome;

/// How often the state of the Jobs is read.
const POLL_INTERVAL: Duration = Duration::from_secs(1);

/// How a worker would use a claim, read from a pod that the webhook has changed.
pub(super) struct ClaimUse {
    pub(super) cache: Cache,
    pub(super) claim: String,
    /// The directory that the worker would write to.
    directory: String,
    mount: Value,
    volume: Value,
    /// The container of mode `staged` whose image the pod waits for.
    tool: Option<Value>,
    /// The worker's security context.
    pub(super) security: serde_json::Map<String, Value>,
    /// Whether workers do not get the cache without a proof that the claim is writable.
    pub(super) needs_proof: bool,
    /// A running component that has its model cache on the claim, with its user and groups.
    pub(super) model_user: Option<String>,
}

impl ClaimUse {
    /// Reads how the only container of a pod, or its stage, uses a cache; `None` if it does not.
    pub(super) fn from_pod(cache: Cache, pod: &Value) -> Option<ClaimUse> {
        let main = pod.pointer("/spec/containers/0")?;
        let found = match (cache, pod::init_container(pod, STAGE_CONTAINER)) {
            (Cache::Model, _) => OnVolume::of_variable(pod, main, "HF_HUB_CACHE"),
            (Cache::Compile, None) => OnVolume::of_variable(pod, main, "VLLM_CACHE_ROOT"),
            (Cache::Compile, Some(stage)) => OnVolume::of_claim(pod, stage),
            (Cache::LoadFormat | Cache::ModelExpress, _) => None,
        }?;
        let tool = pod::init_container(pod, TOOL_CONTAINER).filter(|_| cache == Cache::Compile).cloned();
        let claim = found.claim()?.to_owned();
        let OnVolume { directory, mount, volume } = found;
        let (directory, mount, volume) = (directory.to_owned(), mount.clone(), volume.clone());
        let security = pod.pointer("/spec/securityContext").and_then(Value::as_object).cloned().unwrap_or_default();
        Some(ClaimUse { cache, claim, directory, mount, volume, tool, security, needs_proof: false, model_user: None })
    }

    /// Whether the worker mounts the claim read-only.
    pub(super) fn is_read_only(&self) -> bool {
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
    /// The write to the claim, if the Job came so far.
    write: Option<Write>,
}

/// Writes to the claims of each namespace in turn, removes the Jobs afterwards, also after an error or a signal, and marks the
/// claims.
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
        let names = jobs.iter().filter_map(|job| job.name.as_deref());
        claim_job::remove(api, namespace, names, &mut signals).await?;
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
        if !options.no_mark {
            mark::mark(api, namespace, &jobs, report).await;
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
        jobs.push(ProbeJob { used, name, outcome, write: None });
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
                found => {
                    let found = found?;
                    job.write = found.as_ref().and_then(outcome::write);
                    outcome::from_job(found.as_ref())
                }
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

/// Reports the outcome of one claim.
fn report_outcome(check: CheckId, namespace: &str, job: &ProbeJob<'_>, options: &Probe, report: &mut Report) {
    let ProbeJob { used: ClaimUse { cache, claim, mount, tool, .. }, outcome, .. } = job;
    let image = tool.as_ref().and_then(|tool| tool.get("image")?.as_str());
    let hint = |why: &str| match image {
        // A registry that does not answer is no error yet.
        Some(image) if why.contains(image) || why.starts_with("starting its container") => {
            format!("A staged pod waits for image {image}: set staging.image to one that the nodes can pull")
        }
        _ => outcome::hint(why, claim, namespace),
    };
    let what = format!("{cache} cache, claim {claim}:");
    let user = format!(" as {}", identity::describe(&job.used.security, job.write.map(|write| write.user)));
    match outcome {
        Outcome::Failed(why) => {
            let user = job.write.map(|_| user).unwrap_or_default();
            report.fail(check, format!("{what} the write failed{user}: {why}"), hint(why));
        }
        Outcome::Hidden(message) => report.not_checked(check, message),
        Outcome::Waits(words) => {
            let text = format!("{what} no write within {:?}: {words}", options.probe_timeout);
            report.fail(check, text, hint(words));
        }
        Outcome::Wrote => {
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
            "securityContext": {
                "runAsUser": 1000, "runAsGroup": 0, "fsGroup": 0, "fsGroupChangePolicy": "OnRootMismatch",
            },
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
        // The proxy of a service mesh never ends, and so would the Job not.
        let metadata = &spec["template"]["metadata"];
        assert_eq!(metadata["labels"]["sidecar.istio.io/inject"], "false");
        assert_eq!(metadata["annotations"]["sidecar.istio.io/inject"], "false");
        assert_eq!(metadata["annotations"]["linkerd.io/inject"], "disabled");
    }
}
