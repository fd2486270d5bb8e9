//! A pod that the API server has to ask the webhook about, on a dry run: what the API server says is what is so.

use serde_json::Value;

use super::report::Report;
use super::webhook::Looked;
use crate::admission::status::Status;
use crate::command::check::configuration;
use crate::command::check::configuration::CANARY;
use crate::command::object;
use crate::inspect::api::{Api, Error};
use crate::inspect::installation::Installed;
use crate::inspect::pod;

/// Checks that the API server reaches the webhook, and that it is of our version.
///
/// # Errors
/// The API server was not reached.
pub(super) async fn check(api: &Api, looked: &Looked<'_>, report: &mut Report) -> Result<(), Error> {
    let Looked { installed, pods } = looked;
    report.group("Canary through the API server");
    let causes = [("service", "Service"), ("certificate", "certificate")];
    let broken = report.broken(&causes.map(|(check, _)| check));
    let broken = causes.into_iter().find(|(check, _)| Some(*check) == broken).map(|(_, cause)| cause);
    // What else may not be as shipped does not keep the API server from asking for a canary.
    let broken = if configuration::of_canary(installed).is_empty() { broken } else { Some("configuration as shipped") };
    if let Some(cause) = broken {
        report.not_checked("canary", format!("it depends on the {cause}"));
        report.not_checked("version", format!("it depends on the {cause}"));
        return Ok(());
    }
    let path = format!("/api/v1/namespaces/{}/pods?dryRun=All", installed.namespace);
    match api.create(&path, &pod()).await {
        Ok(pod) => {
            called(installed, pod::status(&pod).as_ref(), report);
        }
        Err(Error::Refused { message, .. }) => {
            if is_ours(&message) {
                let hint = hint(&message, &installed.namespace, pods);
                report.bad("canary", format!("the API server says: {message}"), hint);
            } else {
                report.not_checked("canary", message);
            }
            report.not_checked("version", "it depends on the canary");
        }
        Err(error) => return Err(error),
    }
    Ok(())
}

fn called(installed: &Installed, status: Option<&Status<'_>>, report: &mut Report) {
    let Some(status) = status else {
        let text = format!(
            "the API server created the canary without asking the webhook, or {} answers otherwise",
            installed.service
        );
        report.bad("canary", text, format!("kubectl logs -n {} deployment/{}", installed.namespace, installed.service));
        report.not_checked("version", "it depends on the canary");
        return;
    };
    report.good("canary", "the API server called the webhook for a pod, and the webhook answered");
    let (own, theirs) = (env!("CARGO_PKG_VERSION"), status.version());
    if own == theirs {
        report.good("version", format!("the server is of version {theirs}, and so is this tool"));
    } else {
        let text = format!("the server is of version {theirs}, and this tool of {own}");
        report.warning("version", text, "Use the tool of the server's version: explain and preview decide as it does");
    }
}

/// Whether a refusal is about the webhook: rights, quotas, policies and other people's webhooks refuse pods too.
fn is_ours(message: &str) -> bool {
    message.contains(CANARY)
}

/// What the API server's sentence means for whoever runs the cluster; `pods` selects those of the webhook.
fn hint(message: &str, namespace: &str, pods: &str) -> String {
    let has = |part: &str| message.contains(part);
    if has("remote error: tls") {
        "The server refuses the API server's certificate, or its lack of one: certs/client-certificates.md".to_owned()
    } else if has("x509") || has("certificate") {
        "The caBundle does not fit the certificate that is served: certs/README.md#when-it-does-not-fit".to_owned()
    } else if has("connection refused") || has("no endpoints available") || has("EOF") {
        format!("Nobody answers there: kubectl get pods -n {namespace} {pods}")
    } else if has("deadline exceeded") || has("timeout") || has("Timeout") {
        "A firewall between API server and nodes (open port 10250), or an overlay network that the API server is not part \
         of (hostNetwork of the chart)"
            .to_owned()
    } else if has("not found") {
        "helm upgrade brings back what is missing, or kubectl apply -f manifests/install.yaml".to_owned()
    } else {
        format!("kubectl logs -n {namespace} {pods}")
    }
}

/// A component that runs nowhere, and would pass `restricted`.
fn pod() -> Value {
    object::of(include_str!("canary.json"))
}

#[cfg(test)]
mod tests {
    use super::{hint, is_ours, pod};
    use crate::command::check::configuration::CANARY_LABEL;

    #[test]
    fn the_canary_has_the_label_that_its_entry_selects() {
        assert_eq!(pod()["metadata"]["labels"][CANARY_LABEL], "true");
    }

    #[test]
    fn only_what_names_the_canarys_entry_is_our_failure() {
        for (sentence, ours) in [
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
            assert_eq!(is_ours(sentence), ours, "{sentence}");
        }
    }

    #[test]
    fn each_sentence_of_the_api_server_leads_somewhere() {
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
