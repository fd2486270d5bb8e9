//! Print or create the Jobs that fill the model claim.

mod wait;
mod apply;
mod job;
mod last_words;
mod plan;
mod progress;
mod source;
mod wanted;

use anyhow::bail;
use serde_json::Value;

use crate::admission::claim::Claims;
use crate::admission::settings;
use crate::admission::settings::Settings;
use crate::cli::{Cluster, Download};
use crate::inspect;
use crate::inspect::api;
use crate::inspect::installation;
use crate::inspect::namespace::NamespaceSnapshot;
use crate::manifest::context::BaseSettings;
use crate::manifest::facts::Facts;
use crate::terminal::{note, note_all, print, print_exact};
use crate::yaml;

use job::JobTarget;
use plan::Plan;
use source::Files;
use wanted::Wanted;

/// Runs `download`.
///
/// # Errors
/// The cluster does not answer or refuses, nothing names a model, a claim or a Secret is missing, or a Job failed.
pub(super) fn run(options: &Download) -> anyhow::Result<()> {
    note_all(&unencrypted_warning(options));
    let files = Files::read(options)?;
    if options.offline {
        let base = BaseSettings::read(options.config.as_deref())?;
        note_all(&base.notes);
        let (wanted, notes) = source::offline(options, &files)?;
        note_all(&notes);
        note_all(&moving(&wanted));
        let facts = Facts::default();
        let target = target(options, &base, &facts, files.namespace.as_deref());
        let jobs = wanted.iter().map(|wanted| job::job(options, wanted, &target));
        return print_exact(&documents(claims(options, &base, &facts, &target).into_iter().chain(jobs)));
    }
    let cluster = Cluster { namespace: files.namespace.clone(), ..options.cluster.clone() };
    api::with_cluster(&cluster, async |api| {
        let webhook = installation::find(&api).await?;
        let base = inspect::settings::in_force(&api, &webhook, options.config.as_deref()).await?;
        if let Some(mistakes) = base.mistakes {
            // The settings name the claim to fill.
            bail!("{mistakes}");
        }
        let snapshot = NamespaceSnapshot::read(&api, &api.namespace).await?;
        note_all(base.notes.iter().chain(&snapshot.notes));
        let (wanted, notes) = source::read(&api, options, files).await?;
        note_all(&notes);
        if wanted.is_empty() && !notes.is_empty() {
            bail!("no model of namespace {} is known, and not all of it could be read, see above", api.namespace);
        }
        if wanted.is_empty() {
            return print(&format!("nothing to do: no workload of namespace {} names a model\n", api.namespace));
        }
        note_all(&moving(&wanted));
        let target = target(options, &base, &snapshot.facts, Some(&api.namespace));
        let plan = Plan::new(&api, options, wanted, &target).await?;
        if options.model.is_none() {
            let claim = snapshot.claims.iter().find(|claim| claim["metadata"]["name"] == target.model_claim.as_str());
            let table = plan.table(&target.model_claim, claim);
            // What is printed for kubectl must not have the table in it.
            if options.apply { print(&table)? } else { note(table.trim_end()) }
        }
        let missing = missing_claim(options, &target, &snapshot.facts, &api.namespace);
        let claims = claims(options, &base, &snapshot.facts, &target);
        if options.apply {
            if let Some(missing) = missing {
                bail!("{missing}");
            }
            return apply::apply(&api, options, &plan, &claims, &resolved(&base, &snapshot.facts)).await;
        }
        note_all(&missing);
        let jobs = plan.downloads.into_iter().map(|download| download.job);
        print_exact(&documents(claims.into_iter().chain(jobs)))
    })
}

/// The warning about a hub without TLS: everyone on the way can read the token and change the model.
fn unencrypted_warning(options: &Download) -> Option<String> {
    let endpoint = options.endpoint.as_ref()?;
    endpoint.get(..7).filter(|scheme| scheme.eq_ignore_ascii_case("http://"))?;
    let token = match &options.token_secret {
        Some(secret) => format!("the token in Secret {secret}"),
        None => format!("the token in Secret {}, if it exists,", job::TOKEN_SECRET),
    };
    Some(format!(
        "warning: {endpoint} is not encrypted: {token} can be read on the way, and the model can be changed (--endpoint https://…)"
    ))
}

/// The note about revisions that are no commits.
fn moving(wanted: &[Wanted]) -> Option<String> {
    let mut moving: Vec<_> =
        wanted.iter().filter(|wanted| !wanted.is_commit()).map(|wanted| wanted.revision.as_str()).collect();
    moving.dedup();
    let (revisions, can) = match moving.as_slice() {
        [] => return None,
        [one] => (format!("revision {one}"), "can"),
        several => (format!("revisions {}", several.join(", ")), "can"),
    };
    Some(format!("{revisions} {can} move; a commit cannot (--revision COMMIT)"))
}

/// The namespace's settings.
fn resolved(base: &BaseSettings, facts: &Facts) -> Settings {
    settings::resolve(&base.settings, &facts.namespace, None).0.into_owned()
}

fn exists(facts: &Facts, name: &str) -> bool {
    facts.claims.as_ref().is_none_or(|claims: &Claims| claims.contains_key(name))
}

/// The claims that the Jobs mount.
fn target(options: &Download, base: &BaseSettings, facts: &Facts, namespace: Option<&str>) -> JobTarget {
    let settings = resolved(base, facts);
    let (model, compile) = (settings.model.claim, Some(settings.compile.claim));
    let compile = compile.filter(|compile| *compile != model);
    let is_mounted = |claim: &String| options.create_claim.is_some() || exists(facts, claim);
    JobTarget {
        namespace: namespace.map(str::to_owned),
        shares_claim: compile.is_none(),
        compile_claim: compile.filter(is_mounted),
        model_claim: model,
        layout: settings.model.layout,
    }
}

/// The claims to create.
fn claims(options: &Download, base: &BaseSettings, facts: &Facts, target: &JobTarget) -> Vec<Value> {
    let Some(size) = &options.create_claim else { return Vec::new() };
    let settings = resolved(base, facts);
    // Offline, every claim is printed.
    let is_new = |name: &str| facts.claims.is_none() || !exists(facts, name);
    let compile = Some(&settings.compile.claim).filter(|compile| **compile != target.model_claim);
    let sizes = std::iter::once((&target.model_claim, size));
    let sizes = sizes.chain(compile.map(|compile| (compile, &options.compile_size)));
    let class = options.storage_class.as_deref();
    sizes.filter(|(name, _)| is_new(name)).map(|(name, size)| job::claim(name, size, class, target)).collect()
}

fn documents(objects: impl Iterator<Item = Value>) -> String {
    objects.map(|object| yaml::write(&object)).collect::<Vec<_>>().join("---\n")
}

/// The message about a model claim that neither exists nor is created.
fn missing_claim(options: &Download, target: &JobTarget, facts: &Facts, namespace: &str) -> Option<String> {
    let claim = &target.model_claim;
    (!exists(facts, claim) && options.create_claim.is_none())
        .then(|| format!("claim {claim} does not exist in namespace {namespace}; create it with --create-claim SIZE"))
}
