//! Measure what the caches on a namespace's claims take, and who uses them.

use std::fmt::Write as _;

use anyhow::bail;
use serde_json::{Value, json};

use crate::cli::{Usage, UsageOutput};
use crate::inspect::api;
use crate::inspect::demand::{Demand, Users};
use crate::inspect::survey;
use crate::inspect::survey::{MeasuredClaim, Survey};
use crate::terminal::amount::{bytes, date, time};
use crate::terminal::table::aligned;
use crate::terminal::{print, print_exact};
use crate::usage::contents::{Archives, Contents, Folder, Generation, Model, Revision, Size};

/// How many characters of a commit or a digest a table shows.
const SHORT: usize = 12;

/// Runs `usage`, which changes nothing.
///
/// # Errors
/// A claim cannot be measured, or the cluster does not answer.
pub(super) fn run(options: &Usage) -> anyhow::Result<()> {
    let survey = api::with_cluster(&options.cluster, async |api| {
        survey::survey(&api, &options.jobs, options.config.as_deref(), |_| Ok(())).await
    })?;
    match options.output {
        UsageOutput::Json => print_exact(&json(&survey))?,
        UsageOutput::Table => print(&tables(&survey))?,
    }
    let failed: Vec<_> =
        survey.claims.iter().filter_map(|claim| Some((&claim.name, claim.contents.as_ref().err()?))).collect();
    match failed.as_slice() {
        [] => Ok(()),
        failed => {
            let lines = failed.iter().map(|(claim, why)| format!("claim {claim} was not measured: {why}"));
            bail!(lines.collect::<Vec<_>>().join("\n"))
        }
    }
}

fn json(survey: &Survey) -> String {
    let claim = |MeasuredClaim { name, shared_with, contents }: &MeasuredClaim| match contents {
        Err(why) => json!({"claim": name, "error": why}),
        Ok(contents) => {
            let mut object = json_of_claim(name, contents, &survey.demand);
            object["sharedWith"] = json!(shared_with);
            object
        }
    };
    format!("{:#}\n", Value::Array(survey.claims.iter().map(claim).collect()))
}

fn json_of_claim(name: &str, contents: &Contents, demand: &Demand) -> Value {
    let size = |of: &Size, mut object: Value| {
        object["bytes"] = of.bytes.into();
        object["files"] = of.files.into();
        object["lastUse"] = time(of.last_use).into();
        object["isWhole"] = of.is_whole.into();
        object
    };
    let revision = |model: &Model, revision: &Revision| {
        let users = demand.revision_users(model, revision);
        size(&revision.size, json!({"revision": revision.revision, "refs": revision.refs, "namedBy": users}))
    };
    let model = |model: &Model| {
        let revisions: Vec<_> = model.revisions.iter().map(|one| revision(model, one)).collect();
        size(
            &model.size,
            json!({"model": model.model, "hub": model.hub, "revisions": revisions, "namedBy": demand.model_users(&model.model)}),
        )
    };
    let folder = |folder: &Folder| {
        let users = demand.users(name, &folder.path);
        size(&folder.size, json!({"folder": folder.path, "mode": "direct", "user": folder.user, "usedBy": users}))
    };
    let archives = |archives: &Archives| {
        let generation = |generation: &Generation| {
            let Generation { digest, bytes, created, strikes } = generation;
            json!({"digest": digest, "bytes": bytes, "created": created, "strikes": strikes})
        };
        let generations: Vec<_> = archives.generations.iter().map(generation).collect();
        let users = demand.users(name, &archives.path);
        size(
            &archives.size,
            json!({
                "folder": archives.path, "mode": "staged", "node": archives.node, "user": archives.user,
                "generations": generations, "usedBy": users,
            }),
        )
    };
    let caches = contents.folders.iter().map(folder).chain(contents.archives.iter().map(archives));
    json!({
        "claim": name,
        "freeBytes": contents.free_bytes,
        "capacityBytes": contents.capacity_bytes,
        "models": contents.models.iter().map(model).collect::<Vec<_>>(),
        "compileCaches": caches.collect::<Vec<_>>(),
        "unfinished": contents.unfinished.iter().map(|left| size(&left.size, json!({"folder": left.path}))).collect::<Vec<_>>(),
        "omitted": contents.omitted,
    })
}

