//! Chooses the connection to evict, from the state of all connections and without a clock or a lock.

/// The phase of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::server) enum Phase {
    /// The TLS handshake is incomplete, or no byte of a request has arrived.
    Handshake,
    /// The head of a request is incomplete.
    Head,
    /// The head is complete, and the body is not.
    Body,
    /// The request is being reviewed.
    Review,
    /// The client has not read the response yet.
    Response,
    /// The client has read the response and may send the next request.
    Idle,
}

/// A memory budget for bodies and responses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::server) enum Budget {
    /// For bodies and responses of usual size.
    Small = 0,
    /// For all others.
    Large = 1,
}

/// The phases that take an honest client milliseconds, those with the least claim first.
const UNFINISHED: [Phase; 4] = [Phase::Handshake, Phase::Head, Phase::Body, Phase::Response];

/// Microseconds after which a connection in an unfinished phase is evicted before an idle one, whatever its share. The
/// chart's `timeoutSeconds` is 3, so the API server has given up by then.
const OVERDUE: u64 = 3_000_000;

/// Each unfinished phase may grow to a sixth of all connections at the expense of idle ones. Otherwise a client that fills
/// the server with idle connections and opens one more each millisecond would leave a single slot for all handshakes,
/// each of which evicts the previous one.
const SHARE: usize = 6;

/// Clients with at most a third of all connections are treated alike, since an API server was observed to open two
/// hundred. A client with more loses its own connections first, so a pod that opens thousands evicts none of an API
/// server's, which has another address.
const FAIR: usize = 3;

/// A snapshot of a connection.
#[derive(Clone, Copy, Debug)]
pub(super) struct Candidate {
    pub(super) id: u64,
    pub(super) phase: Phase,
    /// When the phase began, in microseconds of any clock.
    pub(super) since: u64,
    /// The number of connections of its client.
    pub(super) peers: usize,
    /// Whether its client has left a response unread.
    pub(super) has_unread: bool,
    /// The bytes that it holds of each budget.
    pub(super) buffered: [usize; 2],
}

impl Candidate {
    pub(super) fn buffered(&self, budget: Budget) -> usize {
        self.buffered[budget as usize]
    }
}

/// The connection to evict, or `None` if every request is being reviewed. `limit` is the most connections of the
/// listener.
pub(super) fn choose_victim(open: &[Candidate], limit: usize, now: u64) -> Option<Candidate> {
    let in_phase = |phase| open.iter().filter(move |candidate| candidate.phase == phase);
    let overdue = |phase| in_phase(phase).filter(|candidate| now.saturating_sub(candidate.since) >= OVERDUE);
    UNFINISHED
        .into_iter()
        .find_map(|phase| choose_among(overdue(phase), limit))
        .or_else(|| {
            let crowded = UNFINISHED.into_iter().find(|phase| in_phase(*phase).count() > limit / SHARE);
            choose_among(in_phase(crowded?), limit)
        })
        .or_else(|| choose_among(in_phase(Phase::Idle), limit))
        .or_else(|| UNFINISHED.into_iter().find_map(|phase| choose_among(in_phase(phase), limit)))
}

/// The candidate to evict: of the client with the most connections if one exceeds its fair share, and the oldest.
pub(super) fn choose_among<'c>(candidates: impl Iterator<Item = &'c Candidate>, limit: usize) -> Option<Candidate> {
    let excess = |candidate: &Candidate| if candidate.peers > limit / FAIR { candidate.peers } else { 0 };
    candidates.max_by_key(|candidate| (excess(candidate), std::cmp::Reverse(candidate.since))).copied()
}

#[cfg(test)]
mod tests {
    use super::{Candidate, OVERDUE, Phase, choose_victim};

    const LIMIT: usize = 96;
    const NOW: u64 = 10 * OVERDUE;

    /// Connections of a client in one phase, the oldest of this age.
    fn some(count: usize, phase: Phase, oldest: u64, peers: usize) -> Vec<Candidate> {
        let one = |number| Candidate {
            id: number,
            phase,
            since: NOW - oldest + number,
            peers,
            has_unread: false,
            buffered: [0; 2],
        };
        (0..count as u64).map(one).collect()
    }

    #[test]
    fn unfinished_connections_are_evicted_in_their_order_and_idle_ones_last() {
        let order = [Phase::Handshake, Phase::Head, Phase::Body, Phase::Response, Phase::Idle];
        let mut open: Vec<_> = order.into_iter().flat_map(|phase| some(2, phase, OVERDUE + 9, 1)).collect();
        open.extend(some(5, Phase::Review, 2 * OVERDUE, 1));
        for phase in order.into_iter().flat_map(|phase| [phase; 2]) {
            let evicted = choose_victim(&open, LIMIT, NOW).unwrap();
            assert_eq!(evicted.phase, phase);
            let oldest = open.iter().filter(|one| one.phase == phase).map(|one| one.since).min();
            assert_eq!(Some(evicted.since), oldest, "{phase:?}");
            open.retain(|one| (one.phase, one.since) != (phase, evicted.since));
        }
        assert!(choose_victim(&open, LIMIT, NOW).is_none(), "a request that is being reviewed is never evicted");
    }

    #[test]
    fn a_handshake_of_a_moment_ago_outlives_idle_connections_up_to_its_share() {
        let idle = some(LIMIT - 16, Phase::Idle, 5 * OVERDUE, 1);
        let open = [idle.clone(), some(16, Phase::Handshake, 20, 1)].concat();
        assert_eq!(choose_victim(&open, LIMIT, NOW).unwrap().phase, Phase::Idle);
        let open = [idle, some(17, Phase::Handshake, 20, 1)].concat();
        let evicted = choose_victim(&open, LIMIT, NOW).unwrap();
        assert_eq!((evicted.phase, evicted.id), (Phase::Handshake, 0));
    }

    #[test]
    fn the_client_with_the_most_connections_loses_one_of_its_own_first() {
        let (many, few) = (some(60, Phase::Handshake, 10, 60), some(10, Phase::Handshake, 2000, 10));
        assert_eq!(choose_victim(&[few.clone(), many.clone()].concat(), LIMIT, NOW).unwrap().peers, 60);
        // Below a third, having more connections does not matter.
        let fewer = some(20, Phase::Handshake, 100, 30);
        assert_eq!(choose_victim(&[few, fewer].concat(), LIMIT, NOW).unwrap().peers, 10);
    }
}
