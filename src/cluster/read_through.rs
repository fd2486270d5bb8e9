//! Reads of what a watch does not have yet, bounded in time, in number, in rate and in memory.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::{BoxFuture, Shared, WeakShared};
use kube::Resource;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout};
use tracing::warn;

use crate::cluster::collection::Collection;
use crate::cluster::reflector::Object;
use crate::failure::root_cause;
use crate::log::Throttle;
use crate::metrics::{Kind, Metrics, Read, Skip};
use crate::rate::{Bucket, Rate};

/// How long a read may take: a review waits for it.
const DEADLINE: Duration = Duration::from_millis(300);

/// How long its result is remembered, from its beginning.
const REMEMBERED: Duration = Duration::from_secs(1);

/// So many results are kept before the old ones are removed; [`RATE`] bounds how many are not old.
const SWEPT_AT: usize = 128;

/// Most reads in flight, of all kinds together: each has a connection to the API server, and so a file.
const IN_FLIGHT: usize = 16;

/// How often the API server is read. A pod asks for three objects at most, and only where its namespace or claims are younger than
/// our watches, or not there; its siblings share the reads. So the burst is for thirty new namespaces at once, and fifty reads a
/// second are what a rollout costs in fifty namespaces that lack a claim. Reviews that no API server sent cost it no more: they
/// made 1,605 reads a second before there was a bound.
const RATE: Rate = Rate { burst: 100, every: Duration::from_millis(20) };

/// How many reads there may be, for all kinds of objects together.
pub(super) struct Budget {
    in_flight: Arc<Semaphore>,
    bucket: Mutex<Bucket>,
    refused: Throttle,
}

impl Budget {
    pub(super) fn new() -> Arc<Self> {
        let in_flight = Arc::new(Semaphore::new(IN_FLIGHT));
        Arc::new(Budget { in_flight, bucket: Mutex::new(Bucket::full(Instant::now())), refused: Throttle::default() })
    }

    /// A permit for a read; none where there are too many of them.
    fn begin(&self) -> Option<OwnedSemaphorePermit> {
        let permit = Arc::clone(&self.in_flight).try_acquire_owned().ok()?;
        let mut bucket = self.bucket.lock().unwrap_or_else(PoisonError::into_inner);
        bucket.take(RATE, Instant::now())?;
        Some(permit)
    }
}

/// The reads of one kind of object, at most one in flight for each.
pub(super) struct Live<V> {
    kind: Kind,
    metrics: Arc<Metrics>,
    budget: Arc<Budget>,
    failures: Arc<Failures>,
    reads: Arc<Reads<V>>,
}

/// What is read or was read a moment ago, by the object's key.
struct Reads<V>(Mutex<HashMap<String, Remembered<V>>>);

/// What of the failures is logged.
#[derive(Default)]
struct Failures {
    failed: Throttle,
    late: Throttle,
}

/// A read, and how long it counts.
struct Remembered<V> {
    read: State<V>,
    until: Instant,
}

enum State<V> {
    Done(Option<V>),
    /// Held by those who wait for it alone: when the last of them has gone away the read ends, and its permit is free again.
    InFlight(WeakShared<BoxFuture<'static, Option<V>>>),
}

impl<V: Clone + Send + Sync + 'static> Live<V> {
    pub(super) fn new(kind: Kind, budget: &Arc<Budget>, metrics: &Arc<Metrics>) -> Self {
        let (budget, metrics) = (Arc::clone(budget), Arc::clone(metrics));
        Live { kind, metrics, budget, failures: Arc::default(), reads: Arc::new(Reads(Mutex::default())) }
    }

    /// The object as `fetch` finds it, now or less than a second ago; none where it is not there, the read failed, or there
    /// are too many reads for another one.
    async fn read<F>(&self, key: String, fetch: impl FnOnce() -> F) -> Option<V>
    where
        F: Future<Output = Result<Option<V>, kube::Error>> + Send + 'static,
    {
        // Whoever asks drives the read, so it needs no task of its own.
        let read = self.begin_or_join(key, fetch)?;
        read.await
    }

    /// An object of a collection, in a namespace where it has one, reduced by `read`. One that cannot be read is counted.
    pub(super) async fn object<K: Resource<DynamicType = ()>>(
        &self,
        collection: &Arc<Collection>,
        (namespace, name): (Option<&str>, &str),
        read: fn(&[u8]) -> Result<V, serde_json::Error>,
    ) -> Option<V> {
        let (collection, metrics, kind) = (Arc::clone(collection), Arc::clone(&self.metrics), self.kind);
        let (path, wanted) = (K::url_path(&(), namespace), name.to_owned());
        let fetch = || async move {
            let Some(kept) = collection.get(&path, &wanted).await? else { return Ok(None) };
            let value = Object::read(&kept.text, kept.cut, read).value;
            value.map(Some).map_err(|why| {
                metrics.skipped(kind, Skip::Unreadable);
                why.into()
            })
        };
        let key = namespace.map_or_else(|| name.to_owned(), |namespace| format!("{namespace}/{name}"));
        self.read(key, fetch).await
    }

