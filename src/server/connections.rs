//! The connections that are open, and their limit: at it, the connection with the least claim is closed for the new one.

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
use crate::metrics::{Eviction, Listener, Metrics};

mod eviction;

pub(super) use eviction::{Budget, Phase};
use eviction::{Candidate, first_of, victim};

/// An evicted connection is closed by its own task, which has to get its turn: so many more than the limit, an eighth of it, may
/// be open until then, so that connections are accepted meanwhile.
const CLOSING: usize = 8;

/// Answers that clients have not taken, at most: an eighth of the limit. Each holds some hundred kilobytes in our buffers and in
/// those of the kernel, which no budget counts.
const UNREAD: usize = 8;

/// An unfinished body that holds a part of the budget of large ones for longer gives it up where others want it. One of 18 MB takes
/// a tenth of it.
const LARGE_BODY_AGE: Duration = Duration::from_secs(1);

/// Where every request is being answered, the time after which we look again for a connection to evict.
const RETRY: Duration = Duration::from_millis(50);

/// What stands for a connection that was evicted in the place of its phase.
const EVICTED: u8 = u8::MAX;

/// Every connection of a listener.
#[derive(Debug)]
pub(super) struct Connections {
    limit: usize,
    listener: Listener,
    metrics: Option<Arc<Metrics>>,
    slots: Arc<Semaphore>,
    /// Locked when a connection is opened, closed or evicted, and not by a request.
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

/// What is known of a connection, for whoever has to choose between several.
#[derive(Debug)]
struct Connection {
    phase: AtomicU8,
    /// Microseconds from the epoch of its listener.
    since: AtomicU64,
    /// Bytes that came since the last one that a request is made of.
    unproductive: AtomicUsize,
    /// Whether its client has not taken an answer at once, and has not taken it since.
    has_unread: AtomicBool,
    /// Bytes that its body or answer holds of each budget.
    holds: [AtomicUsize; 2],
    reset: AtomicBool,
    client: Arc<AtomicUsize>,
    evicted: CancellationToken,
}

/// A connection as its own task and those that answer on it know it.
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

    /// Makes room for a connection from this address, for which another may be evicted. Waits only while every request is
    /// being answered. `abort` closes it, like all others.
    pub(super) async fn admit(self: &Arc<Self>, address: IpAddr, abort: &CancellationToken) -> Slot {
        let permit = loop {
            let full = self.lock().connections.len() >= self.limit;
            if full && !self.evict() {
                tokio::time::sleep(RETRY).await;
                continue;
            }
            // Its owner is never closed, so an error is the deadline's.
            if let Ok(Ok(permit)) = timeout(RETRY, Arc::clone(&self.slots).acquire_owned()).await {
                break permit;
            }
        };
        let mut open = self.lock();
        let (id, client) = (open.next, network(address));
        open.next += 1;
        let peers = Arc::clone(open.clients.entry(client).or_default());
        peers.fetch_add(1, Ordering::Relaxed);
        let connection = Arc::new(Connection {
            phase: AtomicU8::new(number(Phase::Silent)),
            since: AtomicU64::new(self.now()),
            unproductive: AtomicUsize::new(0),
            has_unread: AtomicBool::new(false),
            holds: [AtomicUsize::new(0), AtomicUsize::new(0)],
            reset: AtomicBool::new(false),
            client: peers,
            evicted: abort.child_token(),
        });
        open.connections.insert(id, Arc::clone(&connection));
        drop(open);
        Slot { handle: Handle { connections: Arc::clone(self), connection }, id, client, _permit: permit }
    }

    /// Evicts the connection with the least claim; whether there was one.
    fn evict(&self) -> bool {
        self.evict_chosen(|open| victim(open, self.limit, self.now()))
    }

    /// Evicts the connection whose answer has been unread for longest; whether there was one.
    fn evict_unread(&self) -> bool {
        self.evict_chosen(|open| {
            let unread = open.iter().filter(|candidate| candidate.has_unread && candidate.phase != Phase::Review);
            first_of(unread, self.limit)
        })
    }

    /// Evicts the connection with an unfinished body or an answer that holds most of a budget, of several the oldest; how
    /// many bytes will come back to it.
    fn evict_holder(&self, budget: Budget) -> Option<usize> {
        let mut freed = None;
        let oldest = match budget {
            Budget::Small => self.now(),
            Budget::Large => self.now().saturating_sub(micros(LARGE_BODY_AGE)),
        };
        self.evict_chosen(|open| {
            let holds = |candidate: &&Candidate| {
                let unfinished = matches!(candidate.phase, Phase::Body | Phase::Answer) || candidate.has_unread;
                unfinished
                    && candidate.phase != Phase::Review
                    && candidate.since <= oldest
                    && candidate.holds(budget) > 0
            };
            let most = open.iter().filter(holds).max_by_key(|one| (one.holds(budget), std::cmp::Reverse(one.since)));
            freed = most.map(|one| one.holds(budget));
            most.copied()
        });
        freed
    }

