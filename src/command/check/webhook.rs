//! The webhook's configuration, its Service, and its certificate.

use serde_json::Value;

use super::certificate;
use super::report::Report;
use super::shipped;
use crate::command::api::{Api, Error};
use crate::command::installed::{ENTRY, Installed, Webhook};

/// The page about certificates.
const CERTIFICATES: &str = "certs/README.md";

/// Checks all of it; what comes after the configuration depends on it.
///
/// # Errors
/// The API server was not reached.
pub(super) async fn check<'w>(
    api: &Api,
    webhook: &'w Webhook,
    others: &[Value],
    report: &mut Report,
) -> Result<Option<&'w Installed>, Error> {
    report.group("Webhook");
    let installed = match webhook {
        Webhook::Absent => {
            let text = format!("no MutatingWebhookConfiguration has an entry {ENTRY}");
            report.bad(
                "configuration",
                text,
                "helm upgrade --install dynamo-cache manifests/chart --namespace dynamo-cache --create-namespace",
            );
            None
        }
        Webhook::Hidden(sentence) => {
            report.not_checked("configuration", sentence);
            None
        }
        Webhook::Installed(installed) => {
            report.good("configuration", format!("configuration {} is there", installed.name));
            Some(installed)
        }
    };
    let Some(installed) = installed else {
        for check in ["shipped", "service", "certificate", "others", "canary", "version"] {
            report.not_checked(check, "it depends on the configuration");
        }
        return Ok(None);
    };
    shipped::check(installed, report);
    service(api, installed, report).await?;
    certificate::check(api, installed, CERTIFICATES, report).await?;
    let names: Vec<_> = others.iter().filter(|other| changes_pods(other)).filter_map(name).collect();
    let names: Vec<_> = names.into_iter().filter(|name| *name != installed.name).collect();
    report.good(
        "others",
        match names.as_slice() {
            [] => "no other webhook changes pods".to_owned(),
            names => format!("other webhooks may change the same pods: {}", names.join(", ")),
        },
    );
    Ok(Some(installed))
}

fn name(object: &Value) -> Option<&str> {
    object.pointer("/metadata/name")?.as_str()
}

fn changes_pods(configuration: &Value) -> bool {
    let list = |value: &Value, key: &str| value.get(key).and_then(Value::as_array).cloned().unwrap_or_default();
    let rules = list(configuration, "webhooks").into_iter().flat_map(|entry| list(&entry, "rules"));
    let mut resources = rules.flat_map(|rule| list(&rule, "resources"));
    resources.any(|resource| resource == "pods" || resource == "*" || resource == "*/*")
}

/// Whether somebody answers behind the Service.
async fn service(api: &Api, installed: &Installed, report: &mut Report) -> Result<(), Error> {
    let Installed { namespace, service, .. } = installed;
    let found = match api.get(&format!("/api/v1/namespaces/{namespace}/services/{service}")).await {
        Err(error) if error.is_forbidden() => {
            report.not_checked("service", error.to_string());
            return Ok(());
        }
        found => found?,
    };
    let Some(found) = found else {
        let text = format!("Service {namespace}/{service} is not there");
        report.bad("service", text, "helm upgrade brings it back, or kubectl apply -f manifests/install.yaml");
        return Ok(());
    };
    if let Some(host) = found.pointer("/spec/externalName").and_then(Value::as_str) {
        report.not_checked(
            "service",
            format!("Service {namespace}/{service} leads to {host}, and has no endpoints of its own"),
        );
        return Ok(());
    }
    match super::endpoints::ready(api, namespace, service).await {
        Err(error) if error.is_forbidden() => report.not_checked("service", error.to_string()),
        ready => match ready? {
            0 => report.bad(
                "service",
                format!("Service {namespace}/{service} has no ready endpoint"),
                format!("kubectl get pods -n {namespace} -l app.kubernetes.io/name=dynamo-cache"),
            ),
            1 => report.good("service", format!("Service {namespace}/{service} has 1 ready endpoint")),
            many => report.good("service", format!("Service {namespace}/{service} has {many} ready endpoints")),
        },
    }
    Ok(())
}
