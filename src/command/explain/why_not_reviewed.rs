//! Why a live pod has no status annotation.

use serde_json::Value;

use crate::admission::reason::Reason;
use crate::inspect::installation::{ENTRY, Installed, Publisher, Webhook};
use crate::inspect::opt_in::{NAME, OPT_IN, OWN_SELECTOR, label_command};
use crate::inspect::selector;
use crate::manifest::explanation::Explanation;

/// Why the webhook did not review a pod, or left no status on it.
pub(super) struct NotReviewed {
    /// The cause, without a full stop.
    pub(super) why: String,
    /// What to do, as sentences; `None` if the page already says it.
    pub(super) fix: Option<String>,
}

impl NotReviewed {
    fn new(why: impl Into<String>, fix: impl Into<String>) -> Self {
        NotReviewed { why: why.into(), fix: Some(fix.into()) }
    }
}

/// Finds the first cause that kept the webhook from reviewing the pod, or from leaving a status on it.
pub(super) fn find(
    pod: &Value,
    explanation: &Explanation,
    webhook: &Webhook,
    publisher: &Publisher,
    namespace: Option<&Value>,
) -> NotReviewed {
    if let Some(reason) = explanation.untouched.filter(|reason| reason.leaves_no_status()) {
        let why = match reason {
            Reason::MirrorPod | Reason::OptedOut if matches!(webhook, Webhook::Absent) => {
                "no webhook is installed, and a match condition would exclude the pod"
            }
            Reason::MirrorPod | Reason::OptedOut => "a match condition of the webhook excludes the pod",
            _ => "the webhook leaves no status on it",
        };
        // The page has the reason and its fix in the line above.
        return NotReviewed { why: why.to_owned(), fix: None };
    }
    let too_large = Reason::StatusTooLarge.code();
    if let Some((line, fix)) = explanation.warnings.iter().find(|(line, _)| line.contains(too_large)) {
        return NotReviewed::new(line, *fix);
    }
    let installed = match webhook {
        Webhook::Absent => {
            return NotReviewed::new(
                format!("the webhook is not installed: no MutatingWebhookConfiguration has an entry {ENTRY}"),
                "Install it; README.md has the commands. The webhook reviews pods created from then on.",
            );
        }
        Webhook::Hidden(message) => {
            return NotReviewed::new(
                format!("whether the webhook is installed is unknown: {message}"),
                "Ask someone who may list MutatingWebhookConfigurations.",
            );
        }
        Webhook::Installed(installed) => installed,
    };
    not_selected(pod, installed, namespace)
        .or_else(|| too_early(pod, installed, namespace))
        .unwrap_or_else(|| not_called(installed, publisher))
}

/// The webhook's selector matches the pod, so the call itself failed.
fn not_called(installed: &Installed, publisher: &Publisher) -> NotReviewed {
    if installed.bundle().is_none() {
        let why = format!("configuration {} has no caBundle: the API server trusts no certificate", installed.name);
        return NotReviewed::new(why, publication(installed, publisher));
    }
    NotReviewed::new(
        "everything matches now, so the webhook did not answer when the pod was created: it was down or unreachable, or \
         its certificate did not match",
        format!(
            "Check whether it answers now: dynamo-cache check. The API server's log from that time has the cause: look for \
             {ENTRY:?}. Then recreate the pod."
        ),
    )
}

/// How `caBundle` gets its content.
fn publication(installed: &Installed, publisher: &Publisher) -> String {
    let by = match publisher {
        Publisher::CertManager => "cert-manager sets it: certs/README.md".to_owned(),
        Publisher::Person => "Set it as described in certs/README.md".to_owned(),
        Publisher::Replicas => format!("Do not set it by hand: {}", installed.readiness_hint()),
        Publisher::Unknown => "certs/README.md describes who sets it".to_owned(),
    };
    format!("{by}; then recreate the pod.")
}

/// A selector of the webhook's entry that does not match.
fn not_selected(pod: &Value, installed: &Installed, namespace: Option<&Value>) -> Option<NotReviewed> {
    let name = pod.pointer("/metadata/namespace").and_then(Value::as_str).unwrap_or_default();
    let mismatch = |selector: &str, labels: Option<&Value>| {
        installed.entry.get(selector).and_then(|selector| selector::mismatch(selector, labels))
    };
    if let Some(namespace) = namespace
        && let Some(mismatch) = mismatch("namespaceSelector", namespace.pointer("/metadata/labels"))
    {
        let fix = if mismatch.contains(OPT_IN) {
            format!("{}, then recreate the pod.", label_command(name))
        } else if mismatch.contains(NAME) {
            "Run Dynamo pods in another namespace: the webhook never touches this one.".to_owned()
        } else {
            format!("{OWN_SELECTOR}; then recreate the pod.")
        };
        return Some(NotReviewed::new(format!("namespace {name} is not selected: {mismatch}"), fix));
    }
    let mismatch = mismatch("objectSelector", pod.pointer("/metadata/labels"))?;
    let why = format!("objectSelector of configuration {} does not select the pod: {mismatch}", installed.name);
    Some(NotReviewed::new(why, "The chart sets no objectSelector: remove it, or label the pod."))
}

/// A pod that is older than the webhook or than the namespace's label.
fn too_early(pod: &Value, installed: &Installed, namespace: Option<&Value>) -> Option<NotReviewed> {
    const CREATED: &str = "/metadata/creationTimestamp";
    // The API server writes all times in UTC with whole seconds, so they sort as text.
    let created = |object: &Value| object.pointer(CREATED).and_then(Value::as_str).map(str::to_owned);
    let pod = created(pod)?;
    let fix = "Recreate the pod.";
    if let Some(since) = created(&installed.configuration).filter(|since| pod < *since) {
        let why = format!("the pod was created at {pod}, before the webhook was installed at {since}");
        return Some(NotReviewed::new(why, fix));
    }
    let since = labelled_at(namespace?).filter(|since| pod < *since)?;
    // The owner of the label may have changed another field later, so the time is only an upper bound.
    let why = format!(
        "the pod was created at {pod}, perhaps before the namespace was labelled, at {since} or earlier; otherwise the \
         webhook did not answer at that time"
    );
    Some(NotReviewed::new(why, fix))
}

/// When the field manager of the namespace's opt-in label last changed the namespace; the earliest if several own the label.
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
    fn a_bundle_that_the_replicas_publish_is_not_to_be_set_by_hand() {
        let service = json!({"name": "mine", "namespace": "caches"});
        let configuration = json!({"webhooks": [{"name": ENTRY, "clientConfig": {"service": service}}]});
        let installed = Installed::from_configuration(configuration).unwrap();
        assert_eq!(installed.bundle(), None);
        let replicas = publication(&installed, &Publisher::Replicas);
        let asks = "check that they are ready: kubectl get deployment mine -n caches; then recreate the pod.";
        assert!(replicas.ends_with(asks) && !replicas.contains("certs/"), "{replicas}");
        for publisher in [Publisher::CertManager, Publisher::Person, Publisher::Unknown] {
            assert!(publication(&installed, &publisher).contains("certs/README.md"));
        }
    }
}
