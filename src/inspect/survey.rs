//! A look at the claims of a namespace: what is on them, and who wants it.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::{Map, Value};

use crate::admission::settings;
use crate::cli::ClaimJobs;
use crate::inspect::api::Api;
use crate::inspect::claim_job;
use crate::inspect::claim_job::{ClaimJob, MOUNT, Said, Template};
use crate::inspect::demand::Demand;
use crate::inspect::identity::Users;
use crate::inspect::namespace::NamespaceSnapshot;
use crate::inspect::shared_storage::Volumes;
use crate::inspect::{identity, installation};
use crate::terminal::{note, note_all};
use crate::usage::contents::Contents;

/// The seconds of a Job's time that are left for its pod to start.
const START_SECONDS: u64 = 30;

/// What is on the claims of a namespace, and who wants it.
pub(crate) struct Survey {
    /// What the workloads want.
    pub(crate) demand: Demand,
    /// The claims, by name.
    pub(crate) claims: Vec<MeasuredClaim>,
    /// What further Jobs have in common with those that have measured the claims.
    pub(crate) template: Template,
}

/// A claim, and what is on it.
pub(crate) struct MeasuredClaim {
    /// Its name.
    pub(crate) name: String,
    /// The claims of other namespaces with the same storage, as far as that is known.
    pub(crate) shared_with: BTreeSet<String>,
    /// What is on it; or why that is not known.
    pub(crate) contents: Result<Contents, String>,
}

/// Runs a Job for each bound claim that has caches, or would have: those of the namespace's settings, and those of its workloads.
/// `check` may refuse to go on before any Job is created.
///
/// # Errors
/// The namespace does not exist, the user may not list its claims or pods, `check` refused, a signal asked to stop, or the API
/// server was not reached.
pub(crate) async fn survey(
    api: &Api,
    options: &ClaimJobs,
    config: Option<&Path>,
    check: impl FnOnce(&Demand) -> anyhow::Result<()>,
) -> anyhow::Result<Survey> {
    let webhook = installation::find(api).await?;
    let base = crate::inspect::settings::in_force(api, &webhook, config).await?;
    let snapshot = NamespaceSnapshot::read(api, &api.namespace).await?;
    note_all(base.notes.iter().chain(&snapshot.notes));
    let context = base.with(snapshot.facts.clone().with_proven_claims());
    let mut demand = Demand::read(api, &context).await?;
    demand.unknown.extend(base.unknown.clone());
    demand.unknown.extend(snapshot.notes.iter().cloned());
    check(&demand)?;
    let (settings, _) = settings::resolve(&base.settings, &snapshot.facts.namespace, None);
    let wanted: BTreeSet<_> =
        [&settings.model.claim, &settings.compile.claim].into_iter().chain(&demand.claims).cloned().collect();
    let template = Template {
        image: options.image.clone().unwrap_or_else(|| settings.staging.image().to_owned()),
        security: security(options, &demand.identities, base.settings.fs_group),
        timeout: options.timeout,
    };
    let limit = options.timeout.as_secs().saturating_sub(START_SECONDS).max(1);
    let volumes = match Volumes::list(api).await? {
        Ok(volumes) => Some(volumes),
        Err(why) => {
            note(&format!("whether claims of other namespaces have the same storage is not known: {why}"));
            None
        }
    };
    let (mut claims, mut jobs) = (Vec::new(), Vec::new());
    for name in wanted {
        let object = snapshot.claims.iter().find(|object| text(object, "/metadata/name") == name);
        match object.map_or(Err("it does not exist".to_owned()), check_mountable) {
            Ok(()) => {
                let mut args = vec!["measure".to_owned(), MOUNT.to_owned(), format!("--limit={limit}s")];
                args.extend(demand.folders_of(&name).map(|path| format!("--also={path}")));
                jobs.push(ClaimJob { job: template.job("usage", &name, true, &args), claim: name });
            }
            Err(why) => note(&format!("claim {name} is not measured: {why}")),
        }
    }
    for Said { claim, log, end } in claim_job::run(api, jobs, "measuring", options.timeout).await? {
        let contents = end.and(log).and_then(|log| {
            let found = log.lines().find_map(Contents::parse);
            found.ok_or_else(|| "the log of the Job does not say what is on the claim".to_owned())
        });
        let object = snapshot.claims.iter().find(|object| text(object, "/metadata/name") == claim);
        let shared_with = volumes.as_ref().zip(object).map(|(volumes, object)| volumes.others(&api.namespace, object));
        claims.push(MeasuredClaim { name: claim, shared_with: shared_with.unwrap_or_default(), contents });
    }
    Ok(Survey { demand, claims, template })
}

/// Whether a Job can mount a claim without changing anything.
fn check_mountable(claim: &Value) -> Result<(), String> {
    let modes = claim.pointer("/spec/accessModes").and_then(Value::as_array);
    if text(claim, "/status/phase") != "Bound" {
        return Err("it is not bound, so there is nothing on it".to_owned());
    }
    if text(claim, "/spec/volumeMode") == "Block" {
        return Err("it is a block device".to_owned());
    }
    if modes.into_iter().flatten().all(|mode| mode == "ReadWriteOncePod") {
        return Err("only one pod at a time may mount it (ReadWriteOncePod)".to_owned());
    }
    Ok(())
}

/// The workers' user and groups.
fn security(options: &ClaimJobs, components: &Users, fs_group: Option<i64>) -> Map<String, Value> {
    let mut security = identity::resolve(components, options.user, options.fs_group);
    if let Some(group) = fs_group {
        security.entry("fsGroup").or_insert(group.into());
    }
    if security.contains_key("fsGroup") {
        // Else the kubelet would walk through the whole volume.
        security.insert("fsGroupChangePolicy".to_owned(), "OnRootMismatch".into());
    }
    identity::remove_declined(&mut security, options.user, options.fs_group);
    security
}

fn text<'v>(object: &'v Value, pointer: &str) -> &'v str {
    object.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::check_mountable;

    #[test]
    fn only_a_bound_file_system_that_several_pods_may_mount_is_measured() {
        let claim = |phase: &str, mode: &str, volume: &str| json!({"spec": {"accessModes": [mode], "volumeMode": volume}, "status": {"phase": phase}});
        for mode in ["ReadWriteMany", "ReadOnlyMany", "ReadWriteOnce"] {
            assert_eq!(check_mountable(&claim("Bound", mode, "Filesystem")), Ok(()), "{mode}");
        }
        for (claim, why) in [
            (claim("Pending", "ReadWriteMany", "Filesystem"), "not bound"),
            (claim("Bound", "ReadWriteMany", "Block"), "block device"),
            (claim("Bound", "ReadWriteOncePod", "Filesystem"), "only one pod"),
        ] {
            assert!(check_mountable(&claim).unwrap_err().contains(why), "{claim}");
        }
    }
}
