//! How much we take on at once: the size of a body, the bytes of all bodies and of what is read of them, the number of reviews.

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, HttpBody as _};
use axum::extract::Request;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt as _;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use crate::admission::review;
use crate::metrics::{Bound, Metrics};
use crate::server::connections::{Budget, Handle, Phase};

/// Largest body. The API server takes pods of 3 MiB and escapes `<`, `>` and `&`: one of 3 MB was seen to arrive as a
/// review of 18 MB.
const LARGEST_BODY: usize = 20 * 1024 * 1024;

/// Bytes of all larger bodies in flight: three of the largest.
const ALL_BODIES: usize = 64 * 1024 * 1024;

/// Bodies up to this size have a budget of their own, so that a few slow large ones never shut out the usual ones, which are
/// below 10 kB.
const SMALL_BODY: usize = 32 * 1024;

/// Bytes of all small bodies, and of small answers that are not taken yet: 1,600 of 10 kB. Where it is used up, the connections
/// that hold most of it with a body that is not whole, or an answer that is not taken, are evicted.
const SMALL_BODIES: usize = 16 * 1024 * 1024;

/// Memory for the parts of usual pods, by `review::memory`, which takes the worst for granted: a pod holds its share until it
/// is answered, and where all is taken it waits.
const ALL_USUAL_PARTS: usize = 16 * 1024 * 1024;

/// A pod with up to a thousand parts is usual; one of 10 kB has some three hundred.
const USUAL_PARTS: usize = 1024 * 1024;

/// Memory for the parts of all other pods.
const ALL_PARTS: usize = review::MOST_MEMORY;

/// For memory to become free. A review takes microseconds, or as long as a live read.
const MEMORY_DEADLINE: Duration = Duration::from_secs(1);

/// Reviews in flight. An API server has at most 200 mutating requests in flight by default (`--max-mutating-requests-
/// inflight`), and three replicas of it are usual.
pub(super) const ALL_REVIEWS: usize = 1024;

/// For evicted connections to be closed and to give their shares back.
const EVICTION_DEADLINE: Duration = Duration::from_secs(1);

/// From a request's head to the end of its body. The chart's `timeoutSeconds` is 3: who asked has given up by then.
const BODY_DEADLINE: Duration = Duration::from_secs(10);

/// How much of a refused body is read and dropped. A client that is still writing when we close may never see why.
const MOST_DROPPED: usize = 64 * 1024 * 1024;

/// What is in flight, and how much may be.
#[derive(Debug)]
pub struct Limits {
    reviews: Arc<Semaphore>,
    bytes: Arc<Semaphore>,
    small: Arc<Semaphore>,
    parts: Arc<Semaphore>,
    usual_parts: Arc<Semaphore>,
    metrics: Arc<Metrics>,
}

/// A whole body, and its share of the limits until it is dropped.
#[derive(Debug)]
pub(super) struct Held {
    /// The bytes.
    pub(super) body: Bytes,
    large: Option<OwnedSemaphorePermit>,
    small: Option<OwnedSemaphorePermit>,
    counted: usize,
    metrics: Arc<Metrics>,
    review: Option<[OwnedSemaphorePermit; 2]>,
    /// Its connection, where the body came over one.
    connection: Option<Handle>,
}

/// Why a body was not taken.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refusal {
    /// The connection broke, or what came is no body.
    #[error("failed to read the body: {0}")]
    Broken(#[source] axum::Error),
    /// Too much is in flight.
    #[error("too many reviews are in flight, try again")]
    Overloaded,
    /// The body did not arrive in time.
    #[error("the body did not arrive within {} s", BODY_DEADLINE.as_secs())]
    Slow,
    /// The body is larger than we take.
    #[error("the body is larger than {} MiB", LARGEST_BODY / 1024 / 1024)]
    TooLarge,
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let text = format!("{self}\n");
        let close = (header::CONNECTION, "close");
        match self {
            Refusal::Broken(_) => (StatusCode::BAD_REQUEST, [close], text).into_response(),
            // On a new connection the next try may reach another replica.
            Refusal::Overloaded => {
                (StatusCode::SERVICE_UNAVAILABLE, [close, (header::RETRY_AFTER, "1")], text).into_response()
            }
            Refusal::Slow => (StatusCode::REQUEST_TIMEOUT, [close], text).into_response(),
            Refusal::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, text).into_response(),
        }
    }
}

