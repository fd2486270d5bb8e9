//! Reads of what a watch does not have yet, bounded in time, in number and in memory.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::{BoxFuture, Shared};
use tokio::time::{Instant, timeout};
use tracing::warn;

use crate::metrics::{Kind, Metrics, Read};

/// How long a read may take: a review waits for it.
const DEADLINE: Duration = Duration::from_millis(300);

/// How long its result is remembered, from its beginning.
const REMEMBERED: Duration = Duration::from_secs(1);

/// How many results are remembered at once.
const MOST_REMEMBERED: usize = 1024;

/// The reads of one kind of object, at most one in flight for each.
pub(super) struct Live<V> {
    kind: Kind,
    metrics: Arc<Metrics>,
    reads: Mutex<HashMap<String, Remembered<V>>>,
}

/// A read, in flight or done: a done one gives its result to whoever still asks.
struct Remembered<V> {
    read: Shared<BoxFuture<'static, Option<V>>>,
    until: Instant,
}

impl<V: Clone + Send + Sync + 'static> Live<V> {
    pub(super) fn new(kind: Kind, metrics: &Arc<Metrics>) -> Self {
        Live { kind, metrics: Arc::clone(metrics), reads: Mutex::default() }
    }

    /// The object as `fetch` finds it, now or less than a second ago; none where it is not there, or the read failed.
    pub(super) async fn read<F>(&self, key: String, fetch: impl FnOnce() -> F) -> Option<V>
    where
        F: Future<Output = Result<Option<V>, kube::Error>> + Send + 'static,
    {
        // Whoever asks drives the read, so it needs no task of its own.
        let read = self.begin_or_join(key, fetch)?;
        read.await
    }

    fn begin_or_join<F>(&self, key: String, fetch: impl FnOnce() -> F) -> Option<Shared<BoxFuture<'static, Option<V>>>>
    where
        F: Future<Output = Result<Option<V>, kube::Error>> + Send + 'static,
    {
        let now = Instant::now();
        let mut reads = self.reads.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(remembered) = reads.get(&key).filter(|remembered| now < remembered.until) {
            return Some(remembered.read.clone());
        }
        if reads.len() >= MOST_REMEMBERED {
            reads.retain(|_, remembered| now < remembered.until);
            if reads.len() >= MOST_REMEMBERED {
                self.metrics.read_live(self.kind, Read::Refused);
                return None;
            }
        }
        let read = count(self.kind, Arc::clone(&self.metrics), key.clone(), fetch()).boxed().shared();
        reads.insert(key, Remembered { read: read.clone(), until: now + REMEMBERED });
        Some(read)
    }
}

/// One read, with its deadline, counted.
async fn count<V>(
    kind: Kind,
    metrics: Arc<Metrics>,
    key: String,
    fetch: impl Future<Output = Result<Option<V>, kube::Error>>,
) -> Option<V> {
    let read = timeout(DEADLINE, fetch).await;
    let result = match &read {
        Ok(Ok(Some(_))) => Read::Found,
        Ok(Ok(None)) => Read::Absent,
        Ok(Err(error)) => {
            warn!(?kind, key, why = super::in_words(error), "failed to read what the watch does not have");
            Read::Failed
        }
        Err(_) => {
            warn!(?kind, key, "the cluster was too slow to tell what the watch does not have");
            Read::Late
        }
    };
    metrics.read_live(kind, result);
    read.ok()?.ok()?
}

impl<V> fmt::Debug for Live<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Live").field("kind", &self.kind).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use futures::future::join;

    use super::{Live, MOST_REMEMBERED};
    use crate::metrics::{Kind, Metrics};

    fn live() -> (Live<u8>, Arc<Metrics>) {
        let metrics = Arc::new(Metrics::default());
        (Live::new(Kind::Claim, &metrics), metrics)
    }

    fn counted(metrics: &Metrics, result: &str, times: usize) -> bool {
        let line = format!("live_reads_total{{kind=\"claim\",result=\"{result}\"}} {times}\n");
        metrics.page().contains(&line)
    }

    #[tokio::test]
    async fn many_who_ask_for_one_object_share_one_read_and_its_answer() {
        let ((live, metrics), calls) = (live(), AtomicUsize::new(0));
        let fetch = || {
            calls.fetch_add(1, Ordering::Relaxed);
            async {
                tokio::task::yield_now().await;
                Ok(None)
            }
        };
        let both = join(live.read("team/models".to_owned(), fetch), live.read("team/models".to_owned(), fetch));
        assert_eq!(both.await, (None, None));
        assert_eq!(live.read("team/models".to_owned(), fetch).await, None, "remembered");
        assert_eq!(calls.load(Ordering::Relaxed), 1);
        assert!(counted(&metrics, "absent", 1));
        assert_eq!(live.read("team/others".to_owned(), || ready(Ok(Some(7)))).await, Some(7));
        assert!(counted(&metrics, "found", 1));
    }

    #[tokio::test]
    async fn a_cluster_that_never_answers_is_given_up() {
        let (live, metrics) = live();
        assert_eq!(live.read("team/models".to_owned(), pending).await, None);
        assert!(counted(&metrics, "late", 1));
    }

    #[tokio::test]
    async fn no_more_is_remembered_than_fits() {
        let (live, metrics) = live();
        for number in 0..=MOST_REMEMBERED {
            // One that is in flight, and asked for by nobody any more, counts as well.
            drop(live.begin_or_join(number.to_string(), || ready(Ok(None))));
        }
        assert!(counted(&metrics, "refused", 1));
    }
}
