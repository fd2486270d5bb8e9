//! Whether the webhook is asked about the pods of a namespace, and what to do where it is not.

use serde_json::{Value, json};

use crate::inspect::installation::Webhook;
use crate::inspect::selector;

/// The label by which a namespace asks for caches.
const OPT_IN: &str = "dynamo-cache.io/inject";

/// The label that the API server gives to each namespace.
pub(crate) const NAME: &str = "kubernetes.io/metadata.name";

/// What to do where another selector than the shipped one does not fit.
pub(crate) const OWN_SELECTOR: &str =
    "Give the namespace the labels that webhook.namespaceSelector of the chart asks for, or change the value";

/// Why the webhook is not asked, and what to do.
#[derive(Debug)]
pub(crate) struct NotAsked {
    /// What of its labels does not fit.
    pub(crate) why: String,
    /// What to do: a command, or a sentence.
    pub(crate) fix: String,
    /// Whether the label alone is missing.
    pub(crate) is_label: bool,
    /// Whether it is excluded by its name, so that no label helps.
    pub(crate) is_never: bool,
}

/// Why the webhook is not asked about a namespace's pods; none: it is. `object` is the namespace, where it could be read.
pub(crate) fn not_asked(webhook: &Webhook, name: &str, object: Option<&Value>) -> Option<NotAsked> {
    let selector = &selector_of(webhook);
    let labels = object.and_then(|object| object.pointer("/metadata/labels")?.as_object());
    let mut labels = labels.cloned().unwrap_or_default();
    labels.insert(NAME.to_owned(), name.into());
    let labels_of = |labels: &serde_json::Map<String, Value>| Value::Object(labels.clone());
    let now = selector::refusal(selector, Some(&labels_of(&labels)))?;
    labels.insert(OPT_IN.to_owned(), "enabled".into());
    Some(match selector::refusal(selector, Some(&labels_of(&labels))) {
        None => NotAsked { why: now, fix: command(name), is_label: true, is_never: false },
        Some(why) if why.contains(NAME) => {
            let fix = "Dynamo pods belong into another namespace: this one is never touched, whatever its label says";
            NotAsked { why, fix: fix.to_owned(), is_label: false, is_never: true }
        }
        Some(why) => NotAsked { why, fix: OWN_SELECTOR.to_owned(), is_label: false, is_never: false },
    })
}

/// The selector of namespaces: the installed one, else what the chart ships.
fn selector_of(webhook: &Webhook) -> Value {
    match webhook {
        Webhook::Installed(installed) => installed.entry.get("namespaceSelector").cloned().unwrap_or_default(),
        Webhook::Absent | Webhook::Hidden(_) => json!({
            "matchLabels": {OPT_IN: "enabled"},
            "matchExpressions": [
                {"key": NAME, "operator": "NotIn", "values": ["kube-system", "kube-public", "kube-node-lease"]},
            ],
        }),
    }
}

/// Whether a namespace has the label, whatever the selector asks for.
pub(crate) fn is_labelled(object: &Value) -> bool {
    let labels = object.pointer("/metadata/labels");
    labels.and_then(|labels| labels.get(OPT_IN)).is_some_and(|value| value == "enabled")
}

/// What no namespace is where the webhook is asked about none, and what to do.
pub(crate) fn nobody(webhook: &Webhook) -> (&'static str, String) {
    let helps = not_asked(webhook, "NAMESPACE", None).is_none_or(|not_asked| not_asked.is_label);
    if helps { ("labelled", command("NAMESPACE")) } else { ("selected", OWN_SELECTOR.to_owned()) }
}

/// The command that has a namespace ask for caches, whatever the label said before.
pub(crate) fn command(name: &str) -> String {
    format!("kubectl label namespace {name} {OPT_IN}=enabled --overwrite")
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{OWN_SELECTOR, command, nobody, not_asked};
    use crate::inspect::installation::{ENTRY, Installed, Webhook};

    fn installed(selector: &Value) -> Webhook {
        let configuration = json!({"webhooks": [{"name": ENTRY, "namespaceSelector": selector}]});
        Webhook::Installed(Installed::of(configuration).unwrap())
    }

    #[test]
    fn the_label_is_advised_where_it_helps_and_nowhere_else() {
        let shipped = installed(&json!({
            "matchLabels": {"dynamo-cache.io/inject": "enabled"},
            "matchExpressions": [
                {"key": "kubernetes.io/metadata.name", "operator": "NotIn", "values": ["dynamo-cache", "mine"]},
            ],
        }));
        let of = |webhook: &Webhook, name: &str, label: Option<&str>| {
            let labels = label.map(|value| json!({"dynamo-cache.io/inject": value})).unwrap_or_default();
            not_asked(webhook, name, Some(&json!({"metadata": {"labels": labels}})))
        };
        assert!(of(&shipped, "models", Some("enabled")).is_none());
        for label in [None, Some("disabled")] {
            let found = of(&shipped, "models", label).unwrap();
            let command = "kubectl label namespace models dynamo-cache.io/inject=enabled --overwrite";
            assert!(found.is_label && found.fix == command, "{found:?}");
        }
        for label in [None, Some("disabled"), Some("enabled")] {
            for name in ["mine", "dynamo-cache"] {
                let found = of(&shipped, name, label).unwrap();
                assert!(found.is_never && found.fix.contains("never touched") && found.why.contains(name), "{found:?}");
            }
        }
        assert!(of(&Webhook::Absent, "kube-system", None).unwrap().is_never);
        assert!(of(&Webhook::Absent, "models", None).unwrap().is_label);
        assert!(!of(&Webhook::Absent, "models", None).unwrap().is_never);
        assert!(not_asked(&shipped, "models", None).unwrap().is_label);
        let another = installed(&json!({"matchLabels": {"team": "a"}}));
        assert!(of(&another, "models", None).unwrap().fix.contains("webhook.namespaceSelector"));
        assert!(of(&another, "models", Some("enabled")).is_some(), "the label alone does not help");
        assert_eq!(nobody(&another), ("selected", OWN_SELECTOR.to_owned()));
        assert_eq!(nobody(&shipped), ("labelled", command("NAMESPACE")));
        assert!(of(&installed(&json!({})), "models", None).is_none());
    }
}
