//! Lines for a person about the outcome of one pod or pod template.

use crate::admission::Outcome;
use crate::admission::warning::Warning;

/// The line about an annotation of dynamo-cache that has no effect where it is: object and annotation.
pub(crate) fn ignored((name, annotation): &(String, String)) -> String {
    about(name, &Warning::annotation_ignored(annotation))
}

/// One line per skipped cache and per warning; the reason if the whole pod is untouched.
pub(crate) fn outcome(name: &str, outcome: &Outcome<'_>) -> Vec<String> {
    let mut lines = Vec::new();
    if let Some(reason) = outcome.untouched {
        lines.push(format!("{name}: untouched: {} [{reason}]. {}", reason.sentence(), reason.fix()));
    }
    for skipped in &outcome.skipped {
        let (container, cache, reason) = (skipped.container, skipped.cache, skipped.reason);
        let claim = skipped.claim.as_ref().filter(|_| reason.concerns_claim());
        let claim = claim.map(|claim| format!(" (claim {claim})")).unwrap_or_default();
        let (sentence, fix) = (reason.sentence(), reason.fix());
        lines.push(format!("{name}: container {container} without {cache}: {sentence}{claim} [{reason}]. {fix}"));
    }
    // The line of a skipped cache says more than the warning about it.
    let covered: Vec<_> = outcome.skipped.iter().filter_map(Warning::cache_skipped).collect();
    lines.extend(
        outcome.warnings.iter().filter(|warning| !covered.contains(warning)).map(|warning| about(name, warning)),
    );
    lines
}

fn about(name: &str, warning: &Warning) -> String {
    format!("{name}: {}. {}", warning.text, warning.reason.fix())
}
