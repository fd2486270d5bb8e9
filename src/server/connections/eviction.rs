//! Which connection is evicted when there are too many: decided from what each of them does, without a clock or a lock.

/// What a connection does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::server) enum Phase {
    /// Its TLS handshake is not complete, or no byte of a request has come.
    Silent,
    /// The head of a request is not whole.
    Head,
    /// The head is here, and the body is not whole.
    Body,
    /// The request is being answered.
    Review,
    /// The client has not taken the answer yet.
    Answer,
    /// The client has its answer and may send the next request.
    Idle,
}

/// What bodies and answers have their share of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::server) enum Budget {
    /// Bodies and answers of the usual size.
    Small = 0,
    /// All others.
    Large = 1,
}

/// Phases that take an honest client milliseconds, those with the least claim to a connection first.
const UNFINISHED: [Phase; 4] = [Phase::Silent, Phase::Head, Phase::Body, Phase::Answer];

/// Microseconds after which an unfinished phase goes before an idle connection, whatever its share. The chart's `timeoutSeconds`
/// is 3: the API server has given up by then.
const OVERDUE: u64 = 3_000_000;

/// Each unfinished phase keeps a sixth of all connections before an idle one is evicted for it. Otherwise a client that fills
/// the server with idle connections and opens one more every millisecond would leave a single slot for all handshakes, from
/// which each evicts the one before.
const SHARE: usize = 6;

/// Clients with at most a third of all connections are equal: an API server was seen to open two hundred. A larger one loses its
/// own connections first, so that a pod that opens thousands evicts none of an API server's, whose address is another.
const FAIR: usize = 3;

/// A connection as the decision sees it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Candidate {
    pub(super) id: u64,
    pub(super) phase: Phase,
    /// When the phase began, in microseconds of any clock.
    pub(super) since: u64,
    /// How many connections its client has.
    pub(super) peers: usize,
    /// Whether its client does not take an answer.
    pub(super) has_unread: bool,
    /// Bytes that it holds of each budget.
    pub(super) holds: [usize; 2],
}

impl Candidate {
    pub(super) fn holds(&self, budget: Budget) -> usize {
        self.holds[budget as usize]
    }
}

/// The connection to evict, of `limit` that are open; none where all requests are being answered.
pub(super) fn victim(open: &[Candidate], limit: usize, now: u64) -> Option<Candidate> {
    let in_phase = |phase| open.iter().filter(move |candidate| candidate.phase == phase);
    let overdue = |phase| in_phase(phase).filter(|candidate| now.saturating_sub(candidate.since) >= OVERDUE);
    UNFINISHED
        .into_iter()
        .find_map(|phase| first_of(overdue(phase), limit))
        .or_else(|| {
            let crowded = UNFINISHED.into_iter().find(|phase| in_phase(*phase).count() > limit / SHARE);
            first_of(in_phase(crowded?), limit)
        })
        .or_else(|| first_of(in_phase(Phase::Idle), limit))
        .or_else(|| UNFINISHED.into_iter().find_map(|phase| first_of(in_phase(phase), limit)))
}

/// The one of a phase to evict: of the client with the most connections where one has more than is fair, and the oldest.
pub(super) fn first_of<'c>(candidates: impl Iterator<Item = &'c Candidate>, limit: usize) -> Option<Candidate> {
    let excess = |candidate: &Candidate| if candidate.peers > limit / FAIR { candidate.peers } else { 0 };
    candidates.max_by_key(|candidate| (excess(candidate), std::cmp::Reverse(candidate.since))).copied()
}

#[cfg(test)]
mod tests {
    use super::{Candidate, OVERDUE, Phase, victim};

    const LIMIT: usize = 96;
    const NOW: u64 = 10 * OVERDUE;

    /// So many connections of a client in one phase, the oldest of this age.
    fn some(count: usize, phase: Phase, oldest: u64, peers: usize) -> Vec<Candidate> {
        let one = |number| Candidate {
            id: number,
            phase,
            since: NOW - oldest + number,
            peers,
            has_unread: false,
            holds: [0; 2],
        };
        (0..count as u64).map(one).collect()
    }

    #[test]
    fn unfinished_connections_are_evicted_in_their_order_and_idle_ones_last() {
        let order = [Phase::Silent, Phase::Head, Phase::Body, Phase::Answer, Phase::Idle];
        let mut open: Vec<_> = order.into_iter().flat_map(|phase| some(2, phase, OVERDUE + 9, 1)).collect();
        open.extend(some(5, Phase::Review, 2 * OVERDUE, 1));
        for phase in order.into_iter().flat_map(|phase| [phase; 2]) {
            let evicted = victim(&open, LIMIT, NOW).unwrap();
            assert_eq!(evicted.phase, phase);
            let oldest = open.iter().filter(|one| one.phase == phase).map(|one| one.since).min();
            assert_eq!(Some(evicted.since), oldest, "{phase:?}");
            open.retain(|one| (one.phase, one.since) != (phase, evicted.since));
        }
        assert!(victim(&open, LIMIT, NOW).is_none(), "a review that is being answered is never evicted");
    }

    #[test]
    fn a_handshake_of_a_moment_ago_outlives_idle_connections_up_to_its_share() {
        let idle = some(LIMIT - 16, Phase::Idle, 5 * OVERDUE, 1);
        let open = [idle.clone(), some(16, Phase::Silent, 20, 1)].concat();
        assert_eq!(victim(&open, LIMIT, NOW).unwrap().phase, Phase::Idle);
        let open = [idle, some(17, Phase::Silent, 20, 1)].concat();
        let evicted = victim(&open, LIMIT, NOW).unwrap();
        assert_eq!((evicted.phase, evicted.id), (Phase::Silent, 0));
    }

    #[test]
    fn the_client_with_the_most_connections_loses_one_of_its_own_first() {
        let (many, few) = (some(60, Phase::Silent, 10, 60), some(10, Phase::Silent, 2000, 10));
        assert_eq!(victim(&[few.clone(), many.clone()].concat(), LIMIT, NOW).unwrap().peers, 60);
        // Below a third, who has more is no reason.
        let fewer = some(20, Phase::Silent, 100, 30);
        assert_eq!(victim(&[few, fewer].concat(), LIMIT, NOW).unwrap().peers, 10);
    }
}