    fn begin_or_join<F>(&self, key: String, fetch: impl FnOnce() -> F) -> Option<Shared<BoxFuture<'static, Option<V>>>>
    where
        F: Future<Output = Result<Option<V>, kube::Error>> + Send + 'static,
    {
        let now = Instant::now();
        let mut reads = self.reads.lock();
        if let Some(remembered) = reads.get(&key).filter(|remembered| now < remembered.until) {
            match &remembered.read {
                State::Done(value) => return Some(std::future::ready(value.clone()).boxed().shared()),
                State::InFlight(read) => {
                    if let Some(read) = read.upgrade() {
                        return Some(read);
                    }
                }
            }
        }
        let Some(permit) = self.budget.begin() else {
            drop(reads);
            self.refuse();
            return None;
        };
        if reads.len() >= SWEPT_AT {
            reads.retain(|_, remembered| now < remembered.until);
        }
        let read = self.count(key.clone(), permit, fetch()).boxed().shared();
        let in_flight = read.downgrade().map(State::InFlight);
        reads.insert(key, Remembered { read: in_flight.unwrap_or(State::Done(None)), until: now + REMEMBERED });
        Some(read)
    }

    fn refuse(&self) {
        self.metrics.read_live(self.kind, Read::Refused);
        if let Some(not_logged) = self.budget.refused.pass() {
            warn!(kind = ?self.kind, not_logged, "too many reads of what the watches do not have; it counts as not there");
        }
    }

    /// One read, with its deadline, counted and remembered.
    fn count(
        &self,
        key: String,
        permit: OwnedSemaphorePermit,
        fetch: impl Future<Output = Result<Option<V>, kube::Error>> + Send + 'static,
    ) -> impl Future<Output = Option<V>> + Send + 'static {
        let (kind, metrics) = (self.kind, Arc::clone(&self.metrics));
        let (failures, reads) = (Arc::clone(&self.failures), Arc::clone(&self.reads));
        async move {
            let read = timeout(DEADLINE, fetch).await;
            drop(permit);
            metrics.read_live(kind, failures.result(kind, &key, &read));
            let value = read.ok().and_then(Result::ok).flatten();
            if let Some(remembered) = reads.lock().get_mut(&key) {
                remembered.read = State::Done(value.clone());
            }
            value
        }
    }
}

impl Failures {
    /// How a read went; of each kind of failure one is logged in a minute.
    fn result<V, E>(&self, kind: Kind, key: &str, read: &Result<Result<Option<V>, kube::Error>, E>) -> Read {
        match read {
            Ok(Ok(Some(_))) => Read::Found,
            Ok(Ok(None)) => Read::Absent,
            Ok(Err(error)) => {
                if let Some(not_logged) = self.failed.pass() {
                    let why = root_cause(error);
                    warn!(?kind, key, why, not_logged, "failed to read what the watch does not have");
                }
                Read::Failed
            }
            Err(_) => {
                if let Some(not_logged) = self.late.pass() {
                    warn!(?kind, key, not_logged, "the cluster was too slow to tell what the watch does not have");
                }
                Read::Late
            }
        }
    }
}

impl<V> Reads<V> {
    fn lock(&self) -> MutexGuard<'_, HashMap<String, Remembered<V>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
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
    use std::time::Duration;

    use futures::future::join;
    use tokio::time::advance;

    use super::{Budget, IN_FLIGHT, Live, RATE, SWEPT_AT};
    use crate::metrics::{Kind, Metrics};

    fn live() -> (Live<u8>, Arc<Metrics>) {
        let metrics = Arc::new(Metrics::default());
        (Live::new(Kind::Claim, &Budget::new(), &metrics), metrics)
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
    async fn reads_in_flight_are_bounded_for_all_kinds_and_one_that_is_abandoned_is_none() {
        let metrics = Arc::new(Metrics::default());
        let budget = Budget::new();
        let [claims, namespaces] = [Kind::Claim, Kind::Namespace].map(|kind| Live::<u8>::new(kind, &budget, &metrics));
        let mut waiting: Vec<_> = (0..IN_FLIGHT)
            .map(|number| Box::pin([&claims, &namespaces][number % 2].read(number.to_string(), pending)))
            .collect();
        for read in &mut waiting {
            assert!(futures::poll!(read).is_pending());
        }
        assert_eq!(claims.read("more".to_owned(), || ready(Ok(Some(7)))).await, None, "refused at once");
        assert!(counted(&metrics, "refused", 1));
        waiting.pop();
        assert_eq!(claims.read("more".to_owned(), || ready(Ok(Some(7)))).await, Some(7));
        waiting.clear();
        let again = claims.read("0".to_owned(), || ready(Ok(Some(8)))).await;
        assert_eq!(again, Some(8), "a read that was abandoned is not waited for");
    }

    #[tokio::test(start_paused = true)]
    async fn reads_are_bounded_in_rate_and_what_is_remembered_is_bounded_in_number() {
        let ((live, metrics), calls) = (live(), AtomicUsize::new(0));
        let fetch = || {
            calls.fetch_add(1, Ordering::Relaxed);
            ready(Ok(None))
        };
        for second in 0..10 {
            for number in 0..1000 {
                assert_eq!(live.read(format!("{second}/{number}"), fetch).await, None);
            }
            advance(Duration::from_secs(1)).await;
        }
        let per_second = usize::try_from(Duration::from_secs(1).as_millis() / RATE.every.as_millis()).unwrap();
        let most = usize::try_from(RATE.burst).unwrap() + 9 * per_second;
        assert_eq!(calls.load(Ordering::Relaxed), most);
        assert!(counted(&metrics, "refused", 10_000 - most));
        assert!(live.reads.lock().len() <= SWEPT_AT);
    }
}
