//! Checks the claims of a namespace by what a vLLM worker in it would get.

use serde_json::{Map, Value, json};

use crate::admission::cache::Cache;
use crate::admission::claim::{WRITABLE, Writable};
use crate::admission::reason::Reason;
use crate::admission::settings;
use crate::cli::Probe;
use crate::command::check::catalog::CheckId;
use crate::command::check::report::Report;
use crate::command::check::volumes::MountedClaim;
use crate::command::check::write_probe::ClaimUse;
use crate::inspect::identity;
use crate::inspect::identity::Users;
use crate::manifest::context::DecisionContext;
use crate::manifest::explanation::SkippedPart;
use crate::manifest::inject;
use crate::manifest::inject::Injected;

/// A vLLM worker as the webhook would change it.
#[derive(Default)]
pub(super) struct Worker<'c> {
    /// The pod with the caches.
    pub(super) pod: Value,
    /// How it uses the claims that passed, or that lack nothing but a proof that they are writable.
    pub(super) uses: Vec<ClaimUse>,
    /// The objects of the claims that passed, each once.
    pub(super) claims: Vec<MountedClaim<'c>>,
}

/// A namespace, as far as it decides how its claims are used.
pub(super) struct Namespace<'n> {
    pub(super) name: &'n str,
    /// Its object, if it can be read.
    pub(super) object: Option<&'n Value>,
    /// The users of the Dynamo components that run in it.
    pub(super) users: &'n Users,
}

/// Checks the claims of a namespace.
///
/// # Errors
/// The worker cannot be decided about.
pub(super) fn check<'c>(
    namespace: &Namespace<'_>,
    claims: &'c [Value],
    context: &DecisionContext,
    probe: &Probe,
    report: &mut Report,
) -> anyhow::Result<Worker<'c>> {
    let name = namespace.name;
    let worker =
        worker(namespace.object, identity::resolve(namespace.users, probe.probe_user, probe.probe_fs_group), probe);
    // A cache that is skipped only without the proof lacks nothing else.
    let proven = DecisionContext { facts: context.facts.clone().with_proven_claims(), ..context.clone() };
    let (injected, if_proven) = (inject::inject(worker.clone(), context, &[])?, inject::inject(worker, &proven, &[])?);
    let (settings, _) = settings::resolve(&context.settings, &context.facts.namespace, None);
    let mut found = Worker::default();
    for (cache, skipped) in caches(&injected) {
        let (check, claim) = match cache {
            Cache::Model => (CheckId::ModelClaim, &settings.model.claim),
            Cache::Compile => (CheckId::CompileClaim, &settings.compile.claim),
            Cache::LoadFormat | Cache::ModelExpress => continue,
        };
        let object = claims.iter().find(|object| object.pointer("/metadata/name").is_some_and(|found| found == claim));
        let what = format!("{cache} cache, claim {claim}:");
        let lacks_only_proof =
            skipped.is_some() && caches(&if_proven).any(|(other, skipped)| other == cache && skipped.is_none());
        match skipped {
            Some(SkippedPart { reason: Reason::SkippedByUser, .. }) => {
                report.not_checked(check, Reason::SkippedByUser.sentence());
            }
            Some(_) if lacks_only_proof && probe.write_probe && !probe.no_mark => {
                let state = phase_and_modes(object);
                report.ok(check, format!("{what} {state}; the write probe shows whether it is writable"));
            }
            Some(SkippedPart { reason, fix, .. }) => {
                let hint = match reason {
                    Reason::ClaimNotFound => creation_hint(cache, claim, name),
                    Reason::ClaimUnproven => format!("dynamo-cache check -n {name} --write-probe"),
                    _ => fix.clone(),
                };
                report.fail(check, format!("{what} {} [{reason}]", reason.sentence()), hint);
            }
            None => report.ok(check, format!("{what} {}", phase_and_modes(object))),
        }
        if skipped.is_none() || lacks_only_proof {
            let used = ClaimUse::from_pod(cache, &if_proven.after).map(|mut used| {
                identity::remove_declined(&mut used.security, probe.probe_user, probe.probe_fs_group);
                used.needs_proof = lacks_only_proof;
                used.model_user = namespace.users.of_model(&used.claim);
                used
            });
            // Where a user has written already, nothing is left to prepare.
            let is_written = used.as_ref().is_some_and(|used| !used.is_read_only()) && !object.is_some_and(is_proven);
            found.uses.extend(used);
            let is_new = |object: &&Value| !found.claims.iter().any(|mounted| std::ptr::eq(mounted.object, *object));
            let mounted = object.filter(is_new).map(|object| MountedClaim { cache, object, is_written });
            found.claims.extend(mounted);
        }
    }
    Ok(Worker { pod: injected.after, ..found })
}

