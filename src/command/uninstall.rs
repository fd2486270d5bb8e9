//! Take the webhook out of the API server's way first, and say how the rest goes.

use std::fmt::Write as _;

use serde_json::Value;

use super::api::{self, Api};
use super::installed::{self, CONFIGURATIONS, ENTRY, Installed, Webhook};
use super::print;
use crate::cli::Uninstall;

/// Where policies of the API server, and their bindings, are.
const POLICIES: &str = "/apis/admissionregistration.k8s.io/v1";

/// Runs `uninstall`.
///
/// # Errors
/// The API server refuses, or was not reached.
pub(super) fn run(options: &Uninstall) -> anyhow::Result<()> {
    print(&api::ask(&options.cluster, async |api| uninstall(&api, options.yes).await)?)
}

async fn uninstall(api: &Api, yes: bool) -> anyhow::Result<String> {
    let installed = match installed::find(api).await? {
        Webhook::Absent => {
            return Ok(format!("Nothing to do: no MutatingWebhookConfiguration has an entry {ENTRY}.\n"));
        }
        Webhook::Hidden(sentence) => anyhow::bail!("{sentence}"),
        Webhook::Installed(installed) => installed,
    };
    let name = &installed.name;
    let guard = format!("{name}-guard");
    // The guard's binding first: with the webhook gone it would warn of every pod, or refuse it.
    let mut lines = String::new();
    for (kind, path) in [
        ("ValidatingAdmissionPolicyBinding", format!("{POLICIES}/validatingadmissionpolicybindings/{guard}")),
        ("MutatingWebhookConfiguration", format!("{CONFIGURATIONS}/{name}")),
        ("ValidatingAdmissionPolicy", format!("{POLICIES}/validatingadmissionpolicies/{guard}")),
    ] {
        let of_object = path.rsplit('/').next().unwrap_or_default();
        if !yes {
            if api.get(&path).await?.is_some() {
                let _ = writeln!(lines, "would delete {kind}/{of_object}");
            }
        } else if api.delete(&path).await? {
            // At once, so that it is known also where the next is refused.
            print(&format!("deleted {kind}/{of_object}\n"))?;
        }
    }
    if !yes {
        return Ok(format!("{lines}\nNothing was deleted; --yes does it.\n"));
    }
    Ok(format!("\n{}", rest(&installed)))
}

/// What is left to do once the API server calls nobody any more.
fn rest(installed: &Installed) -> String {
    let annotation = |key: &str| {
        let annotations = installed.configuration.pointer("/metadata/annotations")?;
        annotations.get(key).and_then(Value::as_str)
    };
    let remove = match (annotation("meta.helm.sh/release-name"), annotation("meta.helm.sh/release-namespace")) {
        (Some(release), Some(namespace)) => format!("helm uninstall {release} --namespace {namespace}"),
        _ => "kubectl delete -f manifests/install.yaml --ignore-not-found".to_owned(),
    };
    format!(
        "New pods start without caches from now on; those that run keep theirs. What is left:\n  {remove}\n  \
         kubectl delete secret {}-ca --namespace {} --ignore-not-found\n  kubectl label namespaces --selector dynamo-cache.io/inject dynamo-cache.io/inject-\n\
         Claims and what is on them stay.\n",
        installed.service, installed.namespace
    )
}