    fn evict_chosen(&self, mut choose: impl FnMut(&[Candidate]) -> Option<Candidate>) -> bool {
        let mut open = self.lock();
        let mut candidates: Vec<_> = open.connections.iter().filter_map(|(&id, one)| one.candidate(id)).collect();
        while let Some(chosen) = choose(&candidates) {
            let phase = number(chosen.phase);
            let evicted = open.connections.get(&chosen.id).is_some_and(|connection| {
                let exchanged = connection.phase.compare_exchange(phase, EVICTED, Ordering::Relaxed, Ordering::Relaxed);
                exchanged.is_ok().then(|| connection.close(chosen.phase)).is_some()
            });
            if evicted {
                open.connections.remove(&chosen.id);
                drop(open);
                self.count(chosen.phase);
                return true;
            }
            // It has moved on since it was looked at.
            candidates.retain(|candidate| candidate.id != chosen.id);
        }
        false
    }

    /// Counts an eviction, and logs it where no line has told of any for a while.
    fn count(&self, phase: Phase) {
        let phase = match phase {
            Phase::Silent => Eviction::Silent,
            Phase::Head => Eviction::Head,
            Phase::Body => Eviction::Body,
            // A request that is being answered is never evicted.
            Phase::Review | Phase::Answer => Eviction::Answer,
            Phase::Idle => Eviction::Idle,
        };
        if let Some(metrics) = &self.metrics {
            metrics.evicted(self.listener, phase);
        }
        if let Some(not_logged) = self.lines.pass() {
            let listener = self.listener.name();
            warn!(listener, ?phase, not_logged, "too many connections or unfinished requests: closed the oldest");
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
        let phase = phase(self.phase.load(Ordering::Relaxed))?;
        let holds = [&self.holds[0], &self.holds[1]].map(|bytes| bytes.load(Ordering::Relaxed));
        let has_unread = self.has_unread.load(Ordering::Relaxed);
        Some(Candidate { id, phase, since, peers: self.client.load(Ordering::Relaxed), has_unread, holds })
    }

    /// Ends its task. A client that is idle sees an ordinary end, and may send its next request elsewhere; nobody else
    /// gets to keep what waits in the kernel's buffers.
    fn close(&self, phase: Phase) {
        self.reset.store(phase != Phase::Idle, Ordering::Relaxed);
        self.evicted.cancel();
    }
}

impl Handle {
    /// What the connection does; none once it is evicted.
    pub(super) fn phase(&self) -> Option<Phase> {
        phase(self.connection.phase.load(Ordering::Relaxed))
    }

    /// The connection does something else from now on, unless it is evicted.
    pub(super) fn enter(&self, phase: Phase) {
        self.connection.since.store(self.connections.now(), Ordering::Relaxed);
        let kept = |held: u8| (held != EVICTED).then(|| number(phase));
        // An error says that it is evicted, and stays so.
        let _ = self.connection.phase.fetch_update(Ordering::Relaxed, Ordering::Relaxed, kept);
    }

    /// Runs what serves the connection until it ends, or until the connection is evicted or aborted.
    pub(super) async fn until_evicted(&self, serve: impl Future<Output = ()>) {
        let _ = self.connection.evicted.run_until_cancelled(serve).await;
    }

    /// The client does not take its answer at once. Beyond the limit for that, the oldest such answer is given up.
    pub(super) fn unread(&self) {
        self.connection.has_unread.store(true, Ordering::Relaxed);
        let connections = &self.connections;
        let unread = {
            let open = connections.lock();
            open.connections.values().filter(|one| one.has_unread.load(Ordering::Relaxed)).count()
        };
        if unread > (connections.limit / UNREAD).max(1) {
            connections.evict_unread();
        }
    }

    /// The client has taken its answer after all.
    pub(super) fn has_read(&self) {
        self.connection.has_unread.store(false, Ordering::Relaxed);
    }

    /// So many bytes of a budget are held for this connection from now on.
    pub(super) fn hold(&self, budget: Budget, bytes: usize) {
        self.connection.holds[budget as usize].store(bytes, Ordering::Relaxed);
    }

    /// Evicts connections that hold parts of a budget until so many bytes will come back to it, or none holds any; how
    /// many. This connection itself may be among them.
    pub(super) fn evict_holders(&self, budget: Budget, bytes: usize) -> usize {
        let mut freed = 0;
        while freed < bytes
            && let Some(more) = self.connections.evict_holder(budget)
        {
            freed += more;
        }
        freed
    }

    /// So many bytes came; how many since the last byte of a request.
    pub(super) fn received(&self, bytes: usize) -> usize {
        self.connection.unproductive.fetch_add(bytes, Ordering::Relaxed) + bytes
    }

