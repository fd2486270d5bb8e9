//! A model by its name, removed by the client that downloads models.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use anyhow::bail;
use serde_json::{Value, json};

use crate::cli::{Prune, UsageOutput};
use crate::inspect::api::Api;
use crate::inspect::claim_job;
use crate::inspect::claim_job::{ClaimJob, MOUNT, Said, Template, client, is_unfinished};
use crate::inspect::demand::Demand;
use crate::inspect::download_job;
use crate::inspect::download_job::MODEL_VOLUME;
use crate::inspect::survey;
use crate::inspect::survey::{MeasuredClaim, Survey};
use crate::terminal::amount::{bytes, date};
use crate::terminal::{note, note_all, print, print_exact};
use crate::usage::contents::{Model, Revision, Size};

/// The script that installs the client, in an init container.
const INSTALL: &str = include_str!("model/install.sh");

/// The lines by which this script and that of `download` install it.
const INSTALL_LINES: &str = include_str!("../download/install.sh");

/// The client's packages with their hashes.
const REQUIREMENTS: &str = include_str!("../download/requirements.txt");

/// The script that removes.
const REMOVE: &str = include_str!("model/remove.sh");

/// A model or a revision of it on a claim.
#[derive(Debug)]
struct Target<'c> {
    claim: &'c str,
    model: &'c Model,
    /// The revision; `None` for all of them.
    revision: Option<&'c Revision>,
}

/// Prints what would be removed, and removes it if the user says so.
///
/// # Errors
/// The model is on no claim, or in use, or is downloaded; or it cannot be removed.
pub(super) async fn run(api: &Api, model: &str, options: &Prune) -> anyhow::Result<()> {
    let survey = survey::survey(api, &options.jobs, options.config.as_deref(), |_| Ok(())).await?;
    for MeasuredClaim { name, contents, .. } in &survey.claims {
        if let Err(why) = contents {
            note(&format!("claim {name} was not measured: {why}"));
        }
    }
    let targets = find(&survey, model, options.revision.as_deref());
    if targets.is_empty() {
        let what = options.revision.as_ref().map(|commit| format!("revision {commit} of ")).unwrap_or_default();
        let omitted: u64 =
            survey.claims.iter().flat_map(|claim| &claim.contents).map(|contents| contents.omitted).sum();
        let but = if omitted > 0 { format!(" ({omitted} are not listed)") } else { String::new() };
        bail!(
            "{what}model {model} is on no claim of namespace {}; dynamo-cache usage lists what is there{but}",
            api.namespace
        );
    }
    let jobs = api.list(&format!("/apis/batch/v1/namespaces/{}/jobs", api.namespace)).await?;
    check_unambiguous(&targets)?;
    match check_not_downloaded(&jobs) {
        // Without --yes, the answer is worth more than the refusal.
        Err(why) if !options.yes => note(&why.to_string()),
        checked => checked?,
    }
    for target in &targets {
        check_alone(target, &survey)?;
        if !options.force {
            check_unused(target, &survey.demand)?;
            check_not_shared(target, &survey)?;
        }
    }
    let done = if options.yes { remove(api, &survey.template, &targets, options).await? } else { Vec::new() };
    match options.output {
        UsageOutput::Json => print_exact(&to_json(&targets, &done))?,
        UsageOutput::Table => print(&words(&targets, &done, options.yes))?,
    }
    if options.yes {
        note_finished_jobs(&jobs, &targets, &api.namespace);
    }
    let failed: Vec<_> =
        done.iter().filter_map(|said| Some(format!("claim {}: {}", said.claim, said.end.as_ref().err()?))).collect();
    if failed.is_empty() { Ok(()) } else { bail!("model {model} was not removed: {}", failed.join("; ")) }
}

