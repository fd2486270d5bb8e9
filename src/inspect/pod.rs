//! What a pod records: its status annotation, and whether it has ended.

use serde_json::Value;

use crate::admission::annotation::STATUS;
use crate::admission::cache::Cache;
use crate::admission::reason::Reason;
use crate::admission::status::Status;

/// Parses a pod's status annotation; `None` if there is none, or if the webhook did not write it.
pub(crate) fn status(pod: &Value) -> Option<Status<'_>> {
    Status::read(pod.pointer("/metadata/annotations")?.get(STATUS)?.as_str()?)
}

/// Whether a pod's phase is `Failed` or `Succeeded`, so that nothing changes for it any more.
pub(crate) fn has_ended(pod: &Value) -> bool {
    matches!(pod.pointer("/status/phase").and_then(Value::as_str), Some("Failed" | "Succeeded"))
}

/// What a status annotation records about one cache of a container.
pub(crate) struct Recorded {
    /// Whether the cache was in place.
    pub(crate) in_place: bool,
    /// Why the cache or a part of it was skipped.
    pub(crate) reasons: Vec<Reason>,
}

impl Recorded {
    /// Looks up a cache of a container.
    pub(crate) fn new(status: &Status<'_>, container: &str, cache: Cache) -> Self {
        Recorded { in_place: status.has(container, cache), reasons: status.reasons(container, cache).collect() }
    }

    /// A table cell: `✓`, the codes of the reasons, or both.
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
