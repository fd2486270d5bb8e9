//! Checks that the webhook reviewed the Dynamo components that run in a namespace, and that they got caches.

use serde_json::Value;

use crate::admission::reason::Reason;
use crate::command::check::catalog::CheckId;
use crate::command::check::report::Report;
use crate::inspect::api::Api;
use crate::inspect::pod;
use crate::manifest::context::DecisionContext;
use crate::manifest::inject;

/// Checks the running components of a namespace.
///
/// # Errors
/// The API server was not reached.
pub(super) async fn check(api: &Api, name: &str, context: &DecisionContext, report: &mut Report) -> anyhow::Result<()> {
    let pods = match api.list(&format!("/api/v1/namespaces/{name}/pods")).await {
        Err(error) if error.is_forbidden() => {
            report.not_checked(CheckId::Pods, error.to_string());
            return Ok(());
        }
        pods => pods?,
    };
    let mut components = Components::default();
    for pod in pods {
        components.add(pod, context);
    }
    components.report(name, report);
    Ok(())
}

/// The running components of a namespace.
#[derive(Default)]
struct Components {
    /// How many there are.
    count: usize,
    /// The names of those that the webhook did not review.
    unreviewed: Vec<String>,
    /// The names of those that have no cache, for another reason than the user's request.
    empty: Vec<String>,
}

impl Components {
    fn add(&mut self, pod: Value, context: &DecisionContext) {
        if pod::has_ended(&pod) {
            return;
        }
        let name = pod.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default().to_owned();
        let has_nothing = has_nothing(&pod);
        let Ok(injected) = inject::inject(pod, context, &[]) else { return };
        if let Some(explanation) = injected.explanations.first().filter(|explanation| explanation.is_component()) {
            self.count += 1;
            if explanation.is_unreviewed {
                self.unreviewed.push(name);
            } else if has_nothing {
                self.empty.push(name);
            }
        }
    }

    fn report(&self, namespace: &str, report: &mut Report) {
        const CHECK: CheckId = CheckId::Pods;
        let Components { count, unreviewed, empty } = self;
        if *count == 0 {
            let hint = format!("dynamo-cache preview -n {namespace} shows what its workloads would get");
            report.warning(CHECK, "no Dynamo component runs here, so no pod has caches", hint);
            return;
        }
        let Some(first) = unreviewed.first().or(empty.first()) else {
            report.ok(CHECK, format!("the webhook reviewed all Dynamo components ({count})"));
            return;
        };
        let mut parts = Vec::new();
        if !unreviewed.is_empty() {
            parts.push(format!("{} of {count} Dynamo components were not reviewed by the webhook", unreviewed.len()));
        }
        if !empty.is_empty() {
            parts.push(format!("{} of {count} Dynamo components got no cache", empty.len()));
        }
        report.warning(CHECK, parts.join("; "), format!("dynamo-cache explain {first} -n {namespace}"));
    }
}

/// Whether a pod's status records no cache in place, for a reason other than the user's own request.
fn has_nothing(pod: &Value) -> bool {
    let Some(status) = pod::status(pod) else { return false };
    let is_requested = |reason| matches!(reason, Reason::EnvSetByUser | Reason::SkippedByUser | Reason::UserCache);
    !status.has_any() && status.skipped().any(|(_, _, reason)| !is_requested(reason))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::Components;
    use crate::command::check::report::Report;
    use crate::manifest::context::BaseSettings;
    use crate::manifest::facts::Facts;

    fn state(report: &Report) -> (String, String, String) {
        let lines: Value = serde_json::from_str(&report.json()).unwrap();
        let text = |key: &str| lines[0][key].as_str().unwrap_or_default().to_owned();
        (text("state"), text("text"), text("hint"))
    }

    #[test]
    fn unreviewed_and_empty_components_are_counted_and_one_is_named() {
        let pod = |name: &str, status: Option<Value>| {
            let annotations = status.map(|status| json!({"dynamo-cache.io/status": status.to_string()}));
            json!({
                "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "annotations": annotations},
                "spec": {"containers": [{"name": "main", "image": "i", "command": ["python3", "-m", "dynamo.vllm"]}]},
            })
        };
        let full = || json!({"version": "1", "containers": {"main": ["model"]}, "skipped": []});
        let skipped = |reason: &str| {
            let skipped = json!([{"container": "main", "cache": "model", "reason": reason}]);
            json!({"version": "1", "containers": {"main": []}, "skipped": skipped})
        };
        let no_component = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x"},
            "spec": {"containers": [{"name": "main", "image": "i", "command": ["sleep"]}]}});
        for (pods, state_of, says, names) in [
            (vec![], "warning", "no Dynamo component", "preview -n n"),
            (vec![no_component], "warning", "no Dynamo component", "preview -n n"),
            (vec![pod("a", Some(full()))], "ok", "(1)", ""),
            (vec![pod("a", Some(skipped("skipped-by-user")))], "ok", "(1)", ""),
            (
                vec![pod("a", Some(full())), pod("b", Some(skipped("claim-not-found")))],
                "warning",
                "1 of 2",
                "explain b",
            ),
            (vec![pod("a", Some(full())), pod("c", None)], "warning", "1 of 2 Dynamo components were not", "explain c"),
        ] {
            let context = BaseSettings::default().with(Facts::default());
            let mut components = Components::default();
            for pod in pods {
                components.add(pod, &context);
            }
            let mut report = Report::default();
            components.report("n", &mut report);
            let (state, text, hint) = state(&report);
            assert!(state == state_of && text.contains(says) && hint.contains(names), "{state} {text}: {hint}");
        }
    }
}
