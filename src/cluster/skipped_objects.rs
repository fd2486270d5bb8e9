//! Counts every object whose facts are not stored, and logs one a minute.

use std::fmt;
use std::sync::Arc;

use tracing::warn;

use crate::log::Throttle;
use crate::metrics::{Kind, Metrics, SkipReason};

/// The skipped objects of one kind.
pub(super) struct Skipped {
    kind: Kind,
    metrics: Arc<Metrics>,
    /// Limits the log lines per reason: any tenant who may create objects decides how many are skipped.
    unreadable: Throttle,
    full: Throttle,
}

impl Skipped {
    /// A counter for one kind of object.
    pub(super) fn new(kind: Kind, metrics: &Arc<Metrics>) -> Self {
        Skipped { kind, metrics: Arc::clone(metrics), unreadable: Throttle::default(), full: Throttle::default() }
    }

    /// Counts a skipped object, and logs it if no line was logged for the same reason in the last minute.
    pub(super) fn record(&self, reason: SkipReason, namespace: &str, name: &str, why: &dyn fmt::Display) {
        self.metrics.record_skipped_object(self.kind, reason);
        let lines = match reason {
            SkipReason::Full => &self.full,
            SkipReason::Unreadable => &self.unreadable,
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
    use crate::metrics::{Kind, Metrics, SkipReason};

    #[test]
    fn every_skipped_object_is_counted() {
        let metrics = Arc::new(Metrics::default());
        let skipped = Skipped::new(Kind::Claim, &metrics);
        for reason in [SkipReason::Unreadable, SkipReason::Full, SkipReason::Unreadable] {
            skipped.record(reason, "team", "a", &"why");
        }
        let page = metrics.page();
        for (reason, times) in [("unreadable", 2), ("full", 1)] {
            let line = format!("objects_skipped_total{{kind=\"claim\",reason=\"{reason}\"}} {times}\n");
            assert!(page.contains(&line), "{page}");
        }
    }
}
