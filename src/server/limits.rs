//! The limits on work in flight: the size of a body, the bytes of all bodies, the memory for parsing them, and the
//! number of reviews.
//!
//! Why not `tower` or `tower-http`: their limits count requests or bound one body; none gives a byte budget across
//! bodies and answers.

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
use crate::metrics::{Limit, Metrics};
use crate::server::connections::{Budget, Handle, Phase};

/// The largest body. The API server accepts pods of 3 MiB and escapes `<`, `>` and `&`: one of 3 MB was observed as a
/// review of 18 MB.
const MAX_BODY: usize = 20 * 1024 * 1024;

/// The bytes of all larger bodies in flight: three of the largest.
const ALL_BODIES: usize = 64 * 1024 * 1024;

/// Bodies up to this size have a budget of their own, so that a few slow large ones never block the usual ones, which
/// have less than 10 kB.
const SMALL_BODY: usize = 32 * 1024;

/// The bytes of all small bodies and unread small answers: 1,600 of 10 kB. When the budget is exhausted, the
/// connections that hold most of it with an incomplete body or an unread answer are evicted.
const SMALL_BODIES: usize = 16 * 1024 * 1024;

/// The memory for parsing usual pods, by the worst-case estimate of `review::memory`. A pod holds its share until it is
/// answered; further pods wait.
const ALL_USUAL_PARTS: usize = 16 * 1024 * 1024;

/// The memory of a usual pod, which has up to a thousand parts. One of 10 kB has about three hundred.
const USUAL_PARTS: usize = 1024 * 1024;

/// The memory for parsing all other pods.
const ALL_PARTS: usize = review::MOST_MEMORY;

/// The deadline for memory to become free. A review takes microseconds, or as long as a live read.
const MEMORY_DEADLINE: Duration = Duration::from_secs(1);

/// The most reviews in flight. By default an API server has at most 200 mutating requests in flight
/// (`--max-mutating-requests-inflight`), and clusters usually have three.
pub(super) const MAX_REVIEWS: usize = 1024;

/// The deadline for evicted connections to close and return their shares.
const EVICTION_DEADLINE: Duration = Duration::from_secs(1);

/// The deadline for a body, from the head of its request. The chart's `timeoutSeconds` is 3, so the caller has given up
/// by then.
const BODY_DEADLINE: Duration = Duration::from_secs(10);

/// The most bytes of a rejected body that are read and discarded. A client that is still writing when the connection
/// closes may never see the response.
const MAX_DISCARDED: usize = 64 * 1024 * 1024;

/// The limits, and what is in flight of each.
#[derive(Debug)]
pub struct Limits {
    reviews: Arc<Semaphore>,
    bytes: Arc<Semaphore>,
    small: Arc<Semaphore>,
    parts: Arc<Semaphore>,
    usual_parts: Arc<Semaphore>,
    metrics: Arc<Metrics>,
}

/// A complete body, and its share of the limits until it is dropped.
#[derive(Debug)]
pub(super) struct BufferedBody {
    /// The bytes, until they are read: reading a review moves them.
    pub(super) body: BytesMut,
    large: Option<OwnedSemaphorePermit>,
    small: Option<OwnedSemaphorePermit>,
    counted: usize,
    metrics: Arc<Metrics>,
    review: Option<[OwnedSemaphorePermit; 2]>,
    /// The connection that the body came from. `None` in tests without one.
    connection: Option<Handle>,
}

/// The reason why a body was rejected.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refusal {
    /// The connection broke, or the body is malformed.
    #[error("failed to read the body: {0}")]
    Broken(#[source] axum::Error),
    /// A limit on work in flight is reached.
    #[error("too many reviews are in flight, try again")]
    Overloaded,
    /// The body did not arrive in time.
    #[error("the body did not arrive within {} s", BODY_DEADLINE.as_secs())]
    Slow,
    /// The body exceeds the size limit.
    #[error("the body is larger than {} MiB", MAX_BODY / 1024 / 1024)]
    TooLarge,
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let text = format!("{self}\n");
        let close = (header::CONNECTION, "close");
        match self {
            Refusal::Broken(_) => (StatusCode::BAD_REQUEST, [close], text).into_response(),
            // On a new connection, the next attempt may reach another replica.
            Refusal::Overloaded => {
                (StatusCode::SERVICE_UNAVAILABLE, [close, (header::RETRY_AFTER, "1")], text).into_response()
            }
            Refusal::Slow => (StatusCode::REQUEST_TIMEOUT, [close], text).into_response(),
            Refusal::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, text).into_response(),
        }
    }
}

