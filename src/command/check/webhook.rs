//! The webhook's configuration, its Service, and its certificate.

use serde_json::{Value, json};

use super::certificate;
use super::report::Report;
use crate::command::api::{Api, Error};
use crate::command::installed::{ENTRY, Installed, Webhook};

/// The entry that `check` alone makes the API server call.
pub(super) const CANARY: &str = "canary.dynamo-cache.io";

/// The label of the pods that it selects.
pub(super) const CANARY_LABEL: &str = "dynamo-cache.io/canary";

/// The longest time-out that no person at kubectl would take for a hang.
const LONGEST_TIMEOUT: u64 = 10;

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
    shipped(installed, report);
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

/// An entry of the configuration by its name.
pub(super) fn entry<'i>(installed: &'i Installed, name: &str) -> Option<&'i Value> {
    let entries = installed.configuration.get("webhooks")?.as_array()?;
    entries.iter().find(|entry| entry.get("name").is_some_and(|found| found == name))
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

/// Holds both entries against what the chart ships.
fn shipped(installed: &Installed, report: &mut Report) {
    let (entry_of_pods, canary) = (&installed.entry, entry(installed, CANARY));
    let mut differs = Vec::new();
    let rule = json!([{
        "apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"], "scope": "Namespaced",
    }]);
    let mut expect = |entry: &Value, name: &str, pointer: &str, expected: &Value| {
        if entry.pointer(pointer) != Some(expected) {
            differs.push(format!("{name} {}", pointer.trim_start_matches('/').replace('/', ".").replace("~1", "/")));
        }
    };
    expect(entry_of_pods, ENTRY, "/rules", &rule);
    expect(entry_of_pods, ENTRY, "/namespaceSelector/matchLabels", &json!({"dynamo-cache.io/inject": "enabled"}));
    expect(entry_of_pods, ENTRY, "/reinvocationPolicy", &json!("IfNeeded"));
    let conditions = entry_of_pods.get("matchConditions").and_then(Value::as_array).into_iter().flatten();
    let conditions: Value = conditions.map(|condition| condition["name"].clone()).collect();
    expect(
        &json!({"matchConditions": conditions}),
        ENTRY,
        "/matchConditions",
        &json!(["not-a-mirror-pod", "not-opted-out"]),
    );
    match canary {
        None => differs.push(format!("entry {CANARY} is missing")),
        Some(canary) => {
            let mut expect = |pointer: &str, expected: Value| {
                if canary.pointer(pointer) != Some(&expected) {
                    differs.push(format!("{CANARY} {}", pointer.trim_start_matches('/').replace('/', ".")));
                }
            };
            expect("/rules", rule);
            expect("/failurePolicy", json!("Fail"));
            expect("/objectSelector/matchExpressions", json!([{"key": CANARY_LABEL, "operator": "Exists"}]));
        }
    }
    if !differs.is_empty() {
        let text = format!("configuration {} is not as shipped: {}", installed.name, differs.join("; "));
        report.bad("shipped", text, "manifests/chart has it as shipped; helm upgrade brings it back");
        return;
    }
    let timeout = entry_of_pods.get("timeoutSeconds").and_then(Value::as_u64).unwrap_or_default();
    if entry_of_pods.get("failurePolicy").is_some_and(|policy| policy == "Fail") {
        let text = "failurePolicy is Fail: pods do not start where the webhook does not answer";
        report.warning("shipped", text, "guard.mode: Deny of the chart refuses only components, and cannot deadlock");
    } else if timeout > LONGEST_TIMEOUT {
        let text = format!("timeoutSeconds is {timeout}: so long may a pod wait for a webhook that does not answer");
        report.warning("shipped", text, "Set webhook.timeoutSeconds of the chart to 3");
    } else {
        report.good("shipped", "rules, selectors, match conditions and time-out are as shipped");
    }
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
