//! Compile caches that no workload of the namespace would get.

mod decide;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use anyhow::{Context as _, bail};
use serde_json::{Value, json};

use crate::cli::{Prune, UsageOutput};
use crate::inspect::api::Api;
use crate::inspect::claim_job;
use crate::inspect::claim_job::{ClaimJob, MOUNT, Said, Template};
use crate::inspect::demand::Demand;
use crate::inspect::survey;
use crate::inspect::survey::{MeasuredClaim, Survey};
use crate::terminal::amount::{bytes, date, time};
use crate::terminal::table::aligned;
use crate::terminal::{note_all, print, print_exact};
use crate::usage::contents::{Removal, Removed};

use decide::Cache;

/// The most caches that one Job removes: their paths are its arguments.
const MOST: usize = 500;

/// Prints what would be removed and why, and removes it if the user says so.
///
/// # Errors
/// It is not known what the workloads would get, a claim cannot be measured, or something cannot be removed.
pub(super) async fn run(api: &Api, options: &Prune) -> anyhow::Result<()> {
    let survey = survey::survey(api, &options.jobs, options.config.as_deref(), check_known).await?;
    let mut caches = Vec::new();
    let none = BTreeSet::new();
    for MeasuredClaim { name, shared_with, contents } in &survey.claims {
        let shared_with = if options.force { &none } else { shared_with };
        let contents = contents.as_ref().map_err(|why| anyhow::anyhow!("claim {name} was not measured: {why}"))?;
        caches.extend(decide::decide(name, contents, &survey.demand, shared_with, options.older_than));
    }
    if options.output == UsageOutput::Table {
        print(&table(&caches))?;
    }
    let results = if options.yes { remove(api, &survey, options, &caches).await? } else { BTreeMap::new() };
    match options.output {
        UsageOutput::Json => print_exact(&to_json(&caches, &results))?,
        UsageOutput::Table => print(&last_words(&caches, &results, options.yes))?,
    }
    let failed = |result: &Result<Removal, String>| result.as_ref().map_or(true, |one| one.result == Removed::Failed);
    match results.values().filter(|result| failed(result)).count() {
        0 => Ok(()),
        1 => bail!("1 compile cache was not removed"),
        several => bail!("{several} compile caches were not removed"),
    }
}

/// Refuses where a cache could be wanted by a workload that is not known.
fn check_known(demand: &Demand) -> anyhow::Result<()> {
    if demand.unknown.is_empty() {
        return Ok(());
    }
    note_all(&demand.unknown);
    bail!(
        "nothing is removed, because it is not known what all workloads of the namespace would get (--config FILE says the settings of \
         the webhook, where you may not read them)"
    )
}

/// What became of a cache, by its claim and its path; or why that is not known.
type Results = BTreeMap<(String, String), Result<Removal, String>>;