/// Whether any user is known to be able to write to a claim.
fn is_proven(claim: &Value) -> bool {
    let annotations = claim.pointer("/metadata/annotations");
    let annotation = annotations.and_then(|annotations| annotations.get(WRITABLE)?.as_str());
    matches!(Writable::read(annotation), Writable::Everybody | Writable::Users(_))
}

/// The caches of the worker, and why each is skipped.
fn caches(injected: &Injected) -> impl Iterator<Item = (Cache, Option<&SkippedPart>)> {
    let containers = injected.explanations.iter().flat_map(|explanation| &explanation.containers);
    containers.flat_map(|container| &container.caches).map(|cache| (cache.cache, cache.skipped.first()))
}

/// A vLLM worker as it would come to the webhook: with the security context of the probe, but the user that `OpenShift` assigns in
/// the namespace if the probe does not choose one.
fn worker(namespace: Option<&Value>, mut security: Map<String, Value>, probe: &Probe) -> Value {
    let range =
        namespace.and_then(|namespace| namespace.pointer("/metadata/annotations/openshift.io~1sa.scc.uid-range"));
    let first = range.and_then(Value::as_str).and_then(|range| range.split(['/', '-']).next()?.parse().ok());
    let first = first.filter(|_| !probe.write_probe || !security.contains_key("runAsUser"));
    security.extend(first.map(|user: i64| ("runAsUser".to_owned(), user.into())));
    json!({"kind": "Pod", "metadata": {"name": "worker"}, "spec": {"securityContext": security, "containers": [{
        "name": "main",
        "image": "vllm-runtime",
        "command": ["python3", "-m", "dynamo.vllm"],
    }]}})
}

/// How to create a missing claim.
fn creation_hint(cache: Cache, claim: &str, namespace: &str) -> String {
    match cache {
        Cache::Model => format!(
            "dynamo-cache download MODEL -n {namespace} --create-claim SIZE --apply --wait creates claim {claim}, fills it and proves it"
        ),
        _ => format!(
            "Create claim {claim}, ReadWriteMany, in namespace {namespace}, as in manifests/examples/claims.yaml"
        ),
    }
}

/// A claim's phase and access modes.
fn phase_and_modes(claim: Option<&Value>) -> String {
    let text = |pointer: &str| claim.and_then(|claim| claim.pointer(pointer)?.as_str());
    let modes = claim.and_then(|claim| claim.pointer("/spec/accessModes")?.as_array());
    let modes: Vec<_> = modes.into_iter().flatten().filter_map(Value::as_str).collect();
    match text("/status/phase") {
        None => "does not exist, but is injected anyway".to_owned(),
        Some("Pending") => format!("waiting to be bound, {}", modes.join(", ")),
        Some(phase) => format!("{}, {}", phase.to_lowercase(), modes.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::{creation_hint, worker};
    use crate::admission::cache::Cache;
    use crate::cli::{Check, Cli, Command};
    use crate::inspect::identity;
    use crate::inspect::identity::Users;

    #[test]
    fn the_worker_has_the_user_of_dynamo_images_or_the_one_of_openshift() {
        let assigned =
            |range: &str| serde_json::json!({"metadata": {"annotations": {"openshift.io/sa.scc.uid-range": range}}});
        for (namespace, arguments, user) in [
            (serde_json::json!({"metadata": {}}), &["check"][..], serde_json::json!(1000)),
            (assigned("1000680000/10000"), &["check"], serde_json::json!(1_000_680_000)),
            (assigned("1000680000-1000689999"), &["check"], serde_json::json!(1_000_680_000)),
            (assigned("x"), &["check"], serde_json::json!(1000)),
            (
                assigned("1000680000/10000"),
                &["check", "--write-probe", "--probe-user", "none"],
                serde_json::json!(1_000_680_000),
            ),
            (assigned("1000680000/10000"), &["check", "--write-probe", "--probe-user", "7"], serde_json::json!(7)),
            (serde_json::json!({}), &["check", "--write-probe", "--probe-user", "none"], Value::Null),
        ] {
            let typed: Vec<_> = [&["dynamo-cache"], arguments].concat().iter().map(Into::into).collect();
            let Command::Check(Check { probe, .. }) = Cli::read(&typed).unwrap().command else { panic!() };
            let worker = worker(
                Some(&namespace),
                identity::resolve(&Users::default(), probe.probe_user, probe.probe_fs_group),
                &probe,
            );
            assert_eq!(worker["spec"]["securityContext"]["runAsUser"], user, "{namespace} {arguments:?}");
        }
    }

    #[test]
    fn the_hint_names_the_missing_claim() {
        let model = creation_hint(Cache::Model, "models", "n");
        assert!(model.starts_with("dynamo-cache download MODEL -n n --create-claim SIZE --apply"), "{model}");
        for cache in [Cache::Model, Cache::Compile] {
            assert!(creation_hint(cache, "mine", "n").contains("claim mine"));
        }
    }
}
