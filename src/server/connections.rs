//! The open connections of a listener, and their limit. At the limit, the connection with the least claim is closed for
//! a new one.
//!
//! Why not a plain semaphore, as in the limits of `tower`: at the limit, new connections would wait behind idle ones.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::log::Throttle;
use crate::metrics::{EvictedPhase, Listener, Metrics};

mod eviction;

pub(super) use eviction::{Budget, Phase};
use eviction::{Candidate, choose_among, choose_victim};

/// The task of an evicted connection closes it, once that task is scheduled. Until then an eighth more connections than
/// the limit may be open, so that new ones can be accepted.
const CLOSING_SHARE: usize = 8;

/// The most responses that clients have not read: an eighth of the limit. Each takes some hundred kilobytes in our
/// buffers and in the kernel's, which no budget counts.
const UNREAD_SHARE: usize = 8;

/// An incomplete body that has held part of the large budget for longer gives it up to others. A body of 18 MB takes a
/// tenth of this time.
const LARGE_BODY_AGE: Duration = Duration::from_secs(1);

/// The interval at which a new connection looks for one to evict while every request is being reviewed.
const RETRY: Duration = Duration::from_millis(50);

/// The phase number of an evicted connection.
const EVICTED: u8 = u8::MAX;

/// All connections of a listener.
#[derive(Debug)]
pub(super) struct Connections {
    limit: usize,
    listener: Listener,
    metrics: Option<Arc<Metrics>>,
    slots: Arc<Semaphore>,
    /// Locked when a connection is opened, closed or evicted, but not for each request.
    open: Mutex<Open>,
    lines: Throttle,
    epoch: Instant,
}

#[derive(Debug, Default)]
struct Open {
    connections: HashMap<u64, Arc<Connection>>,
    clients: HashMap<IpAddr, Arc<AtomicUsize>>,
    next: u64,
}

/// The state of a connection that eviction decides by.
#[derive(Debug)]
struct Connection {
    phase: AtomicU8,
    /// When the phase began, in microseconds since the epoch of the listener.
    since: AtomicU64,
    /// Bytes received since the last byte that belongs to a request.
    unproductive: AtomicUsize,
    /// Whether its client has left a response unread.
    has_unread: AtomicBool,
    /// Bytes that its body or response holds of each budget.
    buffered: [AtomicUsize; 2],
    reset: AtomicBool,
    client: Arc<AtomicUsize>,
    evicted: CancellationToken,
}

/// A connection, as its own task and its request handlers use it.
#[derive(Clone, Debug)]
pub(super) struct Handle {
    connections: Arc<Connections>,
    connection: Arc<Connection>,
}

/// A connection that counts as open until this is dropped.
#[derive(Debug)]
pub(super) struct Slot {
    pub(super) handle: Handle,
    id: u64,
    client: IpAddr,
    _permit: OwnedSemaphorePermit,
}

impl Connections {
    pub(super) fn new(limit: usize, listener: Listener, metrics: Option<Arc<Metrics>>) -> Arc<Self> {
        let slots = Arc::new(Semaphore::new(most_open(limit)));
        Arc::new(Connections {
            limit,
            listener,
            metrics,
            slots,
            open: Mutex::default(),
            lines: Throttle::default(),
            epoch: Instant::now(),
        })
    }

    /// Admits a connection from this address, and evicts another for it at the limit. Waits only while every request is
    /// being reviewed. Cancelling `abort` closes the connection, like all others.
    pub(super) async fn admit(self: &Arc<Self>, address: IpAddr, abort: &CancellationToken) -> Slot {
        let permit = loop {
            let full = self.lock().connections.len() >= self.limit;
            if full && !self.evict() {
                tokio::time::sleep(RETRY).await;
                continue;
            }
            // The semaphore is never closed, so an error is the timeout's.
            if let Ok(Ok(permit)) = timeout(RETRY, Arc::clone(&self.slots).acquire_owned()).await {
                break permit;
            }
        };
        let mut open = self.lock();
        let (id, client) = (open.next, client_network(address));
        open.next += 1;
        let peers = Arc::clone(open.clients.entry(client).or_default());
        peers.fetch_add(1, Ordering::Relaxed);
        let connection = Arc::new(Connection {
            phase: AtomicU8::new(phase_number(Phase::Handshake)),
            since: AtomicU64::new(self.now()),
            unproductive: AtomicUsize::new(0),
            has_unread: AtomicBool::new(false),
            buffered: [AtomicUsize::new(0), AtomicUsize::new(0)],
            reset: AtomicBool::new(false),
            client: peers,
            evicted: abort.child_token(),
        });
        open.connections.insert(id, Arc::clone(&connection));
        drop(open);
        Slot { handle: Handle { connections: Arc::clone(self), connection }, id, client, _permit: permit }
    }

