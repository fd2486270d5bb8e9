//! Whether the claims of a namespace can be written, proven by Jobs that write to them.

mod job;
mod outcome;

use std::time::Duration;

use anyhow::Context as _;
use serde_json::Value;
use tokio::time::{Instant, sleep};

use crate::admission::cache::Cache;
use crate::cli::Probe;
use crate::command::check::report::Report;
use crate::inspect::api::{Api, Error};
use crate::inspect::job_status::Job;
use crate::signal::Signals;
use crate::signal::Stopped;
use crate::terminal::note;
use crate::terminal::screen::Screen;

use outcome::Verdict;

/// Between two looks.
const PAUSE: Duration = Duration::from_secs(1);

/// A claim as a worker would use it, taken from a pod that the webhook has changed.
pub(super) struct Use {
    cache: Cache,
    claim: String,
    /// Where the worker would write.
    place: String,
    mount: Value,
    volume: Value,
    /// What the webhook adds to the pod's security context.
    security: serde_json::Map<String, Value>,
}

impl Use {
    /// How the only container of a pod uses a cache; none where it does not.
    pub(super) fn of(cache: Cache, pod: &Value) -> Option<Use> {
        let variable = match cache {
            Cache::Model => "HF_HUB_CACHE",
            Cache::Compile => "VLLM_CACHE_ROOT",
            Cache::LoadFormat | Cache::ModelExpress => return None,
        };
        let list = |pointer: &str| pod.pointer(pointer).and_then(Value::as_array).into_iter().flatten();
        let text = |value: &Value, key: &str| value.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
        let place = list("/spec/containers/0/env").find(|one| one["name"] == variable).map(|one| text(one, "value"))?;
        let is_below =
            |path: &str| place.strip_prefix(path).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
        let mounts = list("/spec/containers/0/volumeMounts").filter(|mount| is_below(&text(mount, "mountPath")));
        let mount = mounts.max_by_key(|mount| text(mount, "mountPath").len())?.clone();
        let volume = list("/spec/volumes").find(|volume| volume["name"] == mount["name"])?.clone();
        let claim = volume.pointer("/persistentVolumeClaim/claimName")?.as_str()?.to_owned();
        let security = pod.pointer("/spec/securityContext").and_then(Value::as_object).cloned().unwrap_or_default();
        Some(Use { cache, claim, place, mount, volume, security })
    }
}

/// A Job, and what is known of it.
struct Running<'u> {
    about: &'u Use,
    /// The Job's name, where it was created.
    name: Option<String>,
    verdict: Verdict,
}

/// Writes to the claims of namespaces, one namespace after another, and removes what it created, whatever comes.
///
/// # Errors
/// A signal asked to stop, or the API server was not reached.
pub(super) async fn check(
    api: &Api,
    namespaces: &[(String, Vec<Use>)],
    options: &Probe,
    report: &mut Report,
) -> anyhow::Result<()> {
    let mut signals = Signals::listen().context("failed to listen to signals")?;
    for (namespace, uses) in namespaces {
        report.group(&format!("Writing in namespace {namespace}"));
        // What can only be read needs no proof that it cannot be written.
        let writable = uses.iter().filter(|about| !is_read_only(about));
        let mut running = Vec::new();
        // Not raced against a signal: what may have been created has to have a name here.
        let created = create(api, namespace, writable, options, &mut running).await;
        let ended = if created.is_ok() {
            tokio::select! {
                ended = follow(api, namespace, &mut running, options.probe_timeout) => ended,
                signal = signals.next() => Err(Stopped(signal).into()),
            }
        } else {
            created.map_err(Into::into)
        };
        remove(api, namespace, &running, &mut signals).await?;
        ended?;
        for cache in [Cache::Model, Cache::Compile] {
            let of_cache = |about: &&Use| about.cache == cache;
            let check = format!("{cache}-write");
            match running.iter().find(|running| of_cache(&running.about)) {
                Some(running) => line(&check, namespace, running, options, report),
                None if uses.iter().any(|about| of_cache(&about)) => {
                    report.not_checked(&check, "it is mounted read-only, and nobody writes there");
                }
                None => report.not_checked(&check, format!("it depends on the {cache} claim")),
            }
        }
    }
    Ok(())
}

fn is_read_only(about: &Use) -> bool {
    let is = |value: &Value, pointer: &str| value.pointer(pointer).is_some_and(|read_only| read_only == true);
    is(&about.mount, "/readOnly") || is(&about.volume, "/persistentVolumeClaim/readOnly")
}

/// Creates the Jobs; what was created is among the running also where this fails.
async fn create<'u>(
    api: &Api,
    namespace: &str,
    uses: impl Iterator<Item = &'u Use>,
    options: &Probe,
    running: &mut Vec<Running<'u>>,
) -> Result<(), Error> {
    let path = format!("/apis/batch/v1/namespaces/{namespace}/jobs");
    for about in uses {
        let (name, verdict) = match api.create(&path, &job::job(about, options)).await {
            Ok(job) => {
                let name = job.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default().to_owned();
                (Some(name), Verdict::Waits("waiting for its pod".to_owned()))
            }
            Err(refused @ Error::Refused { .. }) => (None, outcome::refused(&refused)),
            Err(unreachable) => return Err(unreachable),
        };
        running.push(Running { about, name, verdict });
    }
    Ok(())
}

