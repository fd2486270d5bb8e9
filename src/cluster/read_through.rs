//! Reads objects that no watch has delivered yet, bounded in time, number, rate and memory.

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
use crate::metrics::{Kind, LiveReadResult, Metrics, SkipReason};
use crate::rate::{Bucket, Rate};

/// The deadline of a read. A review waits for it.
const DEADLINE: Duration = Duration::from_millis(300);

/// How long a result is cached, from the start of the read.
const CACHED_FOR: Duration = Duration::from_secs(1);

/// The number of cached results at which expired ones are removed. [`RATE`] bounds how many are not expired.
const SWEEP_AT: usize = 128;

/// The most concurrent reads of all kinds. Each needs a connection to the API server, and so a file descriptor.
const MAX_IN_FLIGHT: usize = 16;

/// The rate of reads. A pod needs at most three objects, and only if its namespace or claims are newer than our watches
/// or do not exist; pods that ask for the same object share a read. So the burst allows for thirty new namespaces at
/// once, and fifty reads a second are what a rollout in fifty namespaces without a claim costs. Reviews that did not
/// come from an API server cost it no more than that: without this bound they caused 1,605 reads a second.
const RATE: Rate = Rate { burst: 100, every: Duration::from_millis(20) };

/// The limits on reads, shared by all kinds of objects.
pub(super) struct Budget {
    in_flight: Arc<Semaphore>,
    bucket: Mutex<Bucket>,
    refused: Throttle,
}

impl Budget {
    pub(super) fn new() -> Arc<Self> {
        let in_flight = Arc::new(Semaphore::new(MAX_IN_FLIGHT));
        Arc::new(Budget { in_flight, bucket: Mutex::new(Bucket::full(Instant::now())), refused: Throttle::default() })
    }

    /// A permit for a read, or `None` if a limit is reached.
    fn acquire(&self) -> Option<OwnedSemaphorePermit> {
        let permit = Arc::clone(&self.in_flight).try_acquire_owned().ok()?;
        let mut bucket = self.bucket.lock().unwrap_or_else(PoisonError::into_inner);
        bucket.take(RATE, Instant::now())?;
        Some(permit)
    }
}

/// The reads of one kind of object, at most one at a time for each object.
pub(super) struct ReadThrough<V> {
    kind: Kind,
    metrics: Arc<Metrics>,
    budget: Arc<Budget>,
    failures: Arc<Failures>,
    cache: Arc<Cache<V>>,
}

/// Reads in flight and cached results, by the object's key.
struct Cache<V>(Mutex<HashMap<String, Cached<V>>>);

/// Limits the log lines about failed reads.
#[derive(Default)]
struct Failures {
    failed: Throttle,
    timeouts: Throttle,
}

/// A read or its result, and when it expires.
struct Cached<V> {
    read: State<V>,
    until: Instant,
}

enum State<V> {
    Done(Option<V>),
    /// A read that only its waiters own: once the last of them is dropped, the read is cancelled and its permit
    /// returned.
    InFlight(WeakShared<BoxFuture<'static, Option<V>>>),
}

impl<V: Clone + Send + Sync + 'static> ReadThrough<V> {
    pub(super) fn new(kind: Kind, budget: &Arc<Budget>, metrics: &Arc<Metrics>) -> Self {
        let (budget, metrics) = (Arc::clone(budget), Arc::clone(metrics));
        ReadThrough { kind, metrics, budget, failures: Arc::default(), cache: Arc::new(Cache(Mutex::default())) }
    }

    /// The object as `fetch` finds it now or found it within the last second. `None` if it does not exist, the read
    /// failed, or a limit is reached.
    async fn read<F>(&self, key: String, fetch: impl FnOnce() -> F) -> Option<V>
    where
        F: Future<Output = Result<Option<V>, kube::Error>> + Send + 'static,
    {
        // Every waiter polls the read, so it needs no task of its own.
        let read = self.start_or_join(key, fetch)?;
        read.await
    }

