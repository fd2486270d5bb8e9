//! Objects whose facts are not known: counted each, and logged once a minute.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use tracing::warn;

use crate::metrics::{Kind, Metrics, Skip};

/// One line for a kind and a reason in so long: who may create objects decides how many of them are skipped.
const BETWEEN_LINES: Duration = Duration::from_secs(60);

/// What was skipped of one kind of object.
pub(super) struct Skipped {
    kind: Kind,
    metrics: Arc<Metrics>,
    /// For each reason, when it was logged last, and how often it has come since.
    lines: [Mutex<Line>; 2],
}

#[derive(Debug, Default)]
struct Line {
    last: Option<Instant>,
    since: u64,
}

impl Skipped {
    /// None were.
    pub(super) fn new(kind: Kind, metrics: &Arc<Metrics>) -> Self {
        Skipped { kind, metrics: Arc::clone(metrics), lines: Default::default() }
    }

    /// Counts an object, and logs it where the last line of its kind is a minute old.
    pub(super) fn count(&self, reason: Skip, namespace: &str, name: &str, why: &dyn fmt::Display) {
        self.metrics.skipped(self.kind, reason);
        let [unreadable, full] = &self.lines;
        let line = match reason {
            Skip::Full => full,
            Skip::Unreadable => unreadable,
        };
        let now = Instant::now();
        let mut line = line.lock().unwrap_or_else(PoisonError::into_inner);
        line.since += 1;
        if line.last.is_some_and(|last| now < last + BETWEEN_LINES) {
            return;
        }
        let objects = std::mem::take(&mut line.since);
        line.last = Some(now);
        drop(line);
        let kind = self.kind;
        warn!(?kind, namespace, name, objects, %why, "skipped objects since the last such line; this is one of them");
    }
}

impl fmt::Debug for Skipped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Skipped").field("kind", &self.kind).field("lines", &self.lines).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio::time::advance;

    use super::{BETWEEN_LINES, Skipped};
    use crate::metrics::{Kind, Metrics, Skip};

    #[tokio::test(start_paused = true)]
    async fn each_is_counted_and_a_minute_has_one_line() {
        let metrics = Arc::new(Metrics::default());
        let skipped = Skipped::new(Kind::Claim, &metrics);
        let count = |reason| skipped.count(reason, "team", "a", &"why");
        let not_logged = || skipped.lines[0].lock().unwrap().since;
        for expected in [0, 1, 2] {
            count(Skip::Unreadable);
            assert_eq!(not_logged(), expected);
        }
        count(Skip::Full);
        advance(BETWEEN_LINES).await;
        count(Skip::Unreadable);
        assert_eq!(not_logged(), 0, "the line has the number of all three");
        let page = metrics.page();
        for (reason, times) in [("unreadable", 4), ("full", 1)] {
            let line = format!("objects_skipped_total{{kind=\"claim\",reason=\"{reason}\"}} {times}\n");
            assert!(page.contains(&line), "{page}");
        }
    }
}