/// Looks at the Jobs until each has ended, or for as long as they may take, and shows what they wait for.
async fn follow(api: &Api, namespace: &str, running: &mut [Running<'_>], timeout: Duration) -> anyhow::Result<()> {
    let (begun, mut screen) = (Instant::now(), Screen::new());
    loop {
        let mut waits = Vec::new();
        for one in running.iter_mut().filter(|one| matches!(one.verdict, Verdict::Waits(_))) {
            let Some(name) = &one.name else { continue };
            one.verdict = match Job::look(api, namespace, name).await {
                Err(refused @ Error::Refused { .. }) => outcome::refused(&refused),
                found => outcome::of(found?.as_ref()),
            };
            if let Verdict::Waits(words) = &one.verdict {
                waits.push((one.about.cache, words.clone()));
            }
        }
        if waits.is_empty() || begun.elapsed() >= timeout {
            screen.end();
            return Ok(());
        }
        screen.show(&format!("{namespace}: {}", together(&waits)));
        sleep(PAUSE).await;
    }
}

/// What is waited for, in a line; what is the same for all is said once.
fn together(waits: &[(Cache, String)]) -> String {
    match waits {
        [(_, words), (_, others)] if words == others => format!("both caches: {words}"),
        waits => waits.iter().map(|(cache, words)| format!("{cache} cache: {words}")).collect::<Vec<_>>().join("; "),
    }
}

/// Removes the Jobs and their pods; a further signal leaves them, and the cluster removes them by itself.
async fn remove(api: &Api, namespace: &str, running: &[Running<'_>], signals: &mut Signals) -> anyhow::Result<()> {
    for name in running.iter().filter_map(|running| running.name.as_ref()) {
        let path = format!("/apis/batch/v1/namespaces/{namespace}/jobs/{name}");
        let by_hand = format!("kubectl delete job {name} -n {namespace}");
        tokio::select! {
            removed = api.delete(&path) => if let Err(why) = removed {
                note(&format!("failed to remove Job {name}: {why}; {by_hand}"));
            },
            signal = signals.next() => {
                return Err(anyhow::Error::new(Stopped(signal)).context(format!("not all was removed ({by_hand})")));
            },
        }
    }
    Ok(())
}

/// Says what became of a claim.
fn line(check: &str, namespace: &str, running: &Running<'_>, options: &Probe, report: &mut Report) {
    let Running { about: Use { cache, claim, mount, .. }, verdict, .. } = running;
    let what = format!("{cache} cache, claim {claim}:");
    match verdict {
        Verdict::Failed(said) => {
            report.bad(check, format!("{what} it was not written: {said}"), outcome::hint(said, claim, namespace));
        }
        Verdict::Hidden(sentence) => report.not_checked(check, sentence),
        Verdict::Waits(words) => {
            let text = format!("{what} not proven within {:?}: {words}", options.probe_timeout);
            report.bad(check, text, outcome::hint(words, claim, namespace));
        }
        Verdict::Wrote => {
            let user = options.probe_user.0.map(|user| format!(" as user {user}")).unwrap_or_default();
            let path = mount.get("mountPath").and_then(Value::as_str).unwrap_or_default();
            report.good(check, format!("{what} a file below {path} was written, read and removed{user}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::json;

    use super::{Use, is_read_only, job, together};
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
    fn what_both_wait_for_is_said_once() {
        let (model, compile) = ((Cache::Model, "writing".to_owned()), (Cache::Compile, "pulling".to_owned()));
        assert_eq!(together(&[model.clone(), compile]), "model cache: writing; compile cache: pulling");
        assert_eq!(together(&[model.clone(), (Cache::Compile, "writing".to_owned())]), "both caches: writing");
        assert_eq!(together(&[model]), "model cache: writing");
    }

    #[test]
    fn a_claim_is_written_where_the_worker_would_and_mounted_as_for_the_worker() {
        let (model, compile) = (Use::of(Cache::Model, &pod()).unwrap(), Use::of(Cache::Compile, &pod()).unwrap());
        assert_eq!((model.claim.as_str(), model.place.as_str()), ("models", "/m/hub"));
        assert_eq!((compile.claim.as_str(), compile.place.as_str()), ("compiled", "/m/vllm/a/b"));
        assert!(!is_read_only(&model) && is_read_only(&compile));
        assert!(Use::of(Cache::Model, &json!({"spec": {"containers": [{}]}})).is_none());

        let typed = ["dynamo-cache", "check", "--write-probe", "--probe-timeout", "30s", "--probe-image", "mine:1"];
        let Command::Check(Check { probe, .. }) = Cli::read(&typed.map(Into::into)).unwrap().command else { panic!() };
        assert_eq!(probe.probe_timeout, Duration::from_secs(30));
        let job = job::job(&model, &probe);
        let (spec, pod) = (&job["spec"], &job["spec"]["template"]["spec"]);
        assert_eq!(spec["activeDeadlineSeconds"], 90, "the cluster ends what nobody is there to remove");
        assert_eq!(pod["securityContext"]["fsGroup"], 0);
        assert_eq!(
            (&pod["securityContext"]["runAsUser"], &pod["securityContext"]["runAsGroup"]),
            (&json!(1000), &json!(0))
        );
        assert_eq!(pod["containers"][0]["volumeMounts"], json!([{"name": "models", "mountPath": "/m"}]));
        assert_eq!(pod["containers"][0]["image"], "mine:1");
    }
}
