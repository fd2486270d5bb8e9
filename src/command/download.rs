//! Print or create the Job that fills the model claim.

mod wait;
mod job;
mod progress;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use anyhow::bail;
use serde_json::Value;
use tokio::time::{Instant, sleep};

use crate::admission::claim::Claims;
use crate::admission::settings;
use crate::cli::Download;
use crate::inspect;
use crate::inspect::api;
use crate::inspect::api::Api;
use crate::inspect::installation;
use crate::inspect::namespace::NamespaceSnapshot;
use crate::manifest::context::BaseSettings;
use crate::manifest::facts::Facts;
use crate::terminal::{note, note_all, print, print_exact};
use crate::yaml;

use job::JobTarget;

/// How long the deletion of a replaced Job may take.
const DELETION_TIMEOUT: Duration = Duration::from_secs(60);

/// Runs `download`.
///
/// # Errors
/// The cluster does not answer or refuses, a claim or a Secret is missing, or the Job already exists or failed.
pub(super) fn run(options: &Download) -> anyhow::Result<()> {
    if !is_commit(&options.revision) {
        note(&format!("revision {} can move; a commit cannot (--revision COMMIT)", options.revision));
    }
    note_all(&unencrypted_warning(options));
    if options.offline {
        let base = BaseSettings::read(options.config.as_deref())?;
        note_all(&base.notes);
        return print_exact(&documents(&objects(
            options,
            &base,
            &Facts::default(),
            options.cluster.namespace.as_deref(),
        )));
    }
    api::with_cluster(&options.cluster, async |api| {
        let webhook = installation::find(&api).await?;
        let base = inspect::settings::in_force(&api, &webhook, options.config.as_deref()).await?;
        if let Some(mistakes) = base.mistakes {
            // The settings name the claim to fill.
            bail!("{mistakes}");
        }
        let snapshot = NamespaceSnapshot::read(&api, &api.namespace).await?;
        note_all(base.notes.iter().chain(&snapshot.notes));
        let objects = objects(options, &base, &snapshot.facts, Some(&api.namespace));
        if options.apply {
            return apply(&api, options, &base, &snapshot.facts, &objects).await;
        }
        note_all(&missing_claim(options, &base, &snapshot.facts, &api.namespace));
        print_exact(&documents(&objects))
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

/// Whether a revision is a full commit hash, which always names the same files.
fn is_commit(revision: &str) -> bool {
    revision.len() == 40 && revision.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// The claims to create, then the Job.
fn objects(options: &Download, base: &BaseSettings, facts: &Facts, namespace: Option<&str>) -> Vec<Value> {
    let (settings, _) = settings::resolve(&base.settings, &facts.namespace, None);
    let exists = |name: &str| facts.claims.as_ref().is_none_or(|claims: &Claims| claims.contains_key(name));
    let (model, compile) = (&settings.model.claim, &settings.compile.claim);
    let compile = Some(compile).filter(|compile| *compile != model);
    let is_mounted = |claim: &&String| options.create_claim.is_some() || exists(claim);
    let target = JobTarget {
        namespace: namespace.map(str::to_owned),
        model_claim: model.clone(),
        compile_claim: compile.filter(is_mounted).cloned(),
        layout: settings.model.layout,
    };
    let class = options.storage_class.as_deref();
    let mut objects = Vec::new();
    if let Some(size) = &options.create_claim {
        // Offline, every claim is printed.
        let is_new = |name: &str| facts.claims.is_none() || !exists(name);
        let sizes = std::iter::once((model, size)).chain(compile.map(|compile| (compile, &options.compile_size)));
        let new = sizes.filter(|(name, _)| is_new(name));
        objects.extend(new.map(|(name, size)| job::claim(name, size, class, &target)));
    }
    objects.push(job::job(options, &target));
    objects
}

fn documents(objects: &[Value]) -> String {
    objects.iter().map(yaml::write).collect::<Vec<_>>().join("---\n")
}

/// The message about a model claim that neither exists nor is created.
fn missing_claim(options: &Download, base: &BaseSettings, facts: &Facts, namespace: &str) -> Option<String> {
    let (settings, _) = settings::resolve(&base.settings, &facts.namespace, None);
    let claim = &settings.model.claim;
    let exists = facts.claims.as_ref().is_none_or(|claims| claims.contains_key(claim));
    (!exists && options.create_claim.is_none())
        .then(|| format!("claim {claim} does not exist in namespace {namespace}; create it with --create-claim SIZE"))
}

async fn apply(
    api: &Api,
    options: &Download,
    base: &BaseSettings,
    facts: &Facts,
    objects: &[Value],
) -> anyhow::Result<()> {
    let namespace = &api.namespace;
    if let Some(missing) = missing_claim(options, base, facts, namespace) {
        bail!("{missing}");
    }
    if let Some(secret) = &options.token_secret
        && api.get(&format!("/api/v1/namespaces/{namespace}/secrets/{secret}")).await?.is_none()
    {
        let create = format!("kubectl create secret generic {secret} -n {namespace} --from-literal=HF_TOKEN=hf_…");
        bail!("Secret {secret} does not exist; create it: {create}");
    }
    let (jobs, name) = (format!("/apis/batch/v1/namespaces/{namespace}/jobs"), job::name(options));
    let path = format!("{jobs}/{name}");
    if let Some(existing) = api.get(&path).await? {
        if !options.replace {
            note(&format!("{}; --replace deletes it and starts again", describe(&existing)));
            let other = objects.last().map(|wanted| differences(&existing, wanted)).unwrap_or_default();
            if !other.is_empty() {
                bail!(
                    "Job {name} already exists with another {}; choose another name with --name",
                    other.join(", another ")
                );
            }
            if options.wait {
                return wait::follow(api, &name, options.timeout).await;
            }
            bail!("Job {name} already exists");
        }
        if model_of(&existing).is_none() {
            bail!("Job {name} exists, but it is not a download and is not replaced; choose another name with --name");
        }
        api.delete(&path).await?;
        wait_until_deleted(api, &path).await?;
        print(&format!("deleted Job/{name}\n"))?;
    }
    for object in objects {
        let kind = object["kind"].as_str().unwrap_or_default();
        let list =
            if kind == "Job" { jobs.clone() } else { format!("/api/v1/namespaces/{namespace}/persistentvolumeclaims") };
        api.create(&list, object).await?;
        print(&format!("created {kind}/{}\n", object["metadata"]["name"].as_str().unwrap_or_default()))?;
    }
    if options.wait {
        return wait::follow(api, &name, options.timeout).await;
    }
    note(&format!("follow it: kubectl logs -n {namespace} -f job/{name}"));
    Ok(())
}

/// Waits until a Job is deleted, which happens after the deletion of its pods.
async fn wait_until_deleted(api: &Api, path: &str) -> anyhow::Result<()> {
    let begun = Instant::now();
    while api.get(path).await?.is_some() {
        if begun.elapsed() > DELETION_TIMEOUT {
            bail!("the deletion of the existing Job takes longer than {DELETION_TIMEOUT:?}");
        }
        sleep(Duration::from_millis(200)).await;
    }
    Ok(())
}

/// A sentence about an existing Job: its model, age and progress.
fn describe(job: &Value) -> String {
    let text = |pointer: &str| job.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    let state = match progress::read(job, None, "", None) {
        progress::Progress::Done => format!("has been complete since {}", text("/status/completionTime")),
        progress::Progress::Failed(why) => format!("has failed: {why}"),
        _ if job.pointer("/status/active").is_some_and(|active| active != 0) => "is running".to_owned(),
        _ => "is waiting for its pod".to_owned(),
    };
    let model = model_of(job).map(|model| format!(" for {model}")).unwrap_or_default();
    format!("Job {}{model}, created at {}, {state}", text("/metadata/name"), text("/metadata/creationTimestamp"))
}

/// The variables and other parts in which an existing Job differs from the wanted one.
fn differences(existing: &Value, wanted: &Value) -> Vec<String> {
    let variables = |job: &Value| -> BTreeMap<String, Value> {
        let variables = job.pointer("/spec/template/spec/containers/0/env").and_then(Value::as_array);
        let plain = variables
            .into_iter()
            .flatten()
            .filter_map(|variable| Some((variable["name"].as_str()?.to_owned(), variable.get("value")?.clone())));
        plain.collect()
    };
    let (old, new) = (variables(existing), variables(wanted));
    let names: BTreeSet<_> = old.keys().chain(new.keys()).collect();
    let variables = names.into_iter().filter(|name| old.get(*name) != new.get(*name)).cloned();
    let claims = |job: &Value| -> Vec<Value> {
        let volumes = job.pointer("/spec/template/spec/volumes").and_then(Value::as_array).into_iter().flatten();
        volumes.filter_map(|volume| volume.pointer("/persistentVolumeClaim/claimName").cloned()).collect()
    };
    let args = |job: &Value| job.pointer("/spec/template/spec/containers/0/args").cloned();
    let others = [("claim", claims(existing) != claims(wanted)), ("command line", args(existing) != args(wanted))];
    variables.chain(others.into_iter().filter(|(_, differ)| *differ).map(|(what, _)| what.to_owned())).collect()
}

fn model_of(job: &Value) -> Option<&str> {
    let variables = job.pointer("/spec/template/spec/containers/0/env")?.as_array()?;
    variables.iter().find(|variable| variable["name"] == "MODEL")?.get("value")?.as_str()
}
