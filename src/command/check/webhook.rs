//! Checks the webhook's configuration, Service, certificate and guard, and the other webhooks.

use serde_json::Value;

use crate::command::check::catalog::{CheckId, Group};
use crate::command::check::endpoints::{self, Backend, Found};
use crate::command::check::report::Report;
use crate::command::check::{certificate, configuration, guard, other_webhooks};
use crate::inspect::api::{Api, Error};
use crate::inspect::installation::{ENTRY, Installed, Webhook};
use crate::service::Service;

/// The page about certificates.
const CERTIFICATES: &str = "certs/README.md";

/// An installed webhook whose Service is known.
pub(super) struct CheckedWebhook<'w> {
    /// The webhook.
    pub(super) installed: &'w Installed,
    /// Its Service.
    pub(super) service: &'w Service,
    /// The option of `kubectl get pods` that selects its pods.
    pub(super) pods: String,
}

/// Checks the webhook. `None` if it has no Service to send a canary to; the canary is then reported as not checked.
///
/// # Errors
/// The API server was not reached.
pub(super) async fn check<'w>(
    api: &Api,
    webhook: &'w Webhook,
    others: &[Value],
    report: &mut Report,
) -> Result<Option<CheckedWebhook<'w>>, Error> {
    let installed = match webhook {
        Webhook::Absent => {
            report.fail(
                CheckId::Installation,
                format!("no MutatingWebhookConfiguration has an entry {ENTRY}"),
                "helm upgrade --install dynamo-cache manifests/chart --namespace dynamo-cache --create-namespace",
            );
            None
        }
        Webhook::Hidden(message) => {
            report.not_checked(CheckId::Installation, message);
            None
        }
        Webhook::Installed(installed) => {
            report.ok(CheckId::Installation, format!("configuration {} exists", installed.name));
            Some(installed)
        }
    };
    let Some(installed) = installed else {
        let is_here = |check: &CheckId| matches!(check.group(), Group::Webhook | Group::Canary);
        for check in CheckId::ALL.into_iter().filter(is_here).filter(|check| check.needs(CheckId::Installation)) {
            report.depends_on(check, CheckId::Installation);
        }
        return Ok(None);
    };
    configuration::check(installed, report);
    let checked = if let Some(service) = &installed.service {
        let pods = check_service(api, installed, service, report).await?;
        certificate::check(api, installed, service, CERTIFICATES, report).await?;
        Some(CheckedWebhook { installed, service, pods })
    } else {
        report.not_checked(CheckId::Service, no_service(installed));
        report.depends_on(CheckId::Certificate, CheckId::Service);
        None
    };
    guard::check(api, installed, report).await?;
    other_webhooks::check(api, others, report).await?;
    if checked.is_none() {
        for check in CheckId::ALL.into_iter().filter(|check| check.needs(CheckId::Service)) {
            report.depends_on(check, CheckId::Service);
        }
    }
    Ok(checked)
}

/// What the entry calls in place of a Service.
fn no_service(installed: &Installed) -> String {
    match installed.entry.pointer("/clientConfig/url").and_then(Value::as_str) {
        Some(url) => format!("configuration {} calls {url}, not a Service", installed.name),
        None => format!("configuration {} names no Service", installed.name),
    }
}

/// Checks that the Service has ready endpoints, and returns the option of kubectl that selects its pods.
async fn check_service(
    api: &Api,
    installed: &Installed,
    service: &Service,
    report: &mut Report,
) -> Result<String, Error> {
    let Service { namespace, name } = service;
    // 443 is the API server's default.
    let port = installed.entry.pointer("/clientConfig/service/port").and_then(Value::as_u64).unwrap_or(443);
    let Found { backend, pods } = endpoints::find(api, namespace, name, port).await?;
    let pods = format!("-l {}", pods.as_deref().unwrap_or("app.kubernetes.io/name=dynamo-cache"));
    let what = format!("Service {namespace}/{name}");
    let restore = "helm upgrade restores it, or kubectl apply -f manifests/install.yaml";
    match backend {
        Backend::External(host) => {
            report.not_checked(CheckId::Service, format!("{what} points to {host} and has no endpoints of its own"));
        }
        Backend::Hidden(message) => report.not_checked(CheckId::Service, message),
        Backend::Missing => report.fail(CheckId::Service, format!("{what} does not exist"), restore),
        Backend::NoPort(ports) => {
            report.fail(CheckId::Service, format!("{what} has no port {port}, only {ports}"), restore);
        }
        Backend::Ready(0) => report.fail(
            CheckId::Service,
            format!("{what} has no ready endpoint"),
            format!("kubectl get pods -n {namespace} {pods}"),
        ),
        Backend::Ready(1) => report.ok(CheckId::Service, format!("{what} has 1 ready endpoint")),
        Backend::Ready(many) => report.ok(CheckId::Service, format!("{what} has {many} ready endpoints")),
    }
    Ok(pods)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::no_service;
    use crate::inspect::installation::{ENTRY, Installed};

    #[test]
    fn a_url_in_place_of_a_service_is_named() {
        let installed = |client: serde_json::Value| {
            let configuration =
                json!({"metadata": {"name": "c"}, "webhooks": [{"name": ENTRY, "clientConfig": client}]});
            Installed::from_configuration(configuration).unwrap()
        };
        let by_url = installed(json!({"url": "https://example.org/mutate"}));
        assert!(by_url.service.is_none());
        assert_eq!(no_service(&by_url), "configuration c calls https://example.org/mutate, not a Service");
        assert_eq!(no_service(&installed(json!({}))), "configuration c names no Service");
        assert!(installed(json!({"service": {"name": "s", "namespace": "n"}})).service.is_some());
    }
}