impl Limits {
    /// Nothing is in flight.
    pub fn new(metrics: Arc<Metrics>) -> Self {
        let semaphore = |most| Arc::new(Semaphore::new(most));
        let [reviews, bytes, small] = [ALL_REVIEWS, ALL_BODIES, SMALL_BODIES].map(semaphore);
        let [parts, usual_parts] = [ALL_PARTS, ALL_USUAL_PARTS].map(semaphore);
        Limits { reviews, bytes, small, parts, usual_parts, metrics }
    }

    /// Reads the body of a request within all limits.
    ///
    /// # Errors
    /// A limit was reached, or the body did not come; what of it is still to come was read and dropped, within limits.
    pub(super) async fn take(&self, request: Request) -> Result<Held, Refusal> {
        let (head, mut body) = request.into_parts();
        let connection = head.extensions.get::<Handle>().cloned();
        let taken = match timeout(BODY_DEADLINE, self.read(&mut body, connection)).await {
            Ok(taken) => taken,
            Err(_) => Err(Refusal::Slow),
        };
        let taken = match taken {
            Ok(whole) => self.admit(whole).await,
            refused => refused,
        };
        if matches!(taken, Err(Refusal::Overloaded | Refusal::TooLarge)) && !waits_for_word(&head.headers) {
            // Whether it came to its end or not, the answer is the same.
            let _ = timeout(BODY_DEADLINE, forget(body)).await;
        }
        taken
    }

    /// An answer, with its share of the budget until it is written: whoever asks and does not read would have us keep it beside
    /// all others.
    ///
    /// # Errors
    /// There is no room for it.
    pub(super) async fn keep(&self, mut held: Held, answer: Vec<u8>) -> Result<Bytes, Refusal> {
        (held.body, held.review) = (Bytes::new(), None);
        self.reserve(&mut held, answer.len()).await?;
        if answer.len() <= SMALL_BODY {
            held.uncount();
        }
        Ok(Bytes::from_owner(Kept { answer, _held: held }))
    }

    async fn read(&self, body: &mut Body, connection: Option<Handle>) -> Result<Held, Refusal> {
        let (metrics, none) = (Arc::clone(&self.metrics), Bytes::new());
        let mut held = Held { body: none, large: None, small: None, counted: 0, metrics, review: None, connection };
        let announced = body.size_hint().exact().map(|size| usize::try_from(size).unwrap_or(usize::MAX));
        self.grow(&mut held, announced.unwrap_or_default()).await?;
        let mut whole = BytesMut::new();
        while let Some(frame) = body.frame().await {
            // What is not data is a trailer, of which we have no use.
            let Ok(data) = frame.map_err(Refusal::Broken)?.into_data() else { continue };
            if Some(data.len()) == announced {
                held.body = data;
                return Ok(held);
            }
            self.grow(&mut held, whole.len() + data.len()).await?;
            if whole.is_empty() {
                whole.reserve(announced.unwrap_or_default());
            }
            whole.extend_from_slice(&data);
        }
        held.body = whole.freeze();
        Ok(held)
    }

    /// Lets a whole body through to its review. One that is still on its way counts as no review, so that slow clients keep
    /// none out.
    async fn admit(&self, mut held: Held) -> Result<Held, Refusal> {
        if let Some(connection) = &held.connection {
            connection.enter(Phase::Review);
        }
        let review = Arc::clone(&self.reviews).try_acquire_owned().map_err(|_| self.shed(Bound::Reviews))?;
        let memory = review::memory(&held.body);
        let pool = if memory > USUAL_PARTS { &self.parts } else { &self.usual_parts };
        let parts = timeout(MEMORY_DEADLINE, Arc::clone(pool).acquire_many_owned(permits(memory)?)).await;
        let Ok(Ok(parts)) = parts else { return Err(self.shed(Bound::Bytes)) };
        held.review = Some([review, parts]);
        Ok(held)
    }

    /// Takes a larger share for a body that is larger than known so far.
    async fn grow(&self, held: &mut Held, size: usize) -> Result<(), Refusal> {
        if size > LARGEST_BODY { Err(Refusal::TooLarge) } else { self.reserve(held, size).await }
    }

    async fn reserve(&self, held: &mut Held, size: usize) -> Result<(), Refusal> {
        let has = share(held.large.as_ref()).max(share(held.small.as_ref()));
        if size > has {
            if size <= SMALL_BODY && held.large.is_none() {
                let more = self.acquire(Budget::Small, size - has, held.connection.as_ref()).await?;
                merge(&mut held.small, more);
            } else {
                let more = size - share(held.large.as_ref());
                merge(&mut held.large, self.acquire(Budget::Large, more, held.connection.as_ref()).await?);
                held.small = None;
            }
            held.hold();
        }
        held.count(size);
        Ok(())
    }