/// Runs a Job for each claim that removes its caches.
async fn remove(api: &Api, survey: &Survey, options: &Prune, caches: &[Cache<'_>]) -> anyhow::Result<Results> {
    let Survey { template, .. } = survey;
    let mut jobs = Vec::new();
    let mut results = Results::new();
    for MeasuredClaim { name, contents, .. } in &survey.claims {
        let of_claim = caches.iter().filter(|cache| cache.claim == name && cache.is_removed());
        let paths: Vec<_> = of_claim.map(|cache| cache.path.to_owned()).take(MOST).collect();
        let Some(now) = contents.as_ref().ok().map(|contents| contents.now).filter(|_| !paths.is_empty()) else {
            continue;
        };
        let age = i64::try_from(options.older_than.as_secs()).unwrap_or(i64::MAX);
        jobs.push(job(template, name, now.saturating_sub(age), &paths));
        let not_known = |path: String| ((name.clone(), path), Err("the Job did not come so far".to_owned()));
        results.extend(paths.into_iter().map(not_known));
    }
    let said = claim_job::run(api, jobs, "removing", options.jobs.timeout).await;
    for said in said.context("what was removed until then is not known; run usage")? {
        read(said, &mut results);
    }
    Ok(results)
}

/// Reads what became of the caches of a claim. What was removed before a timeout or a failure is removed.
fn read(Said { claim, log, end }: Said, results: &mut Results) {
    if let Some(why) = end.err().or_else(|| log.as_ref().err().cloned()) {
        let of_claim = results.iter_mut().filter(|((of, _), _)| *of == claim);
        of_claim.for_each(|(_, result)| *result = Err(why.clone()));
    }
    let removals = log.iter().flat_map(|log| log.lines()).filter_map(Removal::parse);
    results.extend(removals.map(|removal| ((claim.clone(), removal.path.clone()), Ok(removal))));
}

/// The Job that removes caches of a claim that were not used after a time.
fn job(template: &Template, claim: &str, unused_since: i64, paths: &[String]) -> ClaimJob {
    let mut args = vec![
        "remove".to_owned(),
        MOUNT.to_owned(),
        format!("--unused-since={unused_since}"),
        format!("--limit={}s", template.timeout.as_secs()),
        "--".to_owned(),
    ];
    args.extend_from_slice(paths);
    ClaimJob { claim: claim.to_owned(), job: template.job("prune", claim, false, &args) }
}

fn table(caches: &[Cache<'_>]) -> String {
    if caches.is_empty() {
        return "No compile cache is on the claims.\n".to_owned();
    }
    let head = ["CLAIM", "COMPILE CACHE", "SIZE", "LAST USE", "", "WHY"].map(str::to_owned).to_vec();
    let row = |cache: &Cache<'_>| {
        let action = if cache.is_removed() { "remove" } else { "keep" };
        let (claim, path) = (cache.claim.to_owned(), cache.path.to_owned());
        let last_use = date(cache.size.last_use);
        vec![claim, path, bytes(cache.size.bytes), last_use, action.to_owned(), cache.decision.why()]
    };
    aligned("", &std::iter::once(head).chain(caches.iter().map(row)).collect::<Vec<_>>())
}

fn to_json(caches: &[Cache<'_>], results: &Results) -> String {
    let one = |cache: &Cache<'_>| {
        let mut object = json!({
            "claim": cache.claim, "folder": cache.path, "bytes": cache.size.bytes, "lastUse": time(cache.size.last_use),
            "remove": cache.is_removed(), "why": cache.decision.why(),
        });
        match results.get(&(cache.claim.to_owned(), cache.path.to_owned())) {
            Some(Ok(Removal { result, why, .. })) => {
                object["result"] = json!(result);
                if !why.is_empty() {
                    object["error"] = why.as_str().into();
                }
            }
            Some(Err(why)) => object["error"] = why.as_str().into(),
            None => {}
        }
        object
    };
    format!("{:#}\n", Value::Array(caches.iter().map(one).collect()))
}

/// What was done, or what would be.
fn last_words(caches: &[Cache<'_>], results: &Results, yes: bool) -> String {
    let removed: Vec<_> = caches.iter().filter(|cache| cache.is_removed()).collect();
    let sum = |caches: &[&&Cache<'_>]| bytes(caches.iter().map(|cache| cache.size.bytes).fold(0, u64::saturating_add));
    let count =
        |number: usize| if number == 1 { "1 compile cache".to_owned() } else { format!("{number} compile caches") };
    if removed.is_empty() {
        return "\nNothing to remove.\n".to_owned();
    }
    if !yes {
        let all: Vec<_> = removed.iter().collect();
        return format!("\nNothing was removed; --yes removes {}, {}.\n", count(all.len()), sum(&all));
    }
    let result = |cache: &Cache<'_>| results.get(&(cache.claim.to_owned(), cache.path.to_owned()));
    let is_gone = |cache: &&&Cache<'_>| matches!(result(cache), Some(Ok(Removal { result: Removed::Removed, .. })));
    let gone: Vec<_> = removed.iter().filter(is_gone).collect();
    let mut text = format!("\nRemoved {}, {}.\n", count(gone.len()), sum(&gone));
    for cache in &removed {
        let why = match result(cache) {
            Some(Ok(Removal { result: Removed::Removed, .. })) => continue,
            Some(Ok(Removal { result: Removed::Gone, .. })) => "it was gone already".to_owned(),
            Some(Ok(Removal { result: Removed::Used, .. })) => "kept: it was used meanwhile".to_owned(),
            Some(Ok(Removal { why, .. }) | Err(why)) => format!("not removed: {why}"),
            None => format!("kept: one run removes {MOST}; run the command again"),
        };
        let _ = writeln!(text, "{} on claim {}: {why}", cache.path, cache.claim);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::{Results, Said, read};
    use crate::usage::contents::{Removal, Removed};

    #[test]
    fn what_was_removed_before_a_timeout_is_removed() {
        let key = |path: &str| ("c".to_owned(), path.to_owned());
        let not_known = || Err("the Job did not come so far".to_owned());
        let mut results: Results = [(key("a"), not_known()), (key("b"), not_known())].into();
        let removed = Removal { path: "a".to_owned(), result: Removed::Removed, why: String::new() };
        let log = Ok(format!("{}\n", serde_json::to_string(&removed).unwrap()));
        read(Said { claim: "c".to_owned(), log, end: Err("too late".to_owned()) }, &mut results);
        assert_eq!(results[&key("a")], Ok(removed));
        assert_eq!(results[&key("b")], Err("too late".to_owned()));
        read(Said { claim: "c".to_owned(), log: Err("gone".to_owned()), end: Ok(()) }, &mut results);
        assert_eq!(results[&key("b")], Err("gone".to_owned()));
    }
}
