//! Check an installation, line by line, each failure with a hint.

mod canary;
mod certificate;
mod endpoints;
mod express;
mod namespace;
mod probe;
mod report;
mod shipped;
mod webhook;

use anyhow::bail;
use serde_json::Value;

use super::api::{self, Api};
use super::installed::{self, CONFIGURATIONS};
use super::world::Base;
use super::{diff, print, tell_all};
use crate::cli::{Check, CheckOutput};

use report::Report;

/// Runs `check`.
///
/// # Errors
/// Something failed, how much; or the cluster does not answer.
pub(super) fn run(options: &Check) -> anyhow::Result<()> {
    let report = api::ask(&options.cluster, async |api| check(&api, options).await)?;
    print(&match options.output {
        CheckOutput::Json => report.json(),
        CheckOutput::Text => report.text(diff::wants_colour()),
    })?;
    match report.failures() {
        0 => Ok(()),
        1 => bail!("1 check failed"),
        several => bail!("{several} checks failed"),
    }
}

async fn check(api: &Api, options: &Check) -> anyhow::Result<Report> {
    let mut report = Report::default();
    report.group("API server");
    let version = api.get("/version").await?.unwrap_or_default();
    let version = version.get("gitVersion").and_then(Value::as_str).unwrap_or_default().to_owned();
    report.good("api-server", format!("it answers: Kubernetes {version}"));

    let webhook = installed::find(api).await?;
    let others = api.list(CONFIGURATIONS).await.unwrap_or_default();
    if let Some(installed) = webhook::check(api, &webhook, &others, &mut report).await? {
        canary::check(api, installed, &mut report).await?;
    }
    let base = Base::of_cluster(api, &webhook, options.config.as_deref()).await?;
    tell_all(&base.notes);
    let names = match &options.cluster.namespace {
        Some(name) => vec![name.clone()],
        None => labelled(api, &mut report).await?,
    };
    let mut namespaces = Vec::new();
    for name in names {
        let uses = namespace::check(api, &name, &webhook, &base, &mut report).await?;
        namespaces.push((name, uses));
    }
    if options.probe.write_probe {
        probe::check(api, &namespaces, &options.probe, &mut report).await?;
    }
    Ok(report)
}

/// The namespaces that are labelled.
async fn labelled(api: &Api, report: &mut Report) -> anyhow::Result<Vec<String>> {
    let found = match api.select("/api/v1/namespaces", "labelSelector=dynamo-cache.io%2Finject%3Denabled").await {
        Err(error) if error.is_forbidden() => {
            report.group("Namespaces");
            report.not_checked("namespaces", format!("{error}; -n names one"));
            return Ok(Vec::new());
        }
        found => found?,
    };
    if found.is_empty() {
        report.group("Namespaces");
        let hint = "kubectl label namespace NAMESPACE dynamo-cache.io/inject=enabled";
        report.warning("namespaces", "no namespace is labelled, so no pod gets caches", hint);
    }
    let name = |object: &Value| object.pointer("/metadata/name").and_then(Value::as_str).map(str::to_owned);
    Ok(found.iter().filter_map(name).collect())
}
