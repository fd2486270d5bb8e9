//! The webhook's configuration, its Service, and its certificate.

use serde_json::Value;

use super::endpoints::{self, Behind, Found};
use super::report::Report;
use super::{certificate, guard};
use crate::command::check::{configuration, other_webhooks};
use crate::inspect::api::{Api, Error};
use crate::inspect::installation::{ENTRY, Installed, Webhook};

/// The page about certificates.
const CERTIFICATES: &str = "certs/README.md";

/// An installed webhook, and how kubectl selects its pods.
pub(super) struct Looked<'w> {
    /// The webhook.
    pub(super) installed: &'w Installed,
    /// As an option of `kubectl get pods`.
    pub(super) pods: String,
}

/// Checks all of it; what comes after the configuration depends on it.
///
/// # Errors
/// The API server was not reached.
pub(super) async fn check<'w>(
    api: &Api,
    webhook: &'w Webhook,
    others: &[Value],
    report: &mut Report,
) -> Result<Option<Looked<'w>>, Error> {
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
        for check in ["shipped", "service", "certificate", "guard", "others", "canary", "version"] {
            report.not_checked(check, "it depends on the configuration");
        }
        return Ok(None);
    };
    configuration::check(installed, report);
    let pods = service(api, installed, report).await?;
    certificate::check(api, installed, CERTIFICATES, report).await?;
    guard::check(api, installed, report).await?;
    other_webhooks::check(api, others, report).await?;
    Ok(Some(Looked { installed, pods }))
}

/// Whether somebody answers behind the Service; how kubectl selects its pods.
async fn service(api: &Api, installed: &Installed, report: &mut Report) -> Result<String, Error> {
    let Installed { namespace, service, .. } = installed;
    // The API server's own default.
    let port = installed.entry.pointer("/clientConfig/service/port").and_then(Value::as_u64).unwrap_or(443);
    let Found { behind, pods } = endpoints::behind(api, namespace, service, port).await?;
    let pods = format!("-l {}", pods.as_deref().unwrap_or("app.kubernetes.io/name=dynamo-cache"));
    let what = format!("Service {namespace}/{service}");
    let back = "helm upgrade brings it back, or kubectl apply -f manifests/install.yaml";
    match behind {
        Behind::External(host) => {
            report.not_checked("service", format!("{what} leads to {host}, and has no endpoints of its own"));
        }
        Behind::Hidden(sentence) => report.not_checked("service", sentence),
        Behind::Missing => report.bad("service", format!("{what} is not there"), back),
        Behind::NoPort(ports) => report.bad("service", format!("{what} has no port {port}, but {ports}"), back),
        Behind::Ready(0) => report.bad(
            "service",
            format!("{what} has no ready endpoint"),
            format!("kubectl get pods -n {namespace} {pods}"),
        ),
        Behind::Ready(1) => report.good("service", format!("{what} has 1 ready endpoint")),
        Behind::Ready(many) => report.good("service", format!("{what} has {many} ready endpoints")),
    }
    Ok(pods)
}
