//! What `download` does and says last: it marks the claims that the Job has proven to be writable, and names what is left to do.

use crate::admission::settings::Settings;
use crate::command::download::progress::size;
use crate::inspect::api::Api;
use crate::inspect::download_job;
use crate::inspect::download_job::{COMPILE_VOLUME, CONTAINER, DownloadJob, Downloaded, MODEL_VOLUME, claim, message};
use crate::inspect::job_status::{Job, user};
use crate::inspect::proof;
use crate::inspect::proof::Record;
use crate::inspect::writable::{Write, reported_error};
use crate::terminal::{note, note_all};

/// The volumes of the Job, each with the container that writes to it.
const PROOFS: [(&str, &str); 2] = [(MODEL_VOLUME, CONTAINER), (COMPILE_VOLUME, "client")];

/// After Jobs that have completed while they were followed. A failure here does not undo the download, so it is a note.
///
/// A Job that was complete before this command (`old`) proves nothing: what it wrote to may have changed since. `all_succeeded`: whether no
/// other Job has failed.
pub(super) async fn filled(api: &Api, completed: &[String], old: &[String], all_succeeded: bool, settings: &Settings) {
    let namespace = &api.namespace;
    if completed.is_empty() && old.is_empty() {
        return;
    }
    if completed.is_empty() {
        note("no claim is marked: the Job was complete before, and its claims may have changed since");
    }
    let mut are_proven = !completed.is_empty();
    for name in completed {
        let Ok(Some(job)) = Job::get(api, namespace, name).await else {
            are_proven = false;
            continue;
        };
        note_all(&downloaded(&job));
        let mounted = PROOFS.iter().filter_map(|(volume, container)| Some((claim(&job.object, volume)?, *container)));
        for (claim, container) in mounted {
            are_proven &= mark(api, &job, claim, container).await;
        }
    }
    if !are_proven {
        note(&format!("to prove that workers can write to the claims: {}", write_probe(namespace)));
    }
    if all_succeeded {
        recommend_offline(namespace, settings, "the claim is filled; when it has all models of the namespace");
    }
}

/// What the Job has brought.
fn downloaded(job: &Job) -> Option<String> {
    let model = download_job::model(&job.object)?;
    let found = DownloadJob { object: job.object.clone(), pod: job.pod.clone() };
    let Downloaded { commit, bytes } = found.downloaded();
    Some(format!("{model} is on the claim: commit {}, {}", commit?, size(bytes?)))
}

/// After the creation of Jobs that are not followed.
pub(super) fn created(namespace: &str, names: &[String], settings: &Settings) {
    for name in names {
        note(&format!("follow it: kubectl logs -n {namespace} -f job/{name}"));
    }
    note(&format!("then prove that workers can write to the claims: {}", write_probe(namespace)));
    recommend_offline(namespace, settings, "when the claim has all models of the namespace");
}

/// Marks a claim by the write of one of the Job's containers; whether the claim is now known to be writable.
async fn mark(api: &Api, job: &Job, claim: &str, container: &str) -> bool {
    let message = message(job.pod.as_ref(), container).unwrap_or_default();
    let Some(write) = Write::from_output(message, user(job)) else {
        let why = reported_error(message).unwrap_or_else(|| "the Job did not report whether it wrote".to_owned());
        note(&format!("claim {claim} is not marked: {why}"));
        return false;
    };
    let Some(begun) = job.pod.as_ref().and_then(|pod| pod.pointer("/status/startTime")?.as_str()) else {
        note(&format!("claim {claim} is not marked: it is not known when the Job's pod started"));
        return false;
    };
    match proof::record(api, &api.namespace, claim, write, Some(begun)).await {
        Record::Recorded(text) => {
            note(&text);
            write.has_succeeded
        }
        Record::Gone(text) => {
            note(&text);
            false
        }
        Record::ByHand { text, command } => {
            note(&text);
            note(&format!("to mark it: {command}"));
            false
        }
    }
}

fn write_probe(namespace: &str) -> String {
    format!("dynamo-cache check -n {namespace} --write-probe")
}

fn recommend_offline(namespace: &str, settings: &Settings, when: &str) {
    if !settings.model.offline {
        note(&format!(
            "{when}, set offline mode: kubectl annotate namespace {namespace} dynamo-cache.io/model-offline=true; \
             without it, workers fail while the hub cannot be reached"
        ));
    }
}
