//! Why a live pod has no status of ours.

use serde_json::Value;

use crate::admission::reason::Reason;
use crate::inspect::installation::{ENTRY, Installed, Publisher, Webhook};
use crate::inspect::opt_in::{NAME, OWN_SELECTOR};
use crate::inspect::selector;
use crate::manifest::explanation::Account;

/// What happened, and what to do.
pub(super) struct Unseen {
    /// What happened, as a sentence.
    pub(super) why: String,
    /// What to do, as an imperative sentence; none where the page has said it.
    pub(super) fix: Option<String>,
}

/// What a namespace without the label lacks.
const OPT_IN: &str = "dynamo-cache.io/inject";

/// Finds the first thing that kept the webhook from being asked, or from leaving a status.
pub(super) fn why(
    pod: &Value,
    account: &Account,
    webhook: &Webhook,
    publisher: &Publisher,
    namespace: Option<&Value>,
) -> Unseen {
    let say = |why: String, fix: &str| Unseen { why, fix: Some(fix.to_owned()) };
    if let Some(reason) = account.left_alone {
        let about = match reason {
            Reason::MirrorPod | Reason::OptedOut if matches!(webhook, Webhook::Absent) => {
                "no webhook is installed, and a match condition would keep it from one"
            }
            Reason::MirrorPod | Reason::OptedOut => "a match condition keeps it from the webhook",
            Reason::NotAComponent => "the webhook leaves no status on it",
            _ => "the webhook would leave it alone, and say so",
        };
        if reason.leaves_no_status() {
            // The reason itself, and what to do, stand above it.
            return Unseen { why: about.to_owned(), fix: None };
        }
    }
    if let Some((line, fix)) = account.warnings.iter().find(|(line, _)| line.contains(Reason::StatusTooLarge.code())) {
        return say(line.clone(), fix);
    }
    let installed = match webhook {
        Webhook::Absent => {
            let why = format!("the webhook is not installed: no MutatingWebhookConfiguration has an entry {ENTRY}");
            return say(why, "Install it; README.md has the commands. Pods created from then on are seen.");
        }
        Webhook::Hidden(sentence) => {
            let why = format!("whether the webhook is installed may not be seen: {sentence}");
            return say(why, "Ask somebody who may list MutatingWebhookConfigurations.");
        }
        Webhook::Installed(installed) => installed,
    };
    not_selected(pod, installed, namespace).or_else(|| too_early(pod, installed, namespace)).unwrap_or_else(|| {
        if installed.bundle().is_none() {
            let why = format!("configuration {} has no caBundle: the API server trusts no certificate", installed.name);
            return say(why, &publication(installed, publisher));
        }
        let why = "all of it fits now, so the webhook did not answer when the pod was created: it was down or not \
                   reachable, or its certificate did not fit"
            .to_owned();
        let fix = format!(
            "Whether it answers now: dynamo-cache check. What it was then: {ENTRY:?} in the API server's log of that time. \
             Then have the pod made anew."
        );
        say(why, &fix)
    })
}

/// How `caBundle` comes to be set.
fn publication(installed: &Installed, publisher: &Publisher) -> String {
    let by = match publisher {
        Publisher::CertManager => "cert-manager sets it: certs/README.md".to_owned(),
        Publisher::Person => "Set it as certs/README.md says".to_owned(),
        Publisher::Replicas => format!("Nobody sets it by hand, {}", installed.are_replicas_ready()),
        Publisher::Unknown => "Who sets it says certs/README.md".to_owned(),
    };
    format!("{by}; then have the pod made anew.")
}

/// A selector that does not match.
fn not_selected(pod: &Value, installed: &Installed, namespace: Option<&Value>) -> Option<Unseen> {
    let name = pod.pointer("/metadata/namespace").and_then(Value::as_str).unwrap_or_default();
    let refused = |selector: &str, labels: Option<&Value>| {
        installed.entry.get(selector).and_then(|selector| selector::refusal(selector, labels))
    };
    if let Some(namespace) = namespace
        && let Some(refusal) = refused("namespaceSelector", namespace.pointer("/metadata/labels"))
    {
        let why = format!("namespace {name} is not selected: its {refusal}");
        let fix = if refusal.contains(OPT_IN) {
            format!("kubectl label namespace {name} {OPT_IN}=enabled --overwrite, then have the pod made anew.")
        } else if refusal.contains(NAME) {
            "Dynamo pods belong into another namespace; this one is never touched.".to_owned()
        } else {
            format!("{OWN_SELECTOR}; then have the pod made anew.")
        };
        return Some(Unseen { why, fix: Some(fix) });
    }
    let refusal = refused("objectSelector", pod.pointer("/metadata/labels"))?;
    let why = format!("the pod is not selected by objectSelector of configuration {}: its {refusal}", installed.name);
    let fix = "The chart sets no objectSelector: remove it, or label the pod.".to_owned();
    Some(Unseen { why, fix: Some(fix) })
}

/// A pod that is older than what would have sent it.
fn too_early(pod: &Value, installed: &Installed, namespace: Option<&Value>) -> Option<Unseen> {
    const CREATED: &str = "/metadata/creationTimestamp";
    // Times of the API server are of one form, in UTC and whole seconds, so their text is in their order.
    let created = |object: &Value| object.pointer(CREATED).and_then(Value::as_str).map(str::to_owned);
    let pod = created(pod)?;
    let fix = Some("Have the pod made anew.".to_owned());
    if let Some(since) = created(&installed.configuration).filter(|since| pod < *since) {
        let why = format!("the pod was created at {pod}, before the webhook was installed at {since}");
        return Some(Unseen { why, fix });
    }
    let since = labelled_at(namespace?).filter(|since| pod < *since)?;
    // Whoever set the label may have changed something else since.
    let why = format!(
        "the pod was created at {pod}, perhaps before the namespace was labelled, at {since} or before; else the webhook \
         did not answer then"
    );
    Some(Unseen { why, fix })
}

/// When whoever owns the namespace's label last changed the namespace.
fn labelled_at(namespace: &Value) -> Option<String> {
    let managers = namespace.pointer("/metadata/managedFields")?.as_array()?;
    let owns = |manager: &&Value| {
        let labels = manager.pointer("/fieldsV1/f:metadata/f:labels");
        labels.is_some_and(|labels| labels.get(format!("f:{OPT_IN}")).is_some())
    };
    managers.iter().filter(owns).filter_map(|manager| manager.get("time")?.as_str()).min().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::publication;
    use crate::inspect::installation::{ENTRY, Installed, Publisher};

    #[test]
    fn nobody_is_told_to_set_what_the_replicas_publish() {
        let service = json!({"name": "mine", "namespace": "caches"});
        let configuration = json!({"webhooks": [{"name": ENTRY, "clientConfig": {"service": service}}]});
        let installed = Installed::of(configuration).unwrap();
        assert_eq!(installed.bundle(), None);
        let replicas = publication(&installed, &Publisher::Replicas);
        let asks = "are they ready? kubectl get deployment mine -n caches; then have the pod made anew.";
        assert!(replicas.ends_with(asks) && !replicas.contains("certs/"), "{replicas}");
        for publisher in [Publisher::CertManager, Publisher::Person, Publisher::Unknown] {
            assert!(publication(&installed, &publisher).contains("certs/README.md"));
        }
    }
}
