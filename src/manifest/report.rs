//! Lines for a person about the outcome of one pod or pod template.

use crate::admission::Outcome;
use crate::admission::warning::Warning;
use crate::manifest::pod_templates::{Ignored, OperatorManaged};

/// The line about an annotation of dynamo-cache that has no effect where it is.
pub(crate) fn ignored(ignored: &Ignored) -> String {
    let Ignored { object, annotation, belongs } = ignored;
    let line = about(object, &Warning::annotation_ignored(annotation));
    if belongs.is_empty() { line } else { format!("{line} It belongs into {}.", few(belongs)) }
}

/// The first five of many names, and how many more there are.
pub(crate) fn few(names: &[String]) -> String {
    const NAMED: usize = 5;
    let (first, more) = names.split_at_checked(NAMED).unwrap_or((names, &[]));
    let more = if more.is_empty() { String::new() } else { format!(" and {} more", more.len()) };
    format!("{}{more}", first.join(", "))
}

/// The line about an object whose pods its operator makes.
pub(crate) fn operator_managed(object: &OperatorManaged) -> String {
    let OperatorManaged { name, namespace, is_sketched } = object;
    let namespace = namespace.as_deref().unwrap_or("NAMESPACE");
    let explain = if *is_sketched { "`dynamo-cache explain -f FILE` shows what its pods would get, and " } else { "" };
    format!(
        "{name}: its operator creates the pods, and the webhook changes them when they are created; nothing to do here: \
         {explain}`dynamo-cache preview -n {namespace}` shows the running pods"
    )
}

/// The line about an object, or a part of it, whose pods only its controller knows.
pub(crate) fn hidden(name: &String) -> String {
    format!(
        "{name}: only its controller knows the pods, and the webhook changes them when they are created; nothing to do here"
    )
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
        let (sentence, fix) = (reason.sentence(), skipped.fix());
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
