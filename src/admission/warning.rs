//! Warnings, which the API server passes on to the client that created the pod.

use super::annotation::PREFIX;
use super::cache::Skipped;
use super::dns_name;
use super::reason::Reason;

/// Most warnings in one answer: what goes past 4,096 characters in all, the API server cuts.
const MOST_WARNINGS: usize = 3;

/// Most characters in one warning.
const MOST_CHARACTERS: usize = 120;

/// Something that the user should act on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    /// What happened.
    pub reason: Reason,
    /// One line, with the reason's code at its end; as long as it needs to be.
    pub text: String,
    /// The same for readers who did not write the pod: without the code, and without words of its author that are no name.
    pub impartial: String,
}

impl Warning {
    fn new(reason: Reason, text: &str) -> Self {
        Self::quoting(reason, text, text)
    }

    fn quoting(reason: Reason, text: &str, impartial: &str) -> Self {
        Warning { reason, text: format!("{text} [{reason}]"), impartial: impartial.to_owned() }
    }

    /// An annotation of ours that means nothing where it stands, by its whole name.
    pub fn annotation_ignored(name: &str) -> Self {
        Self::new(Reason::AnnotationIgnored, &format!("{name} has no effect here, only on a pod"))
    }

    /// An annotation of ours that we do not know, by its name after the prefix.
    pub fn annotation_unknown(short: &str, nearest: &str) -> Self {
        let said = |short: &str| format!("{PREFIX}{short} is unknown; {nearest}?");
        Self::quoting(Reason::AnnotationUnknown, &said(&cut(short, 50)), &said(name_or(short, "…")))
    }

    /// A label with a name of ours, by its name after the prefix.
    pub fn label_ignored(short: &str) -> Self {
        let said = |short: &str| format!("label {PREFIX}{short} has no effect; write it as an annotation");
        Self::quoting(Reason::LabelIgnored, &said(&cut(short, 24)), &said(name_or(short, "…")))
    }

    /// An annotation whose value is not what the setting takes; the name is the one after the prefix.
    pub fn setting(reason: Reason, short: &str, value: &str, takes: &str) -> Self {
        let value = cut(value, 24);
        if reason == Reason::LoadFormatRemoved {
            return removed(short, &value);
        }
        let said = |value: &str| format!("{PREFIX}{short}: {value} is not {takes}");
        Self::quoting(reason, &said(&format!("{value:?}")), &said("its value"))
    }

    /// A variable of a container that asks for a load format.
    pub fn variable(reason: Reason, name: &str, value: &str) -> Self {
        let value = cut(value, 24);
        if reason == Reason::LoadFormatRemoved {
            return removed(name, &value);
        }
        let said = |value: &str| format!("{name}: {value} is no load format; ignored");
        Self::quoting(reason, &said(&format!("{value:?}")), &said("its value"))
    }

    /// A container that the pod's annotation names and the pod does not have.
    pub fn container_not_found(name: &str) -> Self {
        let said = |name: &str| format!("{PREFIX}containers: no container {name:?}");
        Self::quoting(Reason::ContainerNotFound, &said(&cut(name, 48)), &said(name_or(name, "…")))
    }

    /// A container that asks for a GPU and that no rule selects.
    pub fn container_unknown(name: &str) -> Self {
        let said = |name: &str| format!("container {name} asks for a GPU, but shows no engine: no caches");
        Self::quoting(Reason::ContainerUnknown, &said(&cut(name, 30)), &said(name_or(name, "…")))
    }

    /// A cache that was skipped, for reasons on which the user should act; none for the others.
    pub fn cache_skipped(skipped: &Skipped<'_>) -> Option<Self> {
        let (cache, container) = (skipped.cache, skipped.container);
        let in_container = |what: &str| {
            let said = |container: &str| format!("{cache} in container {container}: {what}");
            Some(Self::quoting(skipped.reason, &said(&cut(container, 20)), &said(name_or(container, "…"))))
        };
        let without = |what: &str| {
            let claim = cut(skipped.claim.as_deref().unwrap_or_default(), 36);
            format!("claim {claim} {what}: pods start without it")
        };
        let text = match skipped.reason {
            Reason::ClaimBlock => without("is a block device"),
            Reason::ClaimLost => without("has lost its volume"),
            Reason::ClaimNotFound => without("not found"),
            Reason::ClaimPending => without("gets no volume"),
            Reason::ClaimReadOnly => without("can only be read"),
            Reason::ClaimSingleNode => without("is ReadWriteOnce"),
            Reason::ClaimSinglePod => without("is ReadWriteOncePod"),
            Reason::ClaimTerminating => without("is being deleted"),
            Reason::ClaimUnproven => without("is not proven writable"),
            Reason::PathUnsafe => return in_container("unsafe mount path"),
            Reason::UserNamespace => "hostUsers: false: no claim is added, and pods start without it".to_owned(),
            Reason::VolumeNameTaken if skipped.own_fix.is_some() => {
                return in_container("a container has the name of ours");
            }
            Reason::VolumeNameTaken => return in_container("the volume's name is taken"),
            _ => return None,
        };
        Some(Self::new(skipped.reason, &text))
    }