    /// Reads an object of a collection and reduces it by `read`. `namespace` is `None` for cluster-scoped objects. An
    /// object that cannot be parsed is counted.
    pub(super) async fn get<K: Resource<DynamicType = ()>>(
        &self,
        collection: &Arc<Collection>,
        namespace: Option<&str>,
        name: &str,
        read: fn(&[u8]) -> Result<V, serde_json::Error>,
    ) -> Option<V> {
        let (collection, metrics, kind) = (Arc::clone(collection), Arc::clone(&self.metrics), self.kind);
        let (path, wanted) = (K::url_path(&(), namespace), name.to_owned());
        let fetch = || async move {
            let Some(projected) = collection.get(&path, &wanted).await? else { return Ok(None) };
            let value = Object::parse(&projected.text, projected.truncated, read).value;
            value.map(Some).map_err(|why| {
                metrics.record_skipped_object(kind, SkipReason::Unreadable);
                why.into()
            })
        };
        let key = namespace.map_or_else(|| name.to_owned(), |namespace| format!("{namespace}/{name}"));
        self.read(key, fetch).await
    }

    fn start_or_join<F>(&self, key: String, fetch: impl FnOnce() -> F) -> Option<Shared<BoxFuture<'static, Option<V>>>>
    where
        F: Future<Output = Result<Option<V>, kube::Error>> + Send + 'static,
    {
        let now = Instant::now();
        let mut cache = self.cache.lock();
        if let Some(cached) = cache.get(&key).filter(|cached| now < cached.until) {
            match &cached.read {
                State::Done(value) => return Some(std::future::ready(value.clone()).boxed().shared()),
                State::InFlight(read) => {
                    if let Some(read) = read.upgrade() {
                        return Some(read);
                    }
                }
            }
        }
        let Some(permit) = self.budget.acquire() else {
            drop(cache);
            self.record_throttled();
            return None;
        };
        if cache.len() >= SWEEP_AT {
            cache.retain(|_, cached| now < cached.until);
        }
        let read = self.run(key.clone(), permit, fetch()).boxed().shared();
        let in_flight = read.downgrade().map(State::InFlight);
        cache.insert(key, Cached { read: in_flight.unwrap_or(State::Done(None)), until: now + CACHED_FOR });
        Some(read)
    }

    fn record_throttled(&self) {
        self.metrics.record_live_read(self.kind, LiveReadResult::Throttled);
        if let Some(not_logged) = self.budget.refused.pass() {
            warn!(kind = ?self.kind, not_logged, "too many reads of objects that no watch has delivered; this one counts as not found");
        }
    }

    /// Runs one read within the deadline, counts it and caches its result.
    fn run(
        &self,
        key: String,
        permit: OwnedSemaphorePermit,
        fetch: impl Future<Output = Result<Option<V>, kube::Error>> + Send + 'static,
    ) -> impl Future<Output = Option<V>> + Send + 'static {
        let (kind, metrics) = (self.kind, Arc::clone(&self.metrics));
        let (failures, cache) = (Arc::clone(&self.failures), Arc::clone(&self.cache));
        async move {
            let read = timeout(DEADLINE, fetch).await;
            drop(permit);
            metrics.record_live_read(kind, failures.classify(kind, &key, &read));
            let value = read.ok().and_then(Result::ok).flatten();
            if let Some(cached) = cache.lock().get_mut(&key) {
                cached.read = State::Done(value.clone());
            }
            value
        }
    }
}

impl Failures {
    /// Classifies the result of a read. One failure of each kind is logged a minute.
    fn classify<V, E>(
        &self,
        kind: Kind,
        key: &str,
        read: &Result<Result<Option<V>, kube::Error>, E>,
    ) -> LiveReadResult {
        match read {
            Ok(Ok(Some(_))) => LiveReadResult::Found,
            Ok(Ok(None)) => LiveReadResult::Absent,
            Ok(Err(error)) => {
                if let Some(not_logged) = self.failed.pass() {
                    let why = root_cause(error);
                    warn!(?kind, key, why, not_logged, "failed to read an object that the watch has not delivered");
                }
                LiveReadResult::Failed
            }
            Err(_) => {
                if let Some(not_logged) = self.timeouts.pass() {
                    warn!(
                        ?kind,
                        key,
                        not_logged,
                        "the API server did not answer in time about an object that the watch has not delivered"
                    );
                }
                LiveReadResult::Timeout
            }
        }
    }
}