impl Limits {
    /// Limits with nothing in flight.
    pub fn new(metrics: Arc<Metrics>) -> Self {
        let semaphore = |most| Arc::new(Semaphore::new(most));
        let [reviews, bytes, small] = [MAX_REVIEWS, ALL_BODIES, SMALL_BODIES].map(semaphore);
        let [parts, usual_parts] = [ALL_PARTS, ALL_USUAL_PARTS].map(semaphore);
        Limits { reviews, bytes, small, parts, usual_parts, metrics }
    }

    /// Reads the body of a request within all limits.
    ///
    /// # Errors
    /// A limit is reached, or the body did not arrive. The rest of the body is read and discarded, within limits.
    pub(super) async fn read_body(&self, request: Request) -> Result<BufferedBody, Refusal> {
        let (head, mut body) = request.into_parts();
        let connection = head.extensions.get::<Handle>().cloned();
        let read = match timeout(BODY_DEADLINE, self.read(&mut body, connection)).await {
            Ok(read) => read,
            Err(_) => Err(Refusal::Slow),
        };
        let read = match read {
            Ok(buffered) => self.admit(buffered).await,
            refused => refused,
        };
        if matches!(read, Err(Refusal::Overloaded | Refusal::TooLarge)) && !expects_continue(&head.headers) {
            // The response is the same whether the body ended or not.
            let _ = timeout(BODY_DEADLINE, discard_body(body)).await;
        }
        read
    }

    /// Gives an answer its share of the budget until it is written, so that clients that send reviews but do not read
    /// the answers cannot exhaust memory.
    ///
    /// # Errors
    /// The budget is exhausted.
    pub(super) async fn budget_answer(&self, mut buffered: BufferedBody, answer: Vec<u8>) -> Result<Bytes, Refusal> {
        (buffered.body, buffered.review) = (BytesMut::new(), None);
        self.reserve(&mut buffered, answer.len()).await?;
        if answer.len() <= SMALL_BODY {
            buffered.uncount();
        }
        Ok(Bytes::from_owner(BudgetedAnswer { answer, _body: buffered }))
    }

    async fn read(&self, body: &mut Body, connection: Option<Handle>) -> Result<BufferedBody, Refusal> {
        let (metrics, none) = (Arc::clone(&self.metrics), BytesMut::new());
        let mut buffered =
            BufferedBody { body: none, large: None, small: None, counted: 0, metrics, review: None, connection };
        let announced = body.size_hint().exact().map(|size| usize::try_from(size).unwrap_or(usize::MAX));
        self.grow(&mut buffered, announced.unwrap_or_default()).await?;
        let mut bytes = BytesMut::new();
        while let Some(frame) = body.frame().await {
            // Any frame without data is a trailer, which has no use here.
            let Ok(data) = frame.map_err(Refusal::Broken)?.into_data() else { continue };
            self.grow(&mut buffered, bytes.len() + data.len()).await?;
            if bytes.is_empty() {
                bytes.reserve(announced.unwrap_or_default());
            }
            bytes.extend_from_slice(&data);
        }
        buffered.body = bytes;
        Ok(buffered)
    }

    /// Admits a complete body to its review. An incomplete body does not count as a review, so slow clients block no
    /// others.
    async fn admit(&self, mut buffered: BufferedBody) -> Result<BufferedBody, Refusal> {
        if let Some(connection) = &buffered.connection {
            connection.enter(Phase::Review);
        }
        let review = Arc::clone(&self.reviews).try_acquire_owned().map_err(|_| self.shed(Limit::Reviews))?;
        let memory = review::memory(&buffered.body);
        let pool = if memory > USUAL_PARTS { &self.parts } else { &self.usual_parts };
        let parts = timeout(MEMORY_DEADLINE, Arc::clone(pool).acquire_many_owned(permits(memory)?)).await;
        let Ok(Ok(parts)) = parts else { return Err(self.shed(Limit::Bytes)) };
        buffered.review = Some([review, parts]);
        Ok(buffered)
    }

    /// Takes a larger share for a body that is larger than known so far.
    async fn grow(&self, buffered: &mut BufferedBody, size: usize) -> Result<(), Refusal> {
        if size > MAX_BODY { Err(Refusal::TooLarge) } else { self.reserve(buffered, size).await }
    }

    async fn reserve(&self, buffered: &mut BufferedBody, size: usize) -> Result<(), Refusal> {
        let has = permit_bytes(buffered.large.as_ref()).max(permit_bytes(buffered.small.as_ref()));
        if size > has {
            if size <= SMALL_BODY && buffered.large.is_none() {
                let more = self.acquire(Budget::Small, size - has, buffered.connection.as_ref()).await?;
                merge(&mut buffered.small, more);
            } else {
                let more = size - permit_bytes(buffered.large.as_ref());
                merge(&mut buffered.large, self.acquire(Budget::Large, more, buffered.connection.as_ref()).await?);
                buffered.small = None;
            }
            buffered.record_shares();
        }
        buffered.count(size);
        Ok(())
    }

