//! What is told of a decision: the status annotation, warnings, audit annotations.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::plan::{Cache, Skipped};
use super::pod::{Entries, Pod, Text};
use super::reason::Reason;
use super::settings::{PREFIX, STATUS, is_dns_label};

/// Most warnings in one answer: what goes past 4,096 characters in all, the API server cuts.
const MOST_WARNINGS: usize = 3;

/// Most characters in one warning.
const MOST_CHARACTERS: usize = 120;

/// Most bytes that the annotations of an object may have, keys and values together: Kubernetes' own
/// `TotalAnnotationSizeLimitB`.
const MOST_ANNOTATION_BYTES: usize = 256 * 1024;

/// What a status may take without our asking how large it is: nobody who has less is missed.
const ROOM_FOR_A_STATUS: usize = 4 * 1024;

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
        let said = |value: &str| format!("{name}: {value} is not modelexpress or mx; left alone");
        Self::quoting(reason, &said(&format!("{value:?}")), &said("its value"))
    }

    /// A container that the pod's annotation names and the pod does not have.
    pub fn container_not_found(name: &str) -> Self {
        let said = |name: &str| format!("{PREFIX}containers: no container {name:?}");
        Self::quoting(Reason::ContainerNotFound, &said(&cut(name, 48)), &said(name_or(name, "…")))
    }

    /// A cache that was left out, for reasons on which the user should act; `none` for the others.
    pub fn left_out(skipped: &Skipped<'_>) -> Option<Self> {
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
            Reason::PathUnsafe => return in_container("unsafe mount path"),
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
            Reason::ContainerNotFound => 1,
            Reason::VolumeNameTaken => 3,
            Reason::PathUnsafe => 4,
            Reason::LoadFormatInvalid | Reason::LoadFormatRemoved | Reason::ShellWrapped => 5,
            Reason::StatusTooLarge => 6,
            _ => 2,
        }
    }
}

/// A load format that is gone: one of two known words.
fn removed(name: &str, value: &str) -> Warning {
    Warning::new(Reason::LoadFormatRemoved, &format!("{name}: {value:?} was removed, modelexpress is used"))
}

/// A name as Kubernetes takes it for containers; anything else is another's words, perhaps a sentence, and not repeated.
pub fn name_or<'n>(name: &'n str, otherwise: &'n str) -> &'n str {
    if is_dns_label(name) { name } else { otherwise }
}

/// Sorts warnings by what they are about, and drops those that say the same.
pub fn arrange(warnings: &mut Vec<Warning>) {
    warnings.sort_by_key(Warning::rank);
    let mut seen = std::collections::BTreeSet::new();
    warnings.retain(|warning| seen.insert(warning.text.clone()));
}

/// The warnings of one answer: at most three, each at most 120 characters; when there are more, the third says how many.
pub fn brief(warnings: &[Warning]) -> Vec<String> {
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

/// The pod as it leaves us.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Status<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    containers: Option<BTreeMap<&'a str, &'a [Cache]>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    left_alone: Option<Reason>,
    #[serde(skip_serializing_if = "Option::is_none")]
    skipped: Option<Vec<Entry<'a>>>,
    version: &'static str,
}

#[derive(Debug, Serialize)]
struct Entry<'a> {
    cache: Cache,
    container: &'a str,
    reason: Reason,
}

const VERSION: &str = env!("CARGO_PKG_VERSION");

impl<'a> Status<'a> {
    /// The status of a pod that is a component.
    pub fn of(containers: &'a [(&'a str, Vec<Cache>)], skipped: &'a [Skipped<'a>]) -> Self {
        let entry = |skipped: &'a Skipped<'a>| Entry {
            cache: skipped.cache,
            container: skipped.container,
            reason: skipped.reason,
        };
        Status {
            containers: Some(containers.iter().map(|(name, caches)| (*name, caches.as_slice())).collect()),
            left_alone: None,
            skipped: Some(skipped.iter().map(entry).collect()),
            version: VERSION,
        }
    }

    /// The status of a component that is left alone.
    pub fn left_alone(reason: Reason) -> Self {
        Status { containers: None, left_alone: Some(reason), skipped: None, version: VERSION }
    }

    /// The annotation's new value; none where the pod's own says the same but for the version.
    ///
    /// # Errors
    /// `status-too-large` where the pod's annotations have no room for it.
    pub fn replaces(&self, pod: &Pod<'_>) -> Result<Option<String>, Warning> {
        let text = serde_json::to_string(self).expect("text, lists and maps of text can be written");
        let old = earlier(pod);
        if old.is_some_and(|old| same_but_for_version(old, &text)) {
            return Ok(None);
        }
        if bytes_beside_status(pod) + STATUS.len() + text.len() > MOST_ANNOTATION_BYTES {
            return Err(Warning::status_too_large());
        }
        Ok(Some(text))
    }
}