    /// Evicts the connection with the least claim. Returns whether there was one.
    fn evict(&self) -> bool {
        self.evict_victim(|open| choose_victim(open, self.limit, self.now()))
    }

    /// Evicts the connection whose response has been unread for longest. Returns whether there was one.
    fn evict_unread(&self) -> bool {
        self.evict_victim(|open| {
            let unread = open.iter().filter(|candidate| candidate.has_unread && candidate.phase != Phase::Review);
            choose_among(unread, self.limit)
        })
    }

    /// Evicts the connection whose incomplete body or unread response holds most of a budget, and of several the
    /// oldest. Returns how many bytes it will free.
    fn evict_largest(&self, budget: Budget) -> Option<usize> {
        let mut freed = None;
        let oldest = match budget {
            Budget::Small => self.now(),
            Budget::Large => self.now().saturating_sub(micros(LARGE_BODY_AGE)),
        };
        self.evict_victim(|open| {
            let is_eligible = |candidate: &&Candidate| {
                let unfinished = matches!(candidate.phase, Phase::Body | Phase::Response) || candidate.has_unread;
                unfinished
                    && candidate.phase != Phase::Review
                    && candidate.since <= oldest
                    && candidate.buffered(budget) > 0
            };
            let most =
                open.iter().filter(is_eligible).max_by_key(|one| (one.buffered(budget), std::cmp::Reverse(one.since)));
            freed = most.map(|one| one.buffered(budget));
            most.copied()
        });
        freed
    }

    fn evict_victim(&self, mut choose: impl FnMut(&[Candidate]) -> Option<Candidate>) -> bool {
        let mut open = self.lock();
        let mut candidates: Vec<_> = open.connections.iter().filter_map(|(&id, one)| one.candidate(id)).collect();
        while let Some(victim) = choose(&candidates) {
            let phase = phase_number(victim.phase);
            let evicted = open.connections.get(&victim.id).is_some_and(|connection| {
                let exchanged = connection.phase.compare_exchange(phase, EVICTED, Ordering::Relaxed, Ordering::Relaxed);
                exchanged.is_ok().then(|| connection.close(victim.phase)).is_some()
            });
            if evicted {
                open.connections.remove(&victim.id);
                drop(open);
                self.count(victim.phase);
                return true;
            }
            // The connection has changed its phase since it was inspected.
            candidates.retain(|candidate| candidate.id != victim.id);
        }
        false
    }

    /// Counts an eviction, and logs it if none was logged recently.
    fn count(&self, phase: Phase) {
        let phase = match phase {
            Phase::Handshake => EvictedPhase::Handshake,
            Phase::Head => EvictedPhase::Head,
            Phase::Body => EvictedPhase::Body,
            // A request that is being reviewed is never evicted.
            Phase::Review | Phase::Response => EvictedPhase::Response,
            Phase::Idle => EvictedPhase::Idle,
        };
        if let Some(metrics) = &self.metrics {
            metrics.record_eviction(self.listener, phase);
        }
        if let Some(not_logged) = self.lines.pass() {
            let listener = self.listener.name();
            warn!(listener, ?phase, not_logged, "too many connections or incomplete requests: closed the oldest");
        }
    }

