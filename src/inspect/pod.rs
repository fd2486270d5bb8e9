//! What is recorded on a pod: what its status annotation says of its caches, and whether it has ended.

use serde_json::Value;

use crate::admission::annotation::STATUS;
use crate::admission::cache::Cache;
use crate::admission::reason::Reason;

/// What the status annotation says of a cache.
pub(crate) struct Recorded {
    /// Whether it was in place.
    pub(crate) in_place: bool,
    /// Why not, or what was left out of it.
    pub(crate) reasons: Vec<Reason>,
}

/// What a pod's status annotation says; nothing where it has none, or one that the webhook did not write.
pub(crate) fn status(pod: &Value) -> Option<Value> {
    let annotation = pod.pointer("/metadata/annotations")?.get(STATUS)?;
    serde_json::from_str(annotation.as_str()?).ok()
}

/// Whether a pod has run to its end: nothing can be said of it any more.
pub(crate) fn has_ended(pod: &Value) -> bool {
    matches!(pod.pointer("/status/phase").and_then(Value::as_str), Some("Failed" | "Succeeded"))
}

impl Recorded {
    /// Reads it.
    pub(crate) fn of(status: &Value, container: &str, cache: Cache) -> Self {
        let caches = status.pointer("/containers").and_then(|containers| containers.get(container)?.as_array());
        let in_place = caches.is_some_and(|caches| caches.iter().any(|word| word == cache.word()));
        let skipped = status.get("skipped").and_then(Value::as_array).into_iter().flatten();
        let skipped = skipped.filter(|entry| entry["container"] == container && entry["cache"] == cache.word());
        let reasons = skipped.filter_map(|entry| Reason::named(entry.get("reason")?.as_str()?));
        Recorded { in_place, reasons: reasons.collect() }
    }

    /// In a word or two: `✓`, or the codes of what was left out.
    pub(crate) fn in_short(&self) -> String {
        let codes: Vec<_> = self.reasons.iter().map(|reason| reason.code()).collect();
        match (self.in_place, codes.is_empty()) {
            (true, true) => "✓".to_owned(),
            (true, false) => format!("✓ {}", codes.join(", ")),
            (false, true) => "not decided".to_owned(),
            (false, false) => codes.join(", "),
        }
    }
}