fn tables(survey: &Survey) -> String {
    if survey.claims.is_empty() {
        return "No claim with caches was measured.\n".to_owned();
    }
    let mut text = String::new();
    for MeasuredClaim { name, shared_with, contents } in &survey.claims {
        let gap = if text.is_empty() { "" } else { "\n" };
        let Ok(contents) = contents else {
            let _ = writeln!(text, "{gap}Claim {name}: not measured");
            continue;
        };
        let Contents { free_bytes, capacity_bytes, .. } = contents;
        let _ = writeln!(text, "{gap}Claim {name}: {} of {} free", bytes(*free_bytes), bytes(*capacity_bytes));
        if !shared_with.is_empty() {
            let others = shared_with.iter().cloned().collect::<Vec<_>>().join(", ");
            let _ = writeln!(text, "  The same storage is behind {others}, whose workloads are not known here.");
        }
        text += &models(contents, &survey.demand);
        text += &compile_caches(name, contents, &survey.demand);
        if let [_, ..] = contents.unfinished.as_slice() {
            let left: Vec<_> = contents.unfinished.iter().map(|folder| folder.path.as_str()).collect();
            let _ = writeln!(
                text,
                "\n  An interrupted prune has left {}; dynamo-cache prune --yes removes it.",
                left.join(", ")
            );
        }
        if contents.omitted > 0 {
            let _ = writeln!(text, "\n  {} more are not listed, smaller or longer unused.", contents.omitted);
        }
        if contents.models.is_empty() && contents.folders.is_empty() && contents.archives.is_empty() {
            text += "  No model and no compile cache is on it.\n";
        }
    }
    text
}

fn models(contents: &Contents, demand: &Demand) -> String {
    if contents.models.is_empty() {
        return String::new();
    }
    let mut rows = vec![head(&["MODEL", "REVISION", "SIZE", "LAST USE", "REFS", "NAMED BY"])];
    for model in &contents.models {
        let row = |revision: String, of: &Size, refs: &[String], named_by: &Users| {
            let refs = if refs.is_empty() { "–".to_owned() } else { refs.join(", ") };
            vec![model.model.clone(), revision, size(of), date(of.last_use), refs, users(named_by)]
        };
        if model.revisions.len() != 1 {
            let revisions = format!("{} revisions", model.revisions.len());
            rows.push(row(revisions, &model.size, &[], &demand.model_users(&model.model)));
        }
        for revision in &model.revisions {
            let named_by = demand.revision_users(model, revision);
            rows.push(row(short(&revision.revision), &revision.size, &revision.refs, &named_by));
        }
    }
    format!("\n{}", aligned("  ", &rows))
}

fn compile_caches(claim: &str, contents: &Contents, demand: &Demand) -> String {
    if contents.folders.is_empty() && contents.archives.is_empty() {
        return String::new();
    }
    let mut rows = vec![head(&["COMPILE CACHE", "NODE", "GENERATIONS", "SIZE", "LAST USE", "USED BY"])];
    let row = |path: &str, node: &str, generations: String, of: &Size| {
        let users = users(&demand.users(claim, path));
        vec![path.to_owned(), node.to_owned(), generations, size(of), date(of.last_use), users]
    };
    rows.extend(contents.folders.iter().map(|folder| row(&folder.path, "–", "–".to_owned(), &folder.size)));
    rows.extend(
        contents
            .archives
            .iter()
            .map(|archives| row(&archives.path, &archives.node, generations(&archives.generations), &archives.size)),
    );
    format!("\n{}", aligned("  ", &rows))
}

fn head(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

fn users(users: &Users) -> String {
    if users.is_empty() { "–".to_owned() } else { users.iter().cloned().collect::<Vec<_>>().join(", ") }
}

fn size(size: &Size) -> String {
    let about = if size.is_whole { "" } else { "over " };
    format!("{about}{}", bytes(size.bytes))
}

fn short(digits: &str) -> String {
    digits.chars().take(SHORT).collect()
}

/// How many generations there are, and the strikes against each that has any.
fn generations(all: &[Generation]) -> String {
    let struck: Vec<_> = all.iter().filter(|generation| generation.strikes > 0).collect();
    let strikes =
        struck.iter().map(|generation| format!("{} against {}", generation.strikes, short(&generation.digest)));
    match struck.as_slice() {
        [] => all.len().to_string(),
        _ => format!("{} (strikes: {})", all.len(), strikes.collect::<Vec<_>>().join(", ")),
    }
}

#[cfg(test)]
mod tests;