    fn lock(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> u64 {
        micros(self.epoch.elapsed())
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

impl Connection {
    fn candidate(&self, id: u64) -> Option<Candidate> {
        let since = self.since.load(Ordering::Relaxed);
        let phase = phase_from_number(self.phase.load(Ordering::Relaxed))?;
        let buffered = [&self.buffered[0], &self.buffered[1]].map(|bytes| bytes.load(Ordering::Relaxed));
        let has_unread = self.has_unread.load(Ordering::Relaxed);
        Some(Candidate { id, phase, since, peers: self.client.load(Ordering::Relaxed), has_unread, buffered })
    }

    /// Ends the task of the connection. An idle client sees an orderly close, so that it may send its next request
    /// elsewhere; for any other, the data in the kernel's buffers is dropped.
    fn close(&self, phase: Phase) {
        self.reset.store(phase != Phase::Idle, Ordering::Relaxed);
        self.evicted.cancel();
    }
}

impl Handle {
    /// The phase of the connection, or `None` once it is evicted.
    pub(super) fn phase(&self) -> Option<Phase> {
        phase_from_number(self.connection.phase.load(Ordering::Relaxed))
    }

    /// Changes the phase, unless the connection is evicted.
    pub(super) fn enter(&self, phase: Phase) {
        self.connection.since.store(self.connections.now(), Ordering::Relaxed);
        let changed = |current: u8| (current != EVICTED).then(|| phase_number(phase));
        // An error means that the connection is evicted.
        let _ = self.connection.phase.fetch_update(Ordering::Relaxed, Ordering::Relaxed, changed);
    }

    /// Runs the future that serves the connection until it ends, or until the connection is evicted or aborted.
    pub(super) async fn until_evicted(&self, serve: impl Future<Output = ()>) {
        let _ = self.connection.evicted.run_until_cancelled(serve).await;
    }

    /// Records that the client has not read its response at once. Beyond the limit of such responses the oldest is
    /// given up.
    pub(super) fn mark_unread(&self) {
        self.connection.has_unread.store(true, Ordering::Relaxed);
        let connections = &self.connections;
        let unread = {
            let open = connections.lock();
            open.connections.values().filter(|one| one.has_unread.load(Ordering::Relaxed)).count()
        };
        if unread > (connections.limit / UNREAD_SHARE).max(1) {
            connections.evict_unread();
        }
    }

    /// Records that the client has read its response.
    pub(super) fn mark_read(&self) {
        self.connection.has_unread.store(false, Ordering::Relaxed);
    }

    /// Records how many bytes of a budget this connection holds.
    pub(super) fn record_buffered(&self, budget: Budget, bytes: usize) {
        self.connection.buffered[budget as usize].store(bytes, Ordering::Relaxed);
    }

    /// Evicts connections that hold parts of a budget until this many bytes will be freed, or none holds any. Returns
    /// how many will be freed. The connection itself may be evicted too.
    pub(super) fn evict_until_freed(&self, budget: Budget, bytes: usize) -> usize {
        let mut freed = 0;
        while freed < bytes
            && let Some(more) = self.connections.evict_largest(budget)
        {
            freed += more;
        }
        freed
    }

    /// Records received bytes. Returns how many have arrived since the last byte that belongs to a request.
    pub(super) fn received(&self, bytes: usize) -> usize {
        self.connection.unproductive.fetch_add(bytes, Ordering::Relaxed) + bytes
    }

    /// Records progress: a complete handshake, or bytes of a request.
    pub(super) fn reset_unproductive(&self) {
        self.connection.unproductive.store(0, Ordering::Relaxed);
    }

    /// Drops the data in the kernel's buffers when the connection closes.
    pub(super) fn reset_on_close(&self) {
        self.connection.reset.store(true, Ordering::Relaxed);
    }

    /// Whether the data in the kernel's buffers is to be dropped.
    pub(super) fn resets_on_close(&self) -> bool {
        self.connection.reset.load(Ordering::Relaxed)
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut open = self.handle.connections.lock();
        open.connections.remove(&self.id);
        if self.handle.connection.client.fetch_sub(1, Ordering::Relaxed) == 1 {
            open.clients.remove(&self.client);
        }
    }
}

/// The most connections that may be open at this limit, including evicted ones that are not closed yet.
pub(crate) fn most_open(limit: usize) -> usize {
    limit + (limit / CLOSING_SHARE).max(1)
}

/// What counts as one client: an IPv4 address, or an IPv6 network of 64 bits, in which a host may use any address.
fn client_network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6((address.to_bits() >> 64 << 64).into()),
        address @ IpAddr::V4(_) => address,
    }
}

fn phase_number(phase: Phase) -> u8 {
    match phase {
        Phase::Handshake => 0,
        Phase::Head => 1,
        Phase::Body => 2,
        Phase::Review => 3,
        Phase::Response => 4,
        Phase::Idle => 5,
    }
}

fn phase_from_number(number: u8) -> Option<Phase> {
    [Phase::Handshake, Phase::Head, Phase::Body, Phase::Review, Phase::Response, Phase::Idle]
        .get(usize::from(number))
        .copied()
}

#[cfg(test)]
pub(super) mod tests;