impl<V> Cache<V> {
    fn lock(&self) -> MutexGuard<'_, HashMap<String, Cached<V>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<V> fmt::Debug for ReadThrough<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReadThrough").field("kind", &self.kind).finish_non_exhaustive()
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

    use super::{Budget, MAX_IN_FLIGHT, RATE, ReadThrough, SWEEP_AT};
    use crate::metrics::{Kind, Metrics};

    fn read_through() -> (ReadThrough<u8>, Arc<Metrics>) {
        let metrics = Arc::new(Metrics::default());
        (ReadThrough::new(Kind::Claim, &Budget::new(), &metrics), metrics)
    }

    fn counted(metrics: &Metrics, result: &str, times: usize) -> bool {
        let line = format!("live_reads_total{{kind=\"claim\",result=\"{result}\"}} {times}\n");
        metrics.page().contains(&line)
    }

    #[tokio::test]
    async fn concurrent_readers_of_one_object_share_a_read_and_its_result() {
        let ((objects, metrics), calls) = (read_through(), AtomicUsize::new(0));
        let fetch = || {
            calls.fetch_add(1, Ordering::Relaxed);
            async {
                tokio::task::yield_now().await;
                Ok(None)
            }
        };
        let both = join(objects.read("team/models".to_owned(), fetch), objects.read("team/models".to_owned(), fetch));
        assert_eq!(both.await, (None, None));
        assert_eq!(objects.read("team/models".to_owned(), fetch).await, None, "cached");
        assert_eq!(calls.load(Ordering::Relaxed), 1);
        assert!(counted(&metrics, "absent", 1));
        assert_eq!(objects.read("team/others".to_owned(), || ready(Ok(Some(7)))).await, Some(7));
        assert!(counted(&metrics, "found", 1));
    }

    #[tokio::test]
    async fn a_read_that_is_never_answered_times_out() {
        let (objects, metrics) = read_through();
        assert_eq!(objects.read("team/models".to_owned(), pending).await, None);
        assert!(counted(&metrics, "timeout", 1));
    }

    #[tokio::test]
    async fn concurrent_reads_of_all_kinds_share_a_limit_and_abandoned_ones_return_it() {
        let metrics = Arc::new(Metrics::default());
        let budget = Budget::new();
        let [claims, namespaces] =
            [Kind::Claim, Kind::Namespace].map(|kind| ReadThrough::<u8>::new(kind, &budget, &metrics));
        let mut waiting: Vec<_> = (0..MAX_IN_FLIGHT)
            .map(|number| Box::pin([&claims, &namespaces][number % 2].read(number.to_string(), pending)))
            .collect();
        for read in &mut waiting {
            assert!(futures::poll!(read).is_pending());
        }
        assert_eq!(claims.read("more".to_owned(), || ready(Ok(Some(7)))).await, None, "rejected at once");
        assert!(counted(&metrics, "throttled", 1));
        waiting.pop();
        assert_eq!(claims.read("more".to_owned(), || ready(Ok(Some(7)))).await, Some(7));
        waiting.clear();
        let again = claims.read("0".to_owned(), || ready(Ok(Some(8)))).await;
        assert_eq!(again, Some(8), "a read that was abandoned is not waited for");
    }

    #[tokio::test(start_paused = true)]
    async fn reads_are_bounded_in_rate_and_cached_results_in_number() {
        let ((objects, metrics), calls) = (read_through(), AtomicUsize::new(0));
        let fetch = || {
            calls.fetch_add(1, Ordering::Relaxed);
            ready(Ok(None))
        };
        for second in 0..10 {
            for number in 0..1000 {
                assert_eq!(objects.read(format!("{second}/{number}"), fetch).await, None);
            }
            advance(Duration::from_secs(1)).await;
        }
        let per_second = usize::try_from(Duration::from_secs(1).as_millis() / RATE.every.as_millis()).unwrap();
        let most = usize::try_from(RATE.burst).unwrap() + 9 * per_second;
        assert_eq!(calls.load(Ordering::Relaxed), most);
        assert!(counted(&metrics, "throttled", 10_000 - most));
        assert!(objects.cache.lock().len() <= SWEEP_AT);
    }
}