    /// A share of a budget, for which connections that hold parts of it without getting on may be evicted.
    async fn acquire(
        &self,
        budget: Budget,
        bytes: usize,
        connection: Option<&Handle>,
    ) -> Result<OwnedSemaphorePermit, Refusal> {
        let (pool, permits) = (if budget == Budget::Small { &self.small } else { &self.bytes }, permits(bytes)?);
        if let Ok(share) = Arc::clone(pool).try_acquire_many_owned(permits) {
            return Ok(share);
        }
        let Some(connection) = connection else { return Err(self.shed(Bound::Bytes)) };
        let missing = bytes.saturating_sub(pool.available_permits());
        if connection.evict_holders(budget, missing) < missing {
            return Err(self.shed(Bound::Bytes));
        }
        // What is evicted gives its share back when its task has its turn.
        let freed = timeout(EVICTION_DEADLINE, Arc::clone(pool).acquire_many_owned(permits)).await;
        freed.ok().and_then(Result::ok).ok_or_else(|| self.shed(Bound::Bytes))
    }

    fn shed(&self, bound: Bound) -> Refusal {
        self.metrics.shed(bound);
        Refusal::Overloaded
    }
}

/// So many bytes as permits of a semaphore.
fn permits(bytes: usize) -> Result<u32, Refusal> {
    u32::try_from(bytes).map_err(|_| Refusal::TooLarge)
}

/// How many bytes a share is.
fn share(permit: Option<&OwnedSemaphorePermit>) -> usize {
    permit.map_or(0, OwnedSemaphorePermit::num_permits)
}

fn merge(share: &mut Option<OwnedSemaphorePermit>, more: OwnedSemaphorePermit) {
    match share {
        Some(share) => share.merge(more),
        None => *share = Some(more),
    }
}

/// An answer that is yet to be written.
struct Kept {
    answer: Vec<u8>,
    _held: Held,
}

impl AsRef<[u8]> for Kept {
    fn as_ref(&self) -> &[u8] {
        &self.answer
    }
}

impl Held {
    /// Tells its connection what it holds of the budgets.
    fn hold(&self) {
        if let Some(connection) = &self.connection {
            connection.hold(Budget::Small, share(self.small.as_ref()));
            connection.hold(Budget::Large, share(self.large.as_ref()));
        }
    }

    /// Counts this body with a size that is larger than before, if it is.
    fn count(&mut self, size: usize) {
        let more = size.saturating_sub(self.counted);
        self.counted += more;
        self.metrics.bytes_in_flight.inc_by(i64::try_from(more).unwrap_or_default());
    }
}

impl Held {
    /// What of it is in flight is no longer counted in the metric: a small answer may leave a moment after its client has it.
    fn uncount(&mut self) {
        self.metrics.bytes_in_flight.dec_by(i64::try_from(self.counted).unwrap_or_default());
        self.counted = 0;
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        (self.small, self.large) = (None, None);
        self.hold();
        self.uncount();
    }
}

/// Whether a client sends its body only when we ask for it.
fn waits_for_word(headers: &HeaderMap) -> bool {
    headers.get(header::EXPECT).is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"100-continue"))
}

/// Reads a body and keeps nothing of it.
async fn forget(mut body: Body) {
    let mut dropped = 0;
    while dropped < MOST_DROPPED
        && let Some(Ok(frame)) = body.frame().await
    {
        dropped += frame.data_ref().map_or(0, Bytes::len);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use axum::body::Body;
    use axum::extract::Request;

    use super::{ALL_BODIES, Limits, Refusal};
    use crate::metrics::Metrics;

    #[tokio::test]
    async fn a_large_answer_has_its_place_until_the_last_of_it_is_gone() {
        let metrics = Arc::new(Metrics::default());
        let limits = Limits::new(Arc::clone(&metrics));
        let keep = async |size: usize| {
            let held = limits.take(Request::new(Body::from("{}"))).await.unwrap();
            limits.keep(held, vec![b'x'; size]).await
        };
        let half = ALL_BODIES / 2 + 1;
        let large = keep(half).await.unwrap();
        let part = large.slice(..1);
        drop(large);
        assert!(metrics.page().contains(&format!("in_flight_bytes {half}\n")));
        assert!(matches!(keep(half).await, Err(Refusal::Overloaded)));
        assert_eq!(keep(1000).await.unwrap().len(), 1000, "usual ones have room");
        drop(part);
        assert_eq!(keep(half).await.unwrap().len(), half);
        assert!(metrics.page().contains("in_flight_bytes 0\n"));
    }
}
