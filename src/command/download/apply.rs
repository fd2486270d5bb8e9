//! Creates the Jobs that are missing, and follows those that have not ended.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context as _, bail};
use serde_json::Value;
use tokio::time::{Instant, sleep};

use crate::admission::settings::Settings;
use crate::cli::Download;
use crate::command::download::plan::{Plan, PlannedDownload, State, describe, is_being_deleted};
use crate::command::download::wait::{Ended, Followed};
use crate::command::download::{last_words, wait};
use crate::inspect::api::Api;
use crate::inspect::download_job;
use crate::signal::{Signals, Stopped};
use crate::terminal::{note, print};

/// How long the deletion of a replaced Job may take.
const DELETION_TIMEOUT: Duration = Duration::from_secs(60);

/// Does what the plan says.
///
/// # Errors
/// The API server was not reached or refuses, the Secret is missing, another Job has the name, or a Job has failed.
pub(super) async fn apply(
    api: &Api,
    options: &Download,
    plan: &Plan,
    claims: &[Value],
    settings: &Settings,
) -> anyhow::Result<()> {
    let namespace = &api.namespace;
    if let Some(secret) = &options.token_secret
        && api.get(&format!("/api/v1/namespaces/{namespace}/secrets/{secret}")).await?.is_none()
    {
        let create = format!("kubectl create secret generic {secret} -n {namespace} --from-literal=HF_TOKEN=hf_…");
        bail!("Secret {secret} does not exist; create it: {create}");
    }
    let jobs = format!("/apis/batch/v1/namespaces/{namespace}/jobs");
    for download in &plan.downloads {
        check_name(api, &jobs, options, download).await?;
    }
    for claim in claims {
        create(api, &format!("/api/v1/namespaces/{namespace}/persistentvolumeclaims"), claim).await?;
    }
    delete_replaced(api, &jobs, options, plan).await?;
    let (mut followed, mut old, mut failed, mut created) = (Vec::new(), Vec::new(), Vec::new(), 0);
    for download in &plan.downloads {
        let label = download.label();
        match (&download.existing, &download.state) {
            _ if is_replaced(options, download) => {}
            (Some(existing), State::Filled(_)) => {
                note_existing(options, existing, &download.state);
                old.push(existing.name().to_owned());
                continue;
            }
            (Some(existing), State::Failed(why)) => {
                failed.push(format!("Job {} has failed, and --replace starts it again: {why}", existing.name()));
                continue;
            }
            (Some(existing), _) => {
                note_existing(options, existing, &download.state);
                followed.push(Followed { name: existing.name().to_owned(), label });
                continue;
            }
            (None, _) => {}
        }
        match create(api, &jobs, &download.job).await {
            Ok(()) => {}
            Err(why) if plan.downloads.len() == 1 => return Err(why),
            Err(why) => {
                failed.push(format!("Job {} was not created: {why}", download.name()));
                continue;
            }
        }
        created += 1;
        followed.push(Followed { name: download.name().to_owned(), label });
    }
    if followed.is_empty() && failed.is_empty() {
        print(&format!("nothing to do: {} on claim {}\n", done(plan), settings.model.claim))?;
    }
    let names: Vec<_> = followed.iter().map(|followed| followed.name.clone()).collect();
    if options.wait {
        let ended = wait(api, &followed, options.timeout).await?;
        failed.extend(ended.failures);
        last_words::filled(api, &ended.completed, &old, failed.is_empty(), settings).await;
    } else if created > 0 {
        last_words::created(namespace, &names, settings);
    }
    if !failed.is_empty() {
        bail!("{}", failed.join("\n"));
    }
    Ok(())
}

/// Follows the Jobs. A signal ends this, and not the Jobs.
async fn wait(api: &Api, jobs: &[Followed], timeout: Duration) -> anyhow::Result<Ended> {
    let mut signals = Signals::listen().context("failed to listen to signals")?;
    tokio::select! {
        ended = wait::follow(api, jobs, timeout) => ended,
        signal = signals.next() => {
            for Followed { name, .. } in jobs {
                note(&format!("Job {name} runs on; follow it: kubectl logs -n {} -f job/{name}", api.namespace));
            }
            Err(Stopped(signal).into())
        }
    }
}

/// Whether an existing Job is deleted first: of several models, what has failed is started again, and the rest goes on.
fn is_replaced(options: &Download, download: &PlannedDownload) -> bool {
    options.replace && (options.model.is_some() || matches!(download.state, State::Failed(_)))
}

/// Deletes each Job that is replaced. One may stand for two revisions: the branch, and the commit that it had.
async fn delete_replaced(api: &Api, jobs: &str, options: &Download, plan: &Plan) -> anyhow::Result<()> {
    let replaced = plan.downloads.iter().filter(|download| is_replaced(options, download));
    let existing = replaced.filter_map(|download| download.existing.as_ref());
    let names: BTreeSet<_> = existing.map(download_job::DownloadJob::name).collect();
    for name in names {
        let path = format!("{jobs}/{name}");
        api.delete(&path).await?;
        wait_until_deleted(api, &path).await?;
        print(&format!("deleted Job/{name}\n"))?;
    }
    Ok(())
}

/// What is there already, in words.
fn done(plan: &Plan) -> String {
    match plan.downloads.as_slice() {
        [one] => format!("{} is", one.wanted.model),
        several => format!("{} models are", several.len()),
    }
}

/// Of a single model, the Job that exists is described; the table has the others.
fn note_existing(options: &Download, existing: &download_job::DownloadJob, state: &State) {
    if options.model.is_some() {
        note(&format!("{}; --replace deletes it and starts again", describe(existing, state)));
    }
}

/// Checks that no other Job has the name.
async fn check_name(api: &Api, jobs: &str, options: &Download, download: &PlannedDownload) -> anyhow::Result<()> {
    let name = download.name();
    let Some(existing) = &download.existing else {
        let path = format!("{jobs}/{name}");
        let found = api.get(&path).await?;
        if found.as_ref().is_some_and(is_being_deleted) {
            return wait_until_deleted(api, &path).await;
        }
        // A Job that is none of ours is not in the plan.
        if found.is_some() {
            bail!("Job {name} exists, but it is not a download and is not replaced; choose another name with --name");
        }
        return Ok(());
    };
    let other = download.differences();
    if !other.is_empty() && !options.replace {
        note(&format!("{}; --replace deletes it and starts again", describe(existing, &download.state)));
        bail!("Job {name} already exists with another {}; choose another name with --name", other.join(", another "));
    }
    Ok(())
}

async fn create(api: &Api, list: &str, object: &Value) -> anyhow::Result<()> {
    api.create(list, object).await?;
    let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    print(&format!("created {}/{}\n", text("/kind"), text("/metadata/name")))
}

/// Waits until a Job is deleted, which happens after the deletion of its pods.
async fn wait_until_deleted(api: &Api, path: &str) -> anyhow::Result<()> {
    let begun = Instant::now();
    let deleted = async {
        while api.get(path).await?.is_some() {
            if begun.elapsed() > DELETION_TIMEOUT {
                bail!(
                    "the deletion of the existing Job takes longer than {DELETION_TIMEOUT:?}; its pods may have finalizers"
                );
            }
            sleep(Duration::from_millis(200)).await;
        }
        Ok(())
    };
    api.waiting_for("waiting until the existing Job is deleted", deleted).await
}
