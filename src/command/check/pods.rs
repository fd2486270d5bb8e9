//! Whether Dynamo components run in a namespace that the webhook did not see, or gave nothing.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::admission::reason::Reason;
use crate::command::check::report::Report;
use crate::inspect::api::Api;
use crate::inspect::pod;
use crate::manifest::context::World;
use crate::manifest::inject;

/// Checks the components that run.
///
/// # Errors
/// The API server was not reached.
pub(super) async fn check(api: &Api, name: &str, world: &World, report: &mut Report) -> anyhow::Result<()> {
    let pods = match api.list(&format!("/api/v1/namespaces/{name}/pods")).await {
        Err(error) if error.is_forbidden() => {
            report.not_checked("injected", error.to_string());
            return Ok(());
        }
        pods => pods?,
    };
    let mut counted = Counted::default();
    for pod in pods {
        counted.add(pod, world);
    }
    counted.tell(name, report);
    Ok(())
}

/// The components of a namespace.
#[derive(Default)]
struct Counted {
    /// All of them.
    components: usize,
    /// The names of those that the webhook did not see.
    missed: Vec<String>,
    /// The names of those whose status says that nothing is in place, though nobody wished so.
    empty: Vec<String>,
}

impl Counted {
    fn add(&mut self, pod: Value, world: &World) {
        if pod::has_ended(&pod) {
            return;
        }
        let name = pod.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default().to_owned();
        let has_nothing = has_nothing(&pod);
        let Ok(changed) = inject::change(pod, world, &[], &mut BTreeSet::new()) else { return };
        if let Some(account) = changed.accounts.first().filter(|account| account.is_component()) {
            self.components += 1;
            if account.is_unreviewed {
                self.missed.push(name);
            } else if has_nothing {
                self.empty.push(name);
            }
        }
    }

    fn tell(&self, namespace: &str, report: &mut Report) {
        const CHECK: &str = "injected";
        let Counted { components, missed, empty } = self;
        if *components == 0 {
            let hint = format!("dynamo-cache preview -n {namespace} tells what its workloads would get");
            report.warning(CHECK, "no Dynamo component runs there, so nothing was injected", hint);
            return;
        }
        let Some(first) = missed.first().or(empty.first()) else {
            report.good(CHECK, format!("all its Dynamo components were seen by the webhook ({components})"));
            return;
        };
        let mut parts = Vec::new();
        if !missed.is_empty() {
            parts.push(format!("{} of {components} Dynamo components were not seen by the webhook", missed.len()));
        }
        if !empty.is_empty() {
            parts.push(format!("{} of {components} Dynamo components got no cache", empty.len()));
        }
        report.warning(CHECK, parts.join("; "), format!("dynamo-cache explain {first} -n {namespace}"));
    }
}

/// Whether a pod's status says that no cache is in place, for a reason that is not the user's own wish.
fn has_nothing(pod: &Value) -> bool {
    let Some(status) = pod::status(pod) else { return false };
    let is_wish = |reason| matches!(reason, Reason::EnvSetByUser | Reason::SkippedByUser | Reason::UserCache);
    !status.has_any() && status.skipped().any(|(_, _, reason)| !is_wish(reason))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::Counted;
    use crate::command::check::report::Report;
    use crate::manifest::context::Base;
    use crate::manifest::facts::Facts;

    fn state(report: &Report) -> (String, String, String) {
        let lines: Value = serde_json::from_str(&report.json()).unwrap();
        let text = |key: &str| lines[0][key].as_str().unwrap_or_default().to_owned();
        (text("state"), text("text"), text("hint"))
    }

    #[test]
    fn components_that_were_not_seen_or_got_nothing_are_counted_and_one_is_named() {
        let pod = |name: &str, status: Option<Value>| {
            let annotations = status.map(|status| json!({"dynamo-cache.io/status": status.to_string()}));
            json!({
                "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "annotations": annotations},
                "spec": {"containers": [{"name": "main", "image": "i", "command": ["python3", "-m", "dynamo.vllm"]}]},
            })
        };
        let full = || json!({"version": "1", "containers": {"main": ["model"]}, "skipped": []});
        let left = |reason: &str| {
            let skipped = json!([{"container": "main", "cache": "model", "reason": reason}]);
            json!({"version": "1", "containers": {"main": []}, "skipped": skipped})
        };
        let no_component = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x"},
            "spec": {"containers": [{"name": "main", "image": "i", "command": ["sleep"]}]}});
        for (pods, state_of, says, names) in [
            (vec![], "warning", "no Dynamo component", "preview -n n"),
            (vec![no_component], "warning", "no Dynamo component", "preview -n n"),
            (vec![pod("a", Some(full()))], "ok", "(1)", ""),
            (vec![pod("a", Some(left("skipped-by-user")))], "ok", "(1)", ""),
            (vec![pod("a", Some(full())), pod("b", Some(left("claim-not-found")))], "warning", "1 of 2", "explain b"),
            (vec![pod("a", Some(full())), pod("c", None)], "warning", "1 of 2 Dynamo components were not", "explain c"),
        ] {
            let world = Base::default().with(Facts::default());
            let mut counted = Counted::default();
            for pod in pods {
                counted.add(pod, &world);
            }
            let mut report = Report::default();
            counted.tell("n", &mut report);
            let (state, text, hint) = state(&report);
            assert!(state == state_of && text.contains(says) && hint.contains(names), "{state} {text}: {hint}");
        }
    }
}
