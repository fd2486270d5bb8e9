//! Objects whose facts are not known: counted each, and logged once a minute.

use std::fmt;
use std::sync::Arc;

use tracing::warn;

use crate::log::Throttle;
use crate::metrics::{Kind, Metrics, Skip};

/// What was skipped of one kind of object.
pub(super) struct Skipped {
    kind: Kind,
    metrics: Arc<Metrics>,
    /// The lines about each reason: who may create objects decides how many of them are skipped.
    unreadable: Throttle,
    full: Throttle,
}

impl Skipped {
    /// None were.
    pub(super) fn new(kind: Kind, metrics: &Arc<Metrics>) -> Self {
        Skipped { kind, metrics: Arc::clone(metrics), unreadable: Throttle::default(), full: Throttle::default() }
    }

    /// Counts an object, and logs it where the last line of its kind is a minute old.
    pub(super) fn count(&self, reason: Skip, namespace: &str, name: &str, why: &dyn fmt::Display) {
        self.metrics.skipped(self.kind, reason);
        let lines = match reason {
            Skip::Full => &self.full,
            Skip::Unreadable => &self.unreadable,
        };
        if let Some(not_logged) = lines.pass() {
            let kind = self.kind;
            warn!(?kind, namespace, name, not_logged, %why, "skipped an object");
        }
    }
}

impl fmt::Debug for Skipped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Skipped").field("kind", &self.kind).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::Skipped;
    use crate::metrics::{Kind, Metrics, Skip};

    #[test]
    fn each_is_counted() {
        let metrics = Arc::new(Metrics::default());
        let skipped = Skipped::new(Kind::Claim, &metrics);
        for reason in [Skip::Unreadable, Skip::Full, Skip::Unreadable] {
            skipped.count(reason, "team", "a", &"why");
        }
        let page = metrics.page();
        for (reason, times) in [("unreadable", 2), ("full", 1)] {
            let line = format!("objects_skipped_total{{kind=\"claim\",reason=\"{reason}\"}} {times}\n");
            assert!(page.contains(&line), "{page}");
        }
    }
}
