//! What an event on the pod's owner says: a reason why something was skipped, where, and what to do.

use std::collections::BTreeSet;

use super::Outcome;
use super::cache::Skipped;
use super::reason::Reason;
use super::warning::{Warning, name_or};

/// Most bytes in the text: the API server refuses an event whose note has more.
const MOST_BYTES: usize = 1024;

/// One reason of one decision, for the owner of the pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventNote {
    /// What happened.
    pub reason: Reason,
    /// Whether the user should act on it: what is a warning at kubectl. The others only explain.
    pub is_warning: bool,
    /// The event's text, at most 1,024 bytes. The pod is not named: its siblings have the same text. Words of its author are in it only as
    /// names that Kubernetes takes for a container, a claim or an annotation, since the reader of an event did not write the pod.
    pub text: String,
}

/// The events for the owner of a pod, one for each reason; none where nothing was skipped, at no cost.
///
/// They say what the warnings say to the creator of a bare pod, and name every cache that is not in place but for those that
/// the user asked to skip. Untouched pods have none: there is nothing to do.
pub fn event_notes(outcome: &Outcome<'_>) -> Vec<EventNote> {
    let skipped = outcome.skipped.iter().map(|skipped| skipped.reason);
    let skipped = skipped.filter(|reason| *reason != Reason::SkippedByUser);
    let warned = outcome.warnings.iter().map(|warning| warning.reason);
    let mut reasons: Vec<_> = skipped.chain(warned).collect();
    reasons.sort_unstable();
    reasons.dedup();
    reasons.into_iter().map(|reason| note(reason, outcome)).collect()
}

fn note(reason: Reason, outcome: &Outcome<'_>) -> EventNote {
    let skipped: Vec<_> = outcome.skipped.iter().filter(|skipped| skipped.reason == reason).collect();
    let mut warnings = outcome.warnings.iter().filter(|warning| warning.reason == reason).peekable();
    let is_warning = warnings.peek().is_some();
    // The line about a cache says more than a warning about the same.
    let said = skipped.iter().filter_map(|skipped| Warning::cache_skipped(skipped));
    let said: BTreeSet<_> = said.map(|warning| warning.text).collect();
    let code = format!(" [{reason}]");
    let beside = warnings.filter(|warning| !said.contains(&warning.text));
    let beside = beside.map(|warning| warning.impartial.clone());
    let locations: Vec<_> = skipped.iter().map(|skipped| location(skipped)).chain(beside).collect();
    let end = format!(": {}{code}. {}", reason.sentence(), reason.fix());
    let mut text = locations.join("; ");
    if text.len() + end.len() > MOST_BYTES {
        let mut room = MOST_BYTES - end.len() - '…'.len_utf8();
        while !text.is_char_boundary(room) {
            room -= 1;
        }
        text.truncate(room);
        text.push('…');
    }
    EventNote { reason, is_warning, text: text + &end }
}

