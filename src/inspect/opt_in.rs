//! Whether the webhook's namespace selector matches a namespace, and what to do if it does not.

use serde_json::{Value, json};

use crate::inspect::installation::Webhook;
use crate::inspect::selector;

/// The label by which a namespace opts in.
pub(crate) const OPT_IN: &str = "dynamo-cache.io/inject";

/// The label with its name that the API server sets on every namespace.
pub(crate) const NAME: &str = "kubernetes.io/metadata.name";

/// What to do if a selector other than the default one does not match.
pub(crate) const OWN_SELECTOR: &str =
    "Set the labels that webhook.namespaceSelector of the chart requires on the namespace, or change that value";

/// Why the webhook's selector excludes a namespace, and what to do.
#[derive(Debug)]
pub(crate) struct Exclusion {
    /// The label that does not match.
    pub(crate) why: String,
    /// A command, or a sentence.
    pub(crate) fix: String,
    /// Whether setting the opt-in label is enough.
    pub(crate) is_label: bool,
    /// Whether the namespace is excluded by its name, so that no label helps.
    pub(crate) is_never: bool,
}

/// Why the webhook's selector excludes a namespace; `None` if it matches. `object` is the Namespace, if it could be read.
pub(crate) fn exclusion_reason(webhook: &Webhook, name: &str, object: Option<&Value>) -> Option<Exclusion> {
    let selector = &selector_of(webhook);
    let labels = object.and_then(|object| object.pointer("/metadata/labels")?.as_object());
    let mut labels = labels.cloned().unwrap_or_default();
    labels.insert(NAME.to_owned(), name.into());
    let labels_of = |labels: &serde_json::Map<String, Value>| Value::Object(labels.clone());
    let now = selector::mismatch(selector, Some(&labels_of(&labels)))?;
    labels.insert(OPT_IN.to_owned(), "enabled".into());
    Some(match selector::mismatch(selector, Some(&labels_of(&labels))) {
        None => Exclusion { why: now, fix: label_command(name), is_label: true, is_never: false },
        Some(why) if why.contains(NAME) => {
            let fix =
                "Run Dynamo pods in another namespace: the webhook never touches this one, whatever its labels are";
            Exclusion { why, fix: fix.to_owned(), is_label: false, is_never: true }
        }
        Some(why) => Exclusion { why, fix: OWN_SELECTOR.to_owned(), is_label: false, is_never: false },
    })
}

/// The installed namespace selector, else the chart's default.
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

/// Whether a namespace has the opt-in label, whatever the selector requires.
pub(crate) fn is_labelled(object: &Value) -> bool {
    let labels = object.pointer("/metadata/labels");
    labels.and_then(|labels| labels.get(OPT_IN)).is_some_and(|value| value == "enabled")
}

/// The participle for "no namespace is …" if the selector matches no namespace, and what to do.
pub(crate) fn no_webhook_hint(webhook: &Webhook) -> (&'static str, String) {
    let helps = exclusion_reason(webhook, "NAMESPACE", None).is_none_or(|exclusion| exclusion.is_label);
    if helps { ("labelled", label_command("NAMESPACE")) } else { ("selected", OWN_SELECTOR.to_owned()) }
}

/// The command that sets the opt-in label on a namespace.
pub(crate) fn label_command(name: &str) -> String {
    format!("kubectl label namespace {name} {OPT_IN}=enabled --overwrite")
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{OWN_SELECTOR, exclusion_reason, label_command, no_webhook_hint};
    use crate::inspect::installation::{ENTRY, Installed, Webhook};

    fn installed(selector: &Value) -> Webhook {
        let configuration = json!({"webhooks": [{"name": ENTRY, "namespaceSelector": selector}]});
        Webhook::Installed(Installed::from_configuration(configuration).unwrap())
    }

    #[test]
    fn the_label_is_advised_only_where_it_helps() {
        let shipped = installed(&json!({
            "matchLabels": {"dynamo-cache.io/inject": "enabled"},
            "matchExpressions": [
                {"key": "kubernetes.io/metadata.name", "operator": "NotIn", "values": ["dynamo-cache", "mine"]},
            ],
        }));
        let of = |webhook: &Webhook, name: &str, label: Option<&str>| {
            let labels = label.map(|value| json!({"dynamo-cache.io/inject": value})).unwrap_or_default();
            exclusion_reason(webhook, name, Some(&json!({"metadata": {"labels": labels}})))
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
                assert!(found.is_never && found.fix.contains("never touches") && found.why.contains(name), "{found:?}");
            }
        }
        assert!(of(&Webhook::Absent, "kube-system", None).unwrap().is_never);
        assert!(of(&Webhook::Absent, "models", None).unwrap().is_label);
        assert!(!of(&Webhook::Absent, "models", None).unwrap().is_never);
        assert!(exclusion_reason(&shipped, "models", None).unwrap().is_label);
        let another = installed(&json!({"matchLabels": {"team": "a"}}));
        assert!(of(&another, "models", None).unwrap().fix.contains("webhook.namespaceSelector"));
        assert!(of(&another, "models", Some("enabled")).is_some(), "the label alone does not help");
        assert_eq!(no_webhook_hint(&another), ("selected", OWN_SELECTOR.to_owned()));
        assert_eq!(no_webhook_hint(&shipped), ("labelled", label_command("NAMESPACE")));
        assert!(of(&installed(&json!({})), "models", None).is_none());
    }
}