    /// A load format that has to be asked for by hand. The longest flag leaves no room for the container's name.
    pub fn shell_wrapped(flag: &str) -> Self {
        Self::new(Reason::ShellWrapped, &format!("add {flag}"))
    }

    /// A status that has no room.
    pub fn status_too_large() -> Self {
        Self::new(Reason::StatusTooLarge, "the annotations have no room for our status")
    }

    /// Where this stands among others: the contract's order.
    fn rank(&self) -> u8 {
        match self.reason {
            Reason::AnnotationIgnored | Reason::AnnotationInvalid | Reason::AnnotationUnknown => 0,
            Reason::LabelIgnored => 1,
            Reason::ContainerNotFound => 2,
            Reason::ContainerUnknown => 3,
            Reason::UserNamespace => 5,
            Reason::VolumeNameTaken => 6,
            Reason::PathUnsafe => 7,
            Reason::LoadFormatInvalid | Reason::LoadFormatRemoved | Reason::ShellWrapped => 8,
            Reason::StatusTooLarge => 9,
            _ => 4,
        }
    }
}

/// A load format that is gone: one of two known words.
fn removed(name: &str, value: &str) -> Warning {
    Warning::new(Reason::LoadFormatRemoved, &format!("{name}: {value:?} was removed, modelexpress is used"))
}

/// The name, where Kubernetes takes it for a container; anything else may be a sentence of somebody's, and is not repeated.
pub fn name_or<'n>(name: &'n str, otherwise: &'n str) -> &'n str {
    if dns_name::is_label(name) { name } else { otherwise }
}

/// Sorts warnings by what they are about, and drops those that say the same.
pub fn sort_and_dedup(warnings: &mut Vec<Warning>) {
    warnings.sort_by_key(Warning::rank);
    let mut seen = std::collections::BTreeSet::new();
    warnings.retain(|warning| seen.insert(warning.text.clone()));
}

/// The warnings of one answer: at most three, each at most 120 characters; when there are more, the third says how many.
pub fn to_response_lines(warnings: &[Warning]) -> Vec<String> {
    let mut lines: Vec<_> = warnings.iter().take(MOST_WARNINGS).map(fit).collect();
    if warnings.len() > MOST_WARNINGS {
        lines.truncate(MOST_WARNINGS - 1);
        let more = warnings.len() - lines.len();
        lines.push(format!(
            "dynamo-cache: {more} more warnings; the webhook's log and the audit log have their reasons"
        ));
    }
    lines
}

fn fit(warning: &Warning) -> String {
    let line = format!("dynamo-cache: {}", warning.text);
    if line.chars().count() <= MOST_CHARACTERS {
        return line;
    }
    // The code at the end is what a person can look up, so the middle goes.
    let end = format!("… [{}]", warning.reason);
    let room = MOST_CHARACTERS - end.chars().count();
    line.chars().take(room).chain(end.chars()).collect()
}

/// At most so many characters, the last one an ellipsis where something was cut.
fn cut(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    text.chars().take(most - 1).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::super::reason::Reason;
    use super::{MOST_CHARACTERS, Warning, to_response_lines};

    #[test]
    fn a_warning_fits_and_keeps_its_code() {
        let long = Warning::setting(Reason::AnnotationInvalid, "model-mount-path", &"é".repeat(500), &"x".repeat(500));
        let lines = to_response_lines(&[long.clone(), long.clone(), long.clone(), long]);
        assert_eq!(lines.len(), 3);
        assert!(lines.iter().all(|line| line.chars().count() <= MOST_CHARACTERS), "{lines:?}");
        assert!(lines[0].ends_with("[annotation-invalid]") && lines[2].contains("2 more"), "{lines:?}");
    }
}
