//! Marks the claims by the writes to them.

use crate::admission::cache::Cache;
use crate::admission::claim::WRITABLE;
use crate::command::check::catalog::CheckId;
use crate::command::check::report::Report;
use crate::command::check::write_probe::ProbeJob;
use crate::command::check::write_probe::outcome::Outcome;
use crate::inspect::api::Api;
use crate::inspect::identity;
use crate::inspect::proof;
use crate::inspect::proof::Record;
use crate::inspect::writable::Write;

/// Marks each claim. One that has both caches was written to twice, and is writable if both succeeded. Without the mark, a
/// claim that needs the proof counts as failed.
pub(super) async fn mark(api: &Api, namespace: &str, jobs: &[ProbeJob<'_>], report: &mut Report) {
    for (index, job) in jobs.iter().enumerate() {
        let claim = &job.used.claim;
        if jobs.iter().take(index).any(|earlier| earlier.used.claim == *claim) {
            continue;
        }
        let of_claim: Vec<_> = jobs.iter().filter(|other| other.used.claim == *claim).collect();
        let needs_proof = of_claim.iter().any(|job| job.used.needs_proof);
        let check = if job.used.cache == Cache::Model { CheckId::ModelProof } else { CheckId::CompileProof };
        let Some((deciding, write)) = result(&of_claim) else {
            report_unknown(check, namespace, claim, &of_claim, needs_proof, report);
            continue;
        };
        if let (false, Some(pod)) = (write.has_succeeded, &job.used.model_user) {
            let user = identity::describe(&deciding.used.security, Some(write.user));
            let text = format!(
                "claim {claim} keeps its annotation {WRITABLE}: the probe ({user}) could not write to it, but {pod} has its \
                 model cache there"
            );
            let hint = format!(
                "--probe-user and --probe-fs-group choose another user; to withhold the claim from new pods: kubectl annotate \
                 pvc {claim} -n {namespace} --overwrite {WRITABLE}=false"
            );
            report.warning(check, text, hint);
            continue;
        }
        match proof::record(api, namespace, claim, write, None).await {
            Record::Recorded(text) => report.ok(check, text),
            Record::Gone(text) => report.fail(check, text, format!("kubectl get pvc -n {namespace}")),
            Record::ByHand { text, command } if needs_proof => report.fail(check, text, command),
            Record::ByHand { text, command } => report.warning(check, text, command),
        }
    }
}

/// The write that decides about a claim, and its Job: a refusal rather than a success. `None` if nothing is known of the claim
/// as a whole.
fn result<'j, 'u>(jobs: &[&'j ProbeJob<'u>]) -> Option<(&'j ProbeJob<'u>, Write)> {
    let writes = jobs.iter().filter_map(|job| Some((*job, job.write?)));
    let (job, write) = writes.min_by_key(|(_, write)| write.has_succeeded)?;
    let is_whole = !write.has_succeeded || jobs.iter().all(|job| job.write.is_some());
    is_whole.then_some((job, write))
}

/// Reports a claim of which nothing is known, unless the line of a Job has failed anyway.
fn report_unknown(
    check: CheckId,
    namespace: &str,
    claim: &str,
    jobs: &[&ProbeJob<'_>],
    needs_proof: bool,
    report: &mut Report,
) {
    let has_failed = |job: &&ProbeJob<'_>| matches!(job.outcome, Outcome::Failed(_) | Outcome::Waits(_));
    let has_written = jobs.iter().any(|job| job.outcome == Outcome::Wrote);
    let why = if has_written { "did not report its user" } else { "could not be run" };
    if jobs.iter().any(has_failed) {
    } else if needs_proof {
        let hint =
            format!("dynamo-cache check -n {namespace} --write-probe, by someone who may create Jobs and read pods");
        report.fail(check, format!("claim {claim} stays unproven: a Job {why}"), hint);
    } else if has_written {
        report.not_checked(check, format!("a Job for claim {claim} {why}"));
    }
}
