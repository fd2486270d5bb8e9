//! Detects that another client keeps reverting our writes of `caBundle`, and decides when to stop repeating them.

use std::collections::{HashMap, HashSet, VecDeque};
use std::time::Duration;

use rustls::pki_types::CertificateDer;
use tokio::time::Instant;

use crate::cluster::webhook_configuration::Entry;

/// The number of removals within `WINDOW` after which we stop.
const MAX_REMOVALS: usize = 5;

/// Removals longer ago do not count.
const WINDOW: Duration = Duration::from_secs(10 * 60);

/// How long we stop. The other client may have stopped by then.
const GIVE_UP_FOR: Duration = Duration::from_secs(60 * 60);

/// The pause after the second removal. It doubles with each.
const FIRST_PAUSE: Duration = Duration::from_secs(1);

/// A CA in an entry of the webhook configuration.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct PublishedCa {
    /// The name of the entry.
    pub(super) entry: String,
    /// The CA in DER.
    pub(super) certificate: CertificateDer<'static>,
}

impl PublishedCa {
    /// A CA in this entry.
    pub(super) fn new(entry: &Entry, certificate: CertificateDer<'static>) -> Self {
        PublishedCa { entry: entry.name.clone(), certificate }
    }
}

/// The CAs of ours that were published and removed, and those that we withdrew.
#[derive(Debug, Default)]
pub(super) struct OwnershipConflict {
    present: HashSet<PublishedCa>,
    removals: VecDeque<Instant>,
    /// The CAs that were removed last. They are not published again until `paused_until`.
    contested: HashSet<PublishedCa>,
    paused_until: Option<Instant>,
    /// The CAs that we withdrew, and when.
    withdrawn: HashMap<PublishedCa, Instant>,
}

impl OwnershipConflict {
    /// Records which of our CAs each entry has. `expected` are those that it should have. Returns whether one was
    /// removed.
    pub(super) fn observe(
        &mut self,
        expected: impl Iterator<Item = PublishedCa>,
        found: HashSet<PublishedCa>,
        now: Instant,
    ) -> bool {
        let removed: HashSet<_> = expected.filter(|ca| self.present.contains(ca) && !found.contains(ca)).collect();
        self.present = found;
        if removed.is_empty() {
            return false;
        }
        self.contested = removed;
        self.removals.retain(|then| now.duration_since(*then) < WINDOW);
        self.removals.push_back(now);
        let removals = self.removals.len();
        self.paused_until = match removals {
            0 | 1 => None,
            MAX_REMOVALS.. => Some(now + GIVE_UP_FOR),
            _ => Some(now + FIRST_PAUSE * (1 << (removals - 2))),
        };
        true
    }

    /// Records a write that added and withdrew these CAs. If another client reverts it before the watch delivers it, it
    /// counts as reverted.
    pub(super) fn record_write(
        &mut self,
        added: impl Iterator<Item = PublishedCa>,
        withdrawn: impl Iterator<Item = PublishedCa>,
        now: Instant,
    ) {
        self.present.extend(added);
        self.withdrawn.retain(|_, then| now < *then + GIVE_UP_FOR);
        self.withdrawn.extend(withdrawn.map(|ca| (ca, now)));
    }

    /// Whether this CA is not to be published now.
    pub(super) fn is_paused(&self, ca: &PublishedCa, now: Instant) -> bool {
        self.is_pause_active(now) && self.contested.contains(ca)
    }

    /// Whether another client restored a CA that we withdrew. By its clock the CA may not have expired, and it may
    /// still serve under it.
    pub(super) fn is_contested(&self, ca: &PublishedCa, now: Instant) -> bool {
        self.withdrawn.get(ca).is_some_and(|then| now < *then + GIVE_UP_FOR)
    }

    /// Whether we have stopped publishing a CA that is missing.
    pub(super) fn gave_up_at(&self, now: Instant) -> bool {
        self.removals.len() >= MAX_REMOVALS && self.is_pause_active(now) && !self.contested.is_subset(&self.present)
    }

    /// When to try again.
    pub(super) fn retry_at(&self) -> Option<Instant> {
        self.paused_until
    }

    fn is_pause_active(&self, now: Instant) -> bool {
        self.paused_until.is_some_and(|until| now < until)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::iter::empty;

    use rustls::pki_types::CertificateDer;
    use tokio::time::Instant;

    use super::{GIVE_UP_FOR, MAX_REMOVALS, OwnershipConflict, PublishedCa, WINDOW};

    fn ca(entry: &str) -> PublishedCa {
        PublishedCa { entry: entry.to_owned(), certificate: CertificateDer::from(vec![1]) }
    }

    #[test]
    fn a_ca_that_is_removed_repeatedly_is_given_up_for_a_while() {
        let (mut conflict, now) = (OwnershipConflict::default(), Instant::now());
        let (expected, found, none) = (|| [ca("a")].into_iter(), HashSet::from([ca("a")]), HashSet::new());
        assert!(!conflict.observe(expected(), none.clone(), now), "it was never found");
        for time in 1..=MAX_REMOVALS {
            assert!(!conflict.observe(expected(), found.clone(), now));
            assert!(!conflict.gave_up_at(now));
            assert!(conflict.observe(expected(), none.clone(), now));
            assert!(!conflict.observe(expected(), none.clone(), now), "it is removed once");
            assert_eq!(conflict.is_paused(&ca("a"), now), time > 1, "the first time it is published again at once");
            assert!(!conflict.is_paused(&ca("b"), now), "another entry is not affected");
        }
        assert!(conflict.gave_up_at(now) && !conflict.is_paused(&ca("a"), now + GIVE_UP_FOR));
        assert!(!conflict.observe(expected(), found.clone(), now));
        assert!(!conflict.gave_up_at(now), "another client has restored it");
        assert!(conflict.observe(expected(), none, now + GIVE_UP_FOR + WINDOW));
        assert!(!conflict.is_paused(&ca("a"), now + GIVE_UP_FOR + WINDOW), "an old removal does not count");
    }

    #[test]
    fn a_removal_before_the_write_is_observed_counts() {
        let (mut conflict, now) = (OwnershipConflict::default(), Instant::now());
        conflict.record_write([ca("a")].into_iter(), empty(), now);
        assert!(conflict.observe([ca("a")].into_iter(), HashSet::new(), now));
    }

    #[test]
    fn a_withdrawn_ca_that_another_client_restores_stays() {
        let (mut conflict, now) = (OwnershipConflict::default(), Instant::now());
        assert!(!conflict.is_contested(&ca("a"), now));
        conflict.record_write(empty(), [ca("a")].into_iter(), now);
        assert!(conflict.is_contested(&ca("a"), now) && !conflict.is_contested(&ca("a"), now + GIVE_UP_FOR));
    }

    #[test]
    fn a_new_or_deleted_entry_is_no_removal() {
        let (mut conflict, now) = (OwnershipConflict::default(), Instant::now());
        conflict.observe([ca("a")].into_iter(), HashSet::from([ca("a")]), now);
        assert!(!conflict.observe([ca("a"), ca("b")].into_iter(), HashSet::from([ca("a")]), now));
        assert!(!conflict.observe([ca("b")].into_iter(), HashSet::from([ca("b")]), now));
    }
}
