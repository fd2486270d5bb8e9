//! What there is to tell of a decision, in words for a person.

use crate::admission::Outcome;
use crate::admission::warning::Warning;

/// An annotation of ours that stands where it has no effect: whose, and which.
pub(crate) fn ignored((name, annotation): &(String, String)) -> String {
    about(name, &Warning::annotation_ignored(annotation))
}

/// What was left out of a pod or template, and what the user should act on, a line each.
pub(crate) fn outcome(name: &str, outcome: &Outcome<'_>) -> Vec<String> {
    let mut lines = Vec::new();
    if let Some(reason) = outcome.untouched {
        lines.push(format!("{name}: left alone: {} [{reason}]. {}", reason.sentence(), reason.fix()));
    }
    for skipped in &outcome.skipped {
        let (container, cache, reason) = (skipped.container, skipped.cache, skipped.reason);
        let claim = skipped.claim.as_ref().filter(|_| reason.concerns_claim());
        let claim = claim.map(|claim| format!(" (claim {claim})")).unwrap_or_default();
        let (sentence, fix) = (reason.sentence(), reason.fix());
        lines.push(format!("{name}: container {container} without {cache}: {sentence}{claim} [{reason}]. {fix}"));
    }
    // The line above says more than a warning about the same.
    let said: Vec<_> = outcome.skipped.iter().filter_map(Warning::cache_skipped).collect();
    lines.extend(outcome.warnings.iter().filter(|warning| !said.contains(warning)).map(|warning| about(name, warning)));
    lines
}

fn about(name: &str, warning: &Warning) -> String {
    format!("{name}: {}. {}", warning.text, warning.reason.fix())
}
