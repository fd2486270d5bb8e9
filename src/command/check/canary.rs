//! Creates a pod as a dry run, so that the API server itself reports whether it reaches the webhook.

use serde_json::Value;

use crate::admission::status::Status;
use crate::command::check::catalog::CheckId;
use crate::command::check::configuration;
use crate::command::check::configuration::CANARY;
use crate::command::check::report::Report;
use crate::command::check::webhook::CheckedWebhook;
use crate::inspect::api::{Api, Error};
use crate::inspect::pod;
use crate::manifest::input::embedded_json;
use crate::service::Service;

/// Checks that the API server reaches the webhook, and that the webhook has this tool's version.
///
/// # Errors
/// The API server was not reached.
pub(super) async fn check(api: &Api, webhook: &CheckedWebhook<'_>, report: &mut Report) -> Result<(), Error> {
    let CheckedWebhook { installed, service, pods } = webhook;
    let is_canary_intact = configuration::differences_of_canary(installed).is_empty();
    let mut causes = CheckId::Canary.depends_on().iter().filter(|check| report.has_failed(**check));
    // A difference in the entry for pods alone does not keep the API server from calling the canary's entry.
    if let Some(cause) = causes.find(|check| **check != CheckId::Configuration || !is_canary_intact) {
        report.depends_on(CheckId::Canary, *cause);
        report.depends_on(CheckId::Version, *cause);
        return Ok(());
    }
    let path = format!("/api/v1/namespaces/{}/pods?dryRun=All", service.namespace);
    match api.create(&path, &pod()).await {
        Ok(pod) => check_answer(service, pod::status(&pod).as_ref(), report),
        Err(Error::Refused { message, .. }) => {
            if is_about_webhook(&message) {
                let hint = hint(&message, &service.namespace, pods);
                report.fail(CheckId::Canary, format!("the API server says: {message}"), hint);
            } else {
                report.not_checked(CheckId::Canary, message);
            }
            report.depends_on(CheckId::Version, CheckId::Canary);
        }
        Err(error) => return Err(error),
    }
    Ok(())
}

/// Checks the canary as created: the webhook's status annotation is on it, and has this tool's version.
fn check_answer(service: &Service, status: Option<&Status<'_>>, report: &mut Report) {
    let Service { namespace, name } = service;
    let Some(status) = status else {
        let text = format!(
            "the API server created the canary without calling the webhook, or another server answers at Service {name}"
        );
        report.fail(CheckId::Canary, text, format!("kubectl logs -n {namespace} deployment/{name}"));
        report.depends_on(CheckId::Version, CheckId::Canary);
        return;
    };
    report.ok(CheckId::Canary, "the API server called the webhook for a pod, and the webhook answered");
    let (own, server) = (env!("CARGO_PKG_VERSION"), status.version());
    if own == server {
        report.ok(CheckId::Version, format!("server and tool have version {server}"));
    } else {
        let text = format!("the server has version {server}, this tool {own}");
        let hint =
            "Use the tool of the server's version: explain and preview decide as the server of their version does";
        report.warning(CheckId::Version, text, hint);
    }
}

/// Whether a refusal is about the webhook. Permissions, quotas, policies and other webhooks refuse pods too.
fn is_about_webhook(message: &str) -> bool {
    message.contains(CANARY)
}

/// What a message of the API server means for an operator; `pods` is the option of kubectl that selects the webhook's pods.
fn hint(message: &str, namespace: &str, pods: &str) -> String {
    let has = |part: &str| message.contains(part);
    if has("remote error: tls") {
        "The server requires a client certificate that the API server does not present: certs/client-certificates.md"
            .to_owned()
    } else if has("x509") || has("certificate") {
        "The caBundle does not match the served certificate: certs/README.md#when-it-does-not-fit".to_owned()
    } else if has("connection refused") || has("no endpoints available") || has("EOF") {
        format!("Nothing answers there: kubectl get pods -n {namespace} {pods}")
    } else if has("deadline exceeded") || has("timeout") || has("Timeout") {
        "A firewall blocks the API server (open port 10250 to the nodes), or the API server is not part of the overlay \
         network (set hostNetwork of the chart)"
            .to_owned()
    } else if has("not found") {
        "helm upgrade restores what is missing, or kubectl apply -f manifests/install.yaml".to_owned()
    } else {
        format!("kubectl logs -n {namespace} {pods}")
    }
}

/// The canary: a Dynamo component that meets the Pod Security Standard `restricted`. It is never stored.
fn pod() -> Value {
    embedded_json(include_str!("canary.json"))
}

#[cfg(test)]
mod tests {
    use super::{hint, is_about_webhook, pod};
    use crate::command::check::configuration::CANARY_LABEL;

    #[test]
    fn the_canary_has_the_label_that_its_entry_selects() {
        assert_eq!(pod()["metadata"]["labels"][CANARY_LABEL], "true");
    }

    #[test]
    fn only_a_message_that_names_the_canarys_entry_is_about_the_webhook() {
        for (sentence, is_about) in [
            (
                "Internal error occurred: failed calling webhook \"canary.dynamo-cache.io\": failed to call webhook: EOF",
                true,
            ),
            ("admission webhook \"canary.dynamo-cache.io\" denied the request: no", true),
            (
                "Internal error occurred: failed calling webhook \"mutate.kyverno.svc\": failed to call webhook: EOF",
                false,
            ),
            ("admission webhook \"validation.gatekeeper.sh\" denied the request: [tags] use a tag", false),
            (
                "pods \"c\" is forbidden: ValidatingAdmissionPolicy 'owner' with binding 'owner' denied request: none",
                false,
            ),
            ("pods is forbidden: User \"u\" cannot create resource \"pods\" in API group \"\"", false),
            ("etcdserver: request timed out", false),
        ] {
            assert_eq!(is_about_webhook(sentence), is_about, "{sentence}");
        }
    }

    #[test]
    fn each_message_of_the_api_server_has_its_hint() {
        for (sentence, leads) in [
            ("tls: failed to verify certificate: x509: certificate signed by unknown authority", "certs/README.md"),
            ("dial tcp 127.0.0.5:1: connect: connection refused", "kubectl get pods"),
            ("no endpoints available for service \"dynamo-cache\"", "kubectl get pods"),
            ("context deadline exceeded", "firewall"),
            ("service \"dynamo-cache\" not found", "helm upgrade"),
            ("remote error: tls: certificate required", "certs/client-certificates.md"),
            ("something else", "kubectl logs -n dynamo-cache -l app=mine"),
        ] {
            assert!(hint(sentence, "dynamo-cache", "-l app=mine").contains(leads), "{sentence}");
        }
    }
}
