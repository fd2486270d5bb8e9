//! What is recorded on a pod: its status annotation, and whether it has ended.

use serde_json::Value;

use crate::admission::annotation::STATUS;
use crate::admission::cache::Cache;
use crate::admission::reason::Reason;
use crate::admission::status::Status;

/// A pod's status annotation; none where it has none, or one that the webhook did not write.
pub(crate) fn status(pod: &Value) -> Option<Status<'_>> {
    Status::read(pod.pointer("/metadata/annotations")?.get(STATUS)?.as_str()?)
}

/// Whether a pod has run to its end, so that nothing can change for it.
pub(crate) fn has_ended(pod: &Value) -> bool {
    matches!(pod.pointer("/status/phase").and_then(Value::as_str), Some("Failed" | "Succeeded"))
}

/// What a status records of a cache.
pub(crate) struct Recorded {
    /// Whether it was in place.
    pub(crate) in_place: bool,
    /// Why not, or which part of it was skipped.
    pub(crate) reasons: Vec<Reason>,
}

impl Recorded {
    /// What a status records of a cache of a container.
    pub(crate) fn new(status: &Status<'_>, container: &str, cache: Cache) -> Self {
        Recorded { in_place: status.has(container, cache), reasons: status.reasons(container, cache).collect() }
    }

    /// The same in a word or two: `✓`, or the codes of the reasons.
    pub(crate) fn summary(&self) -> String {
        let codes: Vec<_> = self.reasons.iter().map(|reason| reason.code()).collect();
        match (self.in_place, codes.is_empty()) {
            (true, true) => "✓".to_owned(),
            (true, false) => format!("✓ {}", codes.join(", ")),
            (false, true) => "not decided".to_owned(),
            (false, false) => codes.join(", "),
        }
    }
}