    /// What came is good: a handshake that is complete, or bytes of a request.
    pub(super) fn progressed(&self) {
        self.connection.unproductive.store(0, Ordering::Relaxed);
    }

    /// What the kernel still holds for the client is dropped with the connection.
    pub(super) fn give_up(&self) {
        self.connection.reset.store(true, Ordering::Relaxed);
    }

    /// Whether what the kernel still holds is to be dropped.
    pub(super) fn is_given_up(&self) -> bool {
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

/// How many connections may be open at this limit, those included that are evicted and not closed yet.
pub(crate) fn most_open(limit: usize) -> usize {
    limit + (limit / CLOSING).max(1)
}

/// What counts as one client: an address, of IPv6 the network of 64 bits, any address of which a host can take.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6((address.to_bits() >> 64 << 64).into()),
        address @ IpAddr::V4(_) => address,
    }
}

fn number(phase: Phase) -> u8 {
    match phase {
        Phase::Silent => 0,
        Phase::Head => 1,
        Phase::Body => 2,
        Phase::Review => 3,
        Phase::Answer => 4,
        Phase::Idle => 5,
    }
}

fn phase(number: u8) -> Option<Phase> {
    [Phase::Silent, Phase::Head, Phase::Body, Phase::Review, Phase::Answer, Phase::Idle]
        .get(usize::from(number))
        .copied()
}

#[cfg(test)]
pub(super) mod tests {
    use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
    use std::sync::Arc;

    use tokio_util::sync::CancellationToken;

    use super::{Connections, Phase, Slot, most_open, network};
    use crate::metrics::{Listener, Metrics};

    const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

    /// A connection, the only one of its listener.
    pub(in crate::server) async fn single() -> Slot {
        Connections::new(1, Listener::Webhook, None).admit(HERE, &CancellationToken::new()).await
    }

    #[tokio::test]
    async fn a_new_connection_evicts_another_and_is_counted() {
        let (abort, metrics) = (CancellationToken::new(), Arc::new(Metrics::default()));
        let connections = Connections::new(2, Listener::Admin, Some(Arc::clone(&metrics)));
        let idle = connections.admit(HERE, &abort).await;
        idle.handle.enter(Phase::Idle);
        let busy = connections.admit(HERE, &abort).await;
        busy.handle.enter(Phase::Review);
        let new = connections.admit(HERE, &abort).await;
        assert_eq!((idle.handle.phase(), busy.handle.phase()), (None, Some(Phase::Review)));
        // Its task ends, and a request that came in that moment changes nothing.
        idle.handle.until_evicted(std::future::pending()).await;
        idle.handle.enter(Phase::Body);
        assert_eq!(idle.handle.phase(), None);
        assert!(!idle.handle.is_given_up(), "an idle client sees an ordinary end");
        let line = "dynamo_cache_connections_evicted_total{listener=\"admin\",phase=\"idle\"} 1\n";
        assert!(metrics.page().contains(line), "{}", metrics.page());
        drop((new, busy, idle));
        assert!(connections.lock().clients.is_empty() && connections.lock().connections.is_empty());
        assert_eq!(connections.slots.available_permits(), most_open(2));
    }

    #[tokio::test(start_paused = true)]
    async fn a_new_connection_waits_while_every_request_is_being_answered() {
        let (abort, connections) = (CancellationToken::new(), Connections::new(1, Listener::Webhook, None));
        let busy = connections.admit(HERE, &abort).await;
        busy.handle.enter(Phase::Review);
        let mut waiting = Box::pin(connections.admit(HERE, &abort));
        assert!(futures::poll!(&mut waiting).is_pending());
        busy.handle.enter(Phase::Idle);
        waiting.await;
        assert_eq!(busy.handle.phase(), None);
    }

    #[tokio::test]
    async fn only_so_many_answers_wait_for_clients_that_do_not_take_them() {
        let (abort, connections) = (CancellationToken::new(), Connections::new(16, Listener::Webhook, None));
        let mut slots = Vec::new();
        for _ in 0..5 {
            let slot = connections.admit(HERE, &abort).await;
            slot.handle.enter(Phase::Answer);
            slot.handle.unread();
            slots.push(slot);
        }
        let left: Vec<_> = slots.iter().map(|slot| slot.handle.phase().is_some()).collect();
        assert_eq!(left, [false, false, false, true, true]);
        assert!(slots[0].handle.is_given_up());
    }

    #[test]
    fn a_host_with_a_network_of_addresses_is_one_client() {
        let v6 = |text: &str| IpAddr::V6(text.parse::<Ipv6Addr>().unwrap());
        assert_eq!(network(v6("2001:db8::1")), network(v6("2001:db8::ffff:1")));
        assert_ne!(network(v6("2001:db8::1")), network(v6("2001:db8:0:1::1")));
        assert_eq!(network(v6("::ffff:127.0.0.1")), HERE);
    }
}