/// Where the model is, or this revision of it.
fn find<'s>(survey: &'s Survey, name: &str, commit: Option<&str>) -> Vec<Target<'s>> {
    let mut targets = Vec::new();
    for MeasuredClaim { name: claim, contents, .. } in &survey.claims {
        for model in contents.iter().flat_map(|contents| &contents.models).filter(|model| model.model == name) {
            match commit {
                None => targets.push(Target { claim, model, revision: None }),
                Some(commit) => {
                    let found = model.revisions.iter().filter(|revision| revision.revision.starts_with(commit));
                    targets.extend(found.map(|revision| Target { claim, model, revision: Some(revision) }));
                }
            }
        }
    }
    targets
}

/// Refuses where the digits are those of several commits.
fn check_unambiguous(targets: &[Target<'_>]) -> anyhow::Result<()> {
    let commits: BTreeSet<_> = targets.iter().filter_map(|target| Some(&target.revision?.revision)).collect();
    if commits.len() < 2 {
        return Ok(());
    }
    let commits: Vec<_> = commits.into_iter().map(String::as_str).collect();
    bail!("these digits are those of several commits: {}", commits.join(", "))
}

/// Refuses while a download Job has not ended: it could be about to use a file that is removed.
fn check_not_downloaded(jobs: &[Value]) -> anyhow::Result<()> {
    let running = jobs.iter().filter(|job| is_unfinished(job));
    let downloads =
        running.filter_map(|job| Some((job.pointer("/metadata/name")?.as_str()?, download_job::model(job)?)));
    let names: Vec<_> = downloads.map(|(name, model)| format!("Job {name} for {model}")).collect();
    if names.is_empty() {
        return Ok(());
    }
    bail!("nothing is removed while a download has not ended: {}", names.join(", "))
}

/// Names the finished Jobs by which a download would take the model as being there.
fn note_finished_jobs(jobs: &[Value], targets: &[Target<'_>], namespace: &str) {
    let is_about = |job: &&Value| {
        targets.iter().any(|target| {
            download_job::model(job) == Some(target.model.model.as_str())
                && download_job::claim(job, MODEL_VOLUME) == Some(target.claim)
        })
    };
    for job in jobs.iter().filter(is_about) {
        let name = job.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default();
        note(&format!(
            "Job {name} brought it, and stands for it still: before the next download, kubectl delete job {name} -n {namespace}"
        ));
    }
}

/// Refuses a model that a pod or a workload names, or may name.
fn check_unused(target: &Target<'_>, demand: &Demand) -> anyhow::Result<()> {
    let name = &target.model.model;
    let users = match target.revision {
        None => demand.model_users(name),
        Some(revision) => demand.revision_users(target.model, revision),
    };
    if !users.is_empty() {
        let users: Vec<_> = users.into_iter().collect();
        bail!("model {name} stays, because {} names it; --force removes it all the same", users.join(", "));
    }
    if !demand.unknown_models.is_empty() {
        note_all(&demand.unknown_models);
        bail!(
            "model {name} stays, because it is not known which models all workloads name; --force removes it all the same"
        );
    }
    Ok(())
}

/// Refuses where workloads of other namespaces may name the model, too.
fn check_not_shared(target: &Target<'_>, survey: &Survey) -> anyhow::Result<()> {
    let claim = survey.claims.iter().find(|claim| claim.name == target.claim);
    let others: Vec<_> = claim.into_iter().flat_map(|claim| claim.shared_with.iter().cloned()).collect();
    if others.is_empty() {
        return Ok(());
    }
    bail!(
        "model {} stays, because the storage of claim {} is also that of {}, whose workloads are not known here; --force removes it \
         all the same",
        target.model.model,
        target.claim,
        others.join(", ")
    )
}

/// Refuses where another model of the hub has a commit of the same name: the client knows commits by their names alone, and would
/// remove either.
fn check_alone(target: &Target<'_>, survey: &Survey) -> anyhow::Result<()> {
    let contents = survey.claims.iter().filter(|claim| claim.name == target.claim).flat_map(|claim| &claim.contents);
    if contents.clone().any(|contents| contents.omitted > 0) {
        bail!(
            "claim {} has more on it than is listed, so it is not known whether the client would remove model {} alone; remove the \
             folder by hand",
            target.claim,
            target.model.model
        );
    }
    let commits: Vec<_> = target.revisions().map(|revision| &revision.revision).collect();
    let others = contents.flat_map(|contents| &contents.models);
    let mut others = others.filter(|other| other.model != target.model.model && other.hub == target.model.hub);
    let has_same = |other: &&Model| other.revisions.iter().any(|revision| commits.contains(&&revision.revision));
    match others.find(has_same) {
        None => Ok(()),
        Some(other) => bail!(
            "model {} has a commit in common with {}, and the client would remove either of them; remove the folder by hand",
            target.model.model,
            other.model
        ),
    }
}

impl Target<'_> {
    fn revisions(&self) -> impl Iterator<Item = &Revision> {
        let all = if self.revision.is_none() { self.model.revisions.as_slice() } else { &[] };
        all.iter().chain(self.revision)
    }

    fn size(&self) -> Size {
        self.revision.map_or(self.model.size, |revision| revision.size)
    }

    /// The Job that removes it.
    fn job(&self, template: &Template, image: &str) -> ClaimJob {
        let Model { model, hub, .. } = self.model;
        let folder = format!("models--{}", model.replace('/', "--"));
        let (target, folder) = match self.revision {
            None => (format!("model/{model}"), folder),
            Some(Revision { revision, .. }) => (revision.clone(), format!("{folder}/snapshots/{revision}")),
        };
        let hub = format!("{MOUNT}/{hub}");
        let variables = [
            ("HF_HUB_CACHE", hub.trim_end_matches('/')),
            ("HF_HUB_OFFLINE", "1"),
            ("HF_HUB_DISABLE_UPDATE_CHECK", "1"),
            ("TARGET", target.as_str()),
            ("FOLDER", folder.as_str()),
        ];
        let job = template.job("prune", self.claim, false, &[]);
        let install = INSTALL.replace("@INSTALL@\n", INSTALL_LINES).replace("@REQUIREMENTS@\n", REQUIREMENTS);
        ClaimJob { claim: self.claim.to_owned(), job: client(job, image, &install, REMOVE, &variables) }
    }
}

async fn remove(api: &Api, template: &Template, targets: &[Target<'_>], options: &Prune) -> anyhow::Result<Vec<Said>> {
    let jobs = targets.iter().map(|target| target.job(template, &options.client_image)).collect();
    claim_job::run(api, jobs, "removing", options.jobs.timeout).await
}

fn to_json(targets: &[Target<'_>], done: &[Said]) -> String {
    let one = |(index, target): (usize, &Target<'_>)| {
        let mut object = json!({
            "claim": target.claim, "model": target.model.model, "bytes": target.size().bytes,
            "revisions": target.revisions().map(|revision| &revision.revision).collect::<Vec<_>>(),
        });
        match done.get(index).map(|said| &said.end) {
            Some(Ok(())) => object["result"] = "removed".into(),
            Some(Err(why)) => object["error"] = why.as_str().into(),
            None => {}
        }
        object
    };
    format!("{:#}\n", Value::Array(targets.iter().enumerate().map(one).collect()))
}

fn words(targets: &[Target<'_>], done: &[Said], yes: bool) -> String {
    let mut text = String::new();
    for (index, target) in targets.iter().enumerate() {
        let commits: Vec<_> = target.revisions().map(|revision| revision.revision.as_str()).collect();
        let (size, last_use) = (bytes(target.size().bytes), date(target.size().last_use));
        let what = format!("model {} from claim {} ({})", target.model.model, target.claim, commits.join(", "));
        let _ = match done.get(index).map(|said| said.end.is_ok()) {
            None => writeln!(text, "Would remove {what}: {size}, last used on {last_use}"),
            Some(true) => writeln!(text, "Removed {what}: {size}"),
            Some(false) => Ok(()),
        };
    }
    if !yes {
        text += "Nothing was removed; --yes removes it.\n";
    }
    text
}

#[cfg(test)]
mod tests;