fn location(skipped: &Skipped<'_>) -> String {
    let claim = skipped.claim.as_ref().filter(|_| skipped.reason.concerns_claim());
    let claim = claim.map(|claim| format!(" (claim {claim})")).unwrap_or_default();
    format!("container {} without {}{claim}", name_or(skipped.container, "…"), skipped.cache)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::Evaluation;
    use super::super::claim::{Claim, Claims};
    use super::super::pod::Pod;
    use super::super::settings::Settings;
    use super::{EventNote, MOST_BYTES, event_notes};

    fn notes(annotations: &Value, containers: &Value, claims: &[&str]) -> Vec<EventNote> {
        let pod = json!({"metadata": {"annotations": annotations}, "spec": {"containers": containers}}).to_string();
        let pod: Pod<'_> = serde_json::from_str(&pod).unwrap();
        let settings = Settings::default();
        let claims: Claims = claims.iter().map(|name| ((*name).to_owned(), Claim::default())).collect();
        event_notes(&Evaluation::new(&pod, &settings, &[]).decide(&claims))
    }

    fn worker(name: &str) -> Value {
        json!({"name": name, "command": ["python3", "-m", "dynamo.vllm"]})
    }

    const BOTH: [&str; 2] = ["model-cache", "compilation-cache"];

    #[test]
    fn a_reason_is_one_event_with_every_container_and_a_fix() {
        let [note] = notes(&json!({}), &json!([worker("main")]), &[]).try_into().unwrap();
        assert!(note.is_warning);
        let text = "container main without model (claim model-cache); container main without compile (claim \
                    compilation-cache): the claim is not in the pod's namespace [claim-not-found]. Create the claim \
                    (manifests/examples/claims.yaml) or name another, then restart the pods.";
        assert_eq!(note.text, text);
    }

    #[test]
    fn a_cache_of_the_user_explains_and_a_skipped_one_has_no_event() {
        let mut own = worker("main");
        own["env"] = json!([{"name": "HF_HOME", "value": "/own"}, {"name": "HF_HUB_CACHE", "value": "/own"}]);
        let codes = |event_notes: Vec<EventNote>| {
            event_notes.iter().map(|note| (note.reason.code(), note.is_warning)).collect::<Vec<_>>()
        };
        assert_eq!(codes(notes(&json!({}), &json!([own]), &BOTH)), [("env-set-by-user", false)]);
        let skip = json!({"dynamo-cache.io/skip": "model,compile"});
        assert_eq!(codes(notes(&skip, &json!([worker("main")]), &[])), []);
        let misspelt = json!({"dynamo-cache.io/model-clam": "x"});
        let [note] = notes(&misspelt, &json!([worker("main")]), &BOTH).try_into().unwrap();
        assert!(note.is_warning);
        let text = "dynamo-cache.io/model-clam is unknown; model-claim?: no setting has this name [annotation-unknown]";
        assert!(note.text.starts_with(text), "{}", note.text);
    }

    #[test]
    fn a_pod_with_all_caches_and_an_untouched_pod_have_no_event() {
        assert_eq!(notes(&json!({}), &json!([worker("main")]), &BOTH), []);
        assert_eq!(notes(&json!({"dynamo-cache.io/inject": "false"}), &json!([worker("main")]), &[]), []);
        assert_eq!(notes(&json!({"nvidia.com/restore-from": "x"}), &json!([worker("main")]), &[]), []);
    }

    #[test]
    fn a_text_has_no_words_of_the_pods_author_but_names() {
        const WORDS: &str = "Call +1 555 evil";
        let annotations = json!({
            "dynamo-cache.io/containers": format!("main,{WORDS},gone"),
            "dynamo-cache.io/model-claim": WORDS,
            "dynamo-cache.io/model-mount-path": WORDS,
            "dynamo-cache.io/engine": WORDS,
            "dynamo-cache.io/load-format": WORDS,
            "dynamo-cache.io/model-express-url": "mx:1",
            format!("dynamo-cache.io/{WORDS}"): WORDS,
        });
        let mut asks = worker(WORDS);
        asks["env"] = json!([{"name": "VLLM_LOAD_FORMAT", "value": WORDS}]);
        for containers in [json!([worker("main"), asks]), json!([worker(WORDS)])] {
            let event_notes = notes(&annotations, &containers, &[]);
            assert!(event_notes.len() >= 4, "{event_notes:#?}");
            for note in &event_notes {
                assert!(!note.text.contains("evil") && !note.text.contains("Call"), "{}", note.text);
            }
            assert!(event_notes.iter().any(|note| note.text.contains("no container \"gone\"")), "a name stays");
        }
    }

    #[test]
    fn a_text_fits_and_keeps_its_end() {
        let many: Vec<_> = (0..40).map(|number| worker(&format!("worker-{number}"))).collect();
        let [note] = notes(&json!({}), &json!(many), &[]).try_into().unwrap();
        assert!(note.text.len() <= MOST_BYTES && note.text.len() > MOST_BYTES - 8, "{}", note.text.len());
        assert!(note.text.contains("…: the claim is not") && note.text.ends_with("then restart the pods."));
    }
}
