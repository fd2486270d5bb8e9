//! Check an installation, line by line, each failure with a hint.

mod canary;
mod certificate;
mod endpoints;
mod model_express;
mod guard;
mod pods;
mod namespace;
mod other_webhooks;
mod write_probe;
mod report;
mod settings;
mod configuration;
mod webhook;

use anyhow::bail;
use serde_json::Value;

use crate::cli::{Check, CheckOutput};
use crate::inspect::api;
use crate::inspect::api::Api;
use crate::inspect::{installation, opt_in};
use crate::signal::Stopped;
use crate::terminal::diff;
use crate::terminal::{print, print_exact};

use report::Report;

/// Runs `check`.
///
/// # Errors
/// Something failed, how much; or the cluster does not answer.
pub(super) fn run(options: &Check) -> anyhow::Result<()> {
    let mut stopped = None;
    let mut report = api::ask(&options.cluster, async |api| {
        let mut report = match options.output {
            CheckOutput::Json => Report::default(),
            CheckOutput::Text => Report::printed(diff::wants_colour()),
        };
        if let Err(error) = check(&api, options, &mut report).await {
            if report.is_empty() {
                return Err(error);
            }
            report.bad(
                "ended",
                format!("check ended here: {error:#}"),
                "What stands above holds, the rest was not checked",
            );
            stopped = Some(error).filter(anyhow::Error::is::<Stopped>);
        }
        Ok(report)
    })?;
    report.is_written()?;
    match options.output {
        CheckOutput::Json => print_exact(&report.json())?,
        CheckOutput::Text => print(&report.summary())?,
    }
    if let Some(stopped) = stopped {
        return Err(stopped);
    }
    match report.failures() {
        0 => Ok(()),
        1 => bail!("1 check failed"),
        several => bail!("{several} checks failed"),
    }
}

async fn check(api: &Api, options: &Check, report: &mut Report) -> anyhow::Result<()> {
    report.group("API server");
    let version = api.get("/version").await?.unwrap_or_default();
    let version = version.get("gitVersion").and_then(Value::as_str).unwrap_or_default().to_owned();
    report.good("api-server", format!("it answers: Kubernetes {version}"));

    let (webhook, others) = installation::find_among(api).await?;
    if let Some(looked) = webhook::check(api, &webhook, &others, report).await? {
        canary::check(api, &looked, report).await?;
    }
    let base = settings::check(api, &webhook, options.config.as_deref(), report).await;
    let names = match &options.cluster.namespace {
        Some(name) => vec![name.clone()],
        None => selected(api, &webhook, report).await?,
    };
    let mut namespaces = Vec::new();
    for name in names {
        match namespace::check(api, &name, &webhook, &base, report).await {
            Ok(uses) => namespaces.push((name, uses)),
            // The next namespace would not be reached either.
            Err(error) if matches!(error.downcast_ref(), Some(api::Error::Unreachable { .. })) => return Err(error),
            Err(error) => {
                let hint = match error.downcast_ref() {
                    Some(crate::inspect::namespace::NotThere { .. }) => {
                        format!("kubectl create namespace {name}, or kubectl get namespaces for their names")
                    }
                    None => format!("kubectl get namespace {name}"),
                };
                report.bad("namespace", format!("{error:#}"), hint);
            }
        }
    }
    if options.probe.write_probe {
        write_probe::check(api, &namespaces, &options.probe, report).await?;
    }
    Ok(())
}

/// The namespaces whose pods the webhook is asked about, and those that have the label and shall know why it is not.
async fn selected(api: &Api, webhook: &installation::Webhook, report: &mut Report) -> anyhow::Result<Vec<String>> {
    let mut found = match api.list("/api/v1/namespaces").await {
        Err(error) if error.is_forbidden() => {
            report.group("Namespaces");
            report.not_checked("namespaces", format!("{error}; -n names one"));
            return Ok(Vec::new());
        }
        found => found?,
    };
    let name = |object: &Value| object.pointer("/metadata/name").and_then(Value::as_str).map(str::to_owned);
    found.retain(|object| {
        opt_in::is_labelled(object)
            || name(object).is_some_and(|name| opt_in::not_asked(webhook, &name, Some(object)).is_none())
    });
    if found.is_empty() {
        report.group("Namespaces");
        let (what, hint) = opt_in::nobody(webhook);
        report.warning("namespaces", format!("no namespace is {what}, so no pod gets caches"), hint);
    }
    Ok(found.iter().filter_map(name).collect())
}