fn same_but_for_version(old: &str, new: &str) -> bool {
    let read = |text: &str| -> Option<serde_json::Map<String, serde_json::Value>> {
        let mut status: serde_json::Map<_, _> = serde_json::from_str(text).ok()?;
        status.remove("version");
        Some(status)
    };
    old == new || (read(old).is_some() && read(old) == read(new))
}

/// Whether the annotations have room for any status: the guard leaves it as much.
pub fn has_room(pod: &Pod<'_>) -> bool {
    bytes_beside_status(pod) < MOST_ANNOTATION_BYTES - ROOM_FOR_A_STATUS
}

/// Bytes of a pod's annotations, but for a status of ours.
fn bytes_beside_status(pod: &Pod<'_>) -> usize {
    let others = pod.annotations().into_iter().flat_map(|annotations| &annotations.0);
    let others = others.filter(|(name, _)| &**name != STATUS);
    others.map(|(name, value)| name.len() + value.len()).sum()
}

/// An earlier status. One that no annotation could hold is none: before the API server has validated the pod nothing
/// bounds it, and read it takes many times its size.
fn earlier<'p>(pod: &'p Pod<'_>) -> Option<&'p str> {
    pod.annotation(STATUS).filter(|status| status.len() <= MOST_ANNOTATION_BYTES)
}

/// The caches that an earlier status of ours lists, by container, each list as it is written.
pub fn listed_before<'p>(pod: &'p Pod<'_>) -> Vec<(Cow<'p, str>, &'p RawValue)> {
    #[derive(Deserialize)]
    struct Earlier<'a> {
        #[serde(borrow)]
        containers: Option<Entries<'a, &'a RawValue>>,
    }
    let earlier = earlier(pod).and_then(|status| serde_json::from_str::<Earlier<'_>>(status).ok());
    let containers = earlier.and_then(|earlier| earlier.containers).unwrap_or_default();
    containers.0.into_iter().map(|(Text(name), caches)| (name, caches)).collect()
}

/// The containers that an earlier status of ours names.
pub fn named_before(pod: &Pod<'_>) -> Vec<String> {
    #[derive(Deserialize)]
    struct Earlier<'a> {
        #[serde(borrow)]
        containers: Option<Entries<'a, serde::de::IgnoredAny>>,
    }
    let earlier = earlier(pod).and_then(|status| serde_json::from_str::<Earlier<'_>>(status).ok());
    let containers = earlier.and_then(|earlier| earlier.containers).unwrap_or_default();
    containers.0.into_iter().map(|(Text(name), _)| name.into_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::super::pod::Pod;
    use super::super::reason::Reason;
    use super::{MOST_ANNOTATION_BYTES, MOST_CHARACTERS, Status, Warning, brief};

    #[test]
    fn a_status_without_room_is_left_out_with_a_warning() {
        let status = Status::left_alone(Reason::Snapshot);
        let with = |bytes: usize| {
            let pod = format!(r#"{{"metadata":{{"annotations":{{"a":"{}"}}}}}}"#, "x".repeat(bytes));
            let pod: Pod<'_> = serde_json::from_str(&pod).unwrap();
            status.replaces(&pod)
        };
        let ours = super::STATUS.len() + with(0).unwrap().unwrap().len();
        assert!(with(MOST_ANNOTATION_BYTES - 1 - ours).is_ok());
        assert_eq!(with(MOST_ANNOTATION_BYTES - ours), Err(Warning::status_too_large()));
    }

    #[test]
    fn a_warning_fits_and_keeps_its_code() {
        let long = Warning::setting(Reason::AnnotationInvalid, "model-mount-path", &"é".repeat(500), &"x".repeat(500));
        let lines = brief(&[long.clone(), long.clone(), long.clone(), long]);
        assert_eq!(lines.len(), 3);
        assert!(lines.iter().all(|line| line.chars().count() <= MOST_CHARACTERS), "{lines:?}");
        assert!(lines[0].ends_with("[annotation-invalid]") && lines[2].contains("2 more"), "{lines:?}");
    }
}