    /// Takes a share of a budget. Connections that hold parts of it without progress may be evicted for it.
    async fn acquire(
        &self,
        budget: Budget,
        bytes: usize,
        connection: Option<&Handle>,
    ) -> Result<OwnedSemaphorePermit, Refusal> {
        let (pool, permits) = (if budget == Budget::Small { &self.small } else { &self.bytes }, permits(bytes)?);
        if let Ok(permit_bytes) = Arc::clone(pool).try_acquire_many_owned(permits) {
            return Ok(permit_bytes);
        }
        let Some(connection) = connection else { return Err(self.shed(Limit::Bytes)) };
        let missing = bytes.saturating_sub(pool.available_permits());
        if connection.evict_until_freed(budget, missing) < missing {
            return Err(self.shed(Limit::Bytes));
        }
        // An evicted connection returns its share once its task is scheduled.
        let freed = timeout(EVICTION_DEADLINE, Arc::clone(pool).acquire_many_owned(permits)).await;
        freed.ok().and_then(Result::ok).ok_or_else(|| self.shed(Limit::Bytes))
    }

    fn shed(&self, limit: Limit) -> Refusal {
        self.metrics.record_shed(limit);
        Refusal::Overloaded
    }
}

/// Converts bytes to permits of a semaphore.
fn permits(bytes: usize) -> Result<u32, Refusal> {
    u32::try_from(bytes).map_err(|_| Refusal::TooLarge)
}

/// The bytes of a share.
fn permit_bytes(permit: Option<&OwnedSemaphorePermit>) -> usize {
    permit.map_or(0, OwnedSemaphorePermit::num_permits)
}

fn merge(permit_bytes: &mut Option<OwnedSemaphorePermit>, more: OwnedSemaphorePermit) {
    match permit_bytes {
        Some(share) => share.merge(more),
        None => *permit_bytes = Some(more),
    }
}

/// An answer that is not written yet, with its share of the budget.
struct BudgetedAnswer {
    answer: Vec<u8>,
    _body: BufferedBody,
}

impl AsRef<[u8]> for BudgetedAnswer {
    fn as_ref(&self) -> &[u8] {
        &self.answer
    }
}

impl BufferedBody {
    /// Records on its connection what it holds of the budgets.
    fn record_shares(&self) {
        if let Some(connection) = &self.connection {
            connection.record_buffered(Budget::Small, permit_bytes(self.small.as_ref()));
            connection.record_buffered(Budget::Large, permit_bytes(self.large.as_ref()));
        }
    }

    /// Raises the counted size of this body.
    fn count(&mut self, size: usize) {
        let more = size.saturating_sub(self.counted);
        self.counted += more;
        self.metrics.bytes_in_flight.inc_by(i64::try_from(more).unwrap_or_default());
    }
}

impl BufferedBody {
    /// Removes this body from the metric. A small answer may leave our buffer a moment after its client has it.
    fn uncount(&mut self) {
        self.metrics.bytes_in_flight.dec_by(i64::try_from(self.counted).unwrap_or_default());
        self.counted = 0;
    }
}

impl Drop for BufferedBody {
    fn drop(&mut self) {
        (self.small, self.large) = (None, None);
        self.record_shares();
        self.uncount();
    }
}

/// Whether the client sends its body only after `100 Continue`.
fn expects_continue(headers: &HeaderMap) -> bool {
    headers.get(header::EXPECT).is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"100-continue"))
}

/// Reads a body and discards it.
async fn discard_body(mut body: Body) {
    let mut dropped = 0;
    while dropped < MAX_DISCARDED
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
    async fn a_large_answer_keeps_its_share_until_it_is_written() {
        let metrics = Arc::new(Metrics::default());
        let limits = Limits::new(Arc::clone(&metrics));
        let budget = async |size: usize| {
            let buffered = limits.read_body(Request::new(Body::from("{}"))).await.unwrap();
            limits.budget_answer(buffered, vec![b'x'; size]).await
        };
        let half = ALL_BODIES / 2 + 1;
        let large = budget(half).await.unwrap();
        let part = large.slice(..1);
        drop(large);
        assert!(metrics.page().contains(&format!("in_flight_bytes {half}\n")));
        assert!(matches!(budget(half).await, Err(Refusal::Overloaded)));
        assert_eq!(budget(1000).await.unwrap().len(), 1000, "the budget of small answers is separate");
        drop(part);
        assert_eq!(budget(half).await.unwrap().len(), half);
        assert!(metrics.page().contains("in_flight_bytes 0\n"));
    }
}
