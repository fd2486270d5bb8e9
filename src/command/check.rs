//! Check an installation, one line per check, each failure with a hint.

mod canary;
mod catalog;
mod certificate;
mod claims;
mod configuration;
mod endpoints;
mod guard;
mod model_express;
mod models;
mod namespace;
mod offline;
mod other_webhooks;
mod pods;
mod report;
mod settings;
mod space;
mod staging;
mod volumes;
mod webhook;
mod write_probe;

use anyhow::bail;
use serde_json::Value;

use crate::cli::{Check, CheckOutput};
use crate::inspect::api;
use crate::inspect::api::Api;
use crate::inspect::namespace::NotFound;
use crate::inspect::volume_reader::VolumeReader;
use crate::inspect::{installation, opt_in};
use crate::signal::Stopped;
use crate::terminal::colour;
use crate::terminal::{print, print_exact};

use catalog::CheckId;
use report::Report;

/// Runs `check`.
///
/// # Errors
/// How many checks failed, or why the cluster does not answer.
pub(super) fn run(options: &Check) -> anyhow::Result<()> {
    let mut stopped = None;
    let mut report = api::with_cluster(&options.cluster, async |api| {
        let mut report = match options.output {
            CheckOutput::Json => Report::default(),
            CheckOutput::Text => Report::printed(colour::is_wanted()),
        };
        if let Err(error) = check(&api, options, &mut report).await {
            if report.is_empty() {
                return Err(error);
            }
            report.fail(
                CheckId::Aborted,
                format!("check stopped here: {error:#}"),
                "The results above are valid; the remaining checks were not made",
            );
            stopped = Some(error).filter(anyhow::Error::is::<Stopped>);
        }
        Ok(report)
    })?;
    report.check_written()?;
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
    let version = api.get("/version").await?.unwrap_or_default();
    let version = version.get("gitVersion").and_then(Value::as_str).unwrap_or_default().to_owned();
    report.ok(CheckId::ApiServer, format!("the API server answers: Kubernetes {version}"));

    let (webhook, others) = installation::find_with_others(api).await?;
    if let Some(checked) = webhook::check(api, &webhook, &others, report).await? {
        canary::check(api, &checked, report).await?;
    }
    let base = settings::check(api, &webhook, options.config.as_deref(), report).await;
    let names = match &options.cluster.namespace {
        Some(name) => vec![name.clone()],
        None => selected_namespaces(api, &webhook, report).await?,
    };
    let (mut namespaces, reader) = (Vec::new(), VolumeReader::new(api));
    for name in names {
        match namespace::check(api, &name, &webhook, &base, &options.probe, &reader, report).await {
            Ok(uses) => namespaces.push((name, uses)),
            // The next namespace would not be reached either.
            Err(error) if matches!(error.downcast_ref(), Some(api::Error::Unreachable { .. })) => return Err(error),
            Err(error) => {
                let hint = match error.downcast_ref::<NotFound>() {
                    Some(_) => {
                        format!("kubectl create namespace {name}; kubectl get namespaces lists the existing ones")
                    }
                    None => format!("kubectl get namespace {name}"),
                };
                report.fail(CheckId::Namespace, format!("{error:#}"), hint);
            }
        }
    }
    if options.probe.write_probe {
        write_probe::check(api, &namespaces, &options.probe, report).await?;
    }
    Ok(())
}

/// The namespaces that the webhook's selector matches, and those with the opt-in label that it does not match: their checks
/// show why not.
async fn selected_namespaces(
    api: &Api,
    webhook: &installation::Webhook,
    report: &mut Report,
) -> anyhow::Result<Vec<String>> {
    let (mut found, mut pages) = (Vec::new(), api.pages("/api/v1/namespaces"));
    let is_selected = |name: &str, object: &Value| {
        opt_in::is_labelled(object) || opt_in::exclusion_reason(webhook, name, Some(object)).is_none()
    };
    loop {
        let page = match pages.next().await {
            Err(error) if error.is_forbidden() => {
                report.not_checked(CheckId::Namespaces, format!("{error}; name one with -n"));
                return Ok(Vec::new());
            }
            page => page?,
        };
        let Some(page) = page else { break };
        for object in page.objects() {
            let name = object.pointer("/metadata/name").and_then(Value::as_str);
            found.extend(name.filter(|name| is_selected(name, &object)).map(str::to_owned));
        }
    }
    if found.is_empty() {
        let (what, hint) = opt_in::no_webhook_hint(webhook);
        report.warning(CheckId::Namespaces, format!("no namespace is {what}, so no pod gets caches"), hint);
    }
    Ok(found)
}
