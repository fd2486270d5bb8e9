//! Checks that the webhook reviewed the Dynamo components that run in a namespace, and that they got caches.

use crate::admission::pod::Pod;
use crate::admission::reason::Reason;
use crate::admission::status::Status;
use crate::command::check::catalog::CheckId;
use crate::command::check::report::Report;
use crate::command::check::space::Nodes;
use crate::inspect::api::{Api, Item};
use crate::inspect::identity::Users;
use crate::inspect::pod::Head;
use crate::inspect::volume::Mounts;
use crate::manifest::context::DecisionContext;
use crate::manifest::explanation::Explanation;

/// What the checks ask of the pods of a namespace that have not ended; nothing if they are not known.
#[derive(Default)]
pub(super) struct Pods {
    /// Why the user may not list them.
    hidden: Option<String>,
    /// The Dynamo components among them.
    components: Components,
    /// The users of the components, without those that the webhook never touches.
    pub(super) users: Users,
    /// The claims that the pods mount.
    pub(super) mounts: Mounts,
    /// The nodes where they run.
    pub(super) nodes: Nodes,
}

impl Pods {
    /// Reads the pods of a namespace.
    ///
    /// # Errors
    /// The API server was not reached.
    pub(super) async fn read(api: &Api, name: &str, context: &DecisionContext) -> anyhow::Result<Pods> {
        let (mut pods, mut pages) = (Pods::default(), api.pages(&format!("/api/v1/namespaces/{name}/pods")));
        loop {
            match pages.next().await {
                Err(error) if error.is_forbidden() => {
                    return Ok(Pods { hidden: Some(error.to_string()), ..Pods::default() });
                }
                page => match page? {
                    Some(page) => page.items().for_each(|item| pods.add(item, context)),
                    None => return Ok(pods),
                },
            }
        }
    }

    fn add(&mut self, item: Item<'_>, context: &DecisionContext) {
        let Some(head) = item.view::<Head<'_>>().filter(|head| !head.has_ended()) else { return };
        let Some(pod) = item.view::<Pod<'_>>() else { return };
        self.mounts.add(&pod);
        if head.is_running() {
            self.nodes.add(item, &pod);
        }
        let explanation = Explanation::of_pod(&pod, context);
        if explanation.untouched.is_none() {
            item.object().iter().for_each(|object| self.users.add(object));
        }
        self.components.add(&pod, &explanation);
    }

    /// Reports whether the webhook reviewed the components.
    pub(super) fn report(self, namespace: &str, report: &mut Report) {
        match self.hidden {
            Some(why) => report.not_checked(CheckId::Pods, why),
            None => self.components.report(namespace, report),
        }
    }
}

/// The running components of a namespace.
#[derive(Default)]
struct Components {
    /// How many there are.
    count: usize,
    /// Those that the webhook did not review.
    unreviewed: Named,
    /// Those that have no cache, for another reason than the user's request.
    empty: Named,
}

/// Some of the components.
#[derive(Default)]
struct Named {
    /// How many there are.
    count: usize,
    /// The name of the first.
    first: Option<String>,
}

impl Named {
    fn add(&mut self, name: &str) {
        self.count += 1;
        self.first.get_or_insert_with(|| name.to_owned());
    }
}

impl Components {
    fn add(&mut self, pod: &Pod<'_>, explanation: &Explanation) {
        if !explanation.is_component() {
            return;
        }
        self.count += 1;
        let name = || pod.metadata.as_ref().and_then(|metadata| metadata.name.as_deref()).unwrap_or_default();
        if explanation.is_unreviewed {
            self.unreviewed.add(name());
        } else if has_nothing(pod) {
            self.empty.add(name());
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
        let Some(first) = unreviewed.first.as_ref().or(empty.first.as_ref()) else {
            report.ok(CHECK, format!("the webhook reviewed all Dynamo components ({count})"));
            return;
        };
        let mut parts = Vec::new();
        if unreviewed.count > 0 {
            parts.push(format!("{} of {count} Dynamo components were not reviewed by the webhook", unreviewed.count));
        }
        if empty.count > 0 {
            parts.push(format!("{} of {count} Dynamo components got no cache", empty.count));
        }
        report.warning(CHECK, parts.join("; "), format!("dynamo-cache explain {first} -n {namespace}"));
    }
}

/// Whether a pod's status records no cache in place, for a reason other than the user's own request.
fn has_nothing(pod: &Pod<'_>) -> bool {
    let Some(status) = Status::of_pod(pod) else { return false };
    let is_requested = |reason| matches!(reason, Reason::EnvSetByUser | Reason::SkippedByUser | Reason::UserCache);
    !status.has_any() && status.skipped().any(|(_, _, reason)| !is_requested(reason))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::Components;
    use crate::command::check::report::Report;
    use crate::manifest::context::BaseSettings;
    use crate::manifest::explanation::Explanation;
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
            for text in pods.iter().map(Value::to_string) {
                let pod = serde_json::from_str(&text).unwrap();
                components.add(&pod, &Explanation::of_pod(&pod, &context));
            }
            let mut report = Report::default();
            components.report("n", &mut report);
            let (state, text, hint) = state(&report);
            assert!(state == state_of && text.contains(says) && hint.contains(names), "{state} {text}: {hint}");
        }
    }
}
