//! Whether somebody else keeps undoing what we publish, and when to stop doing it again.

use std::collections::{HashMap, HashSet, VecDeque};
use std::time::Duration;

use rustls::pki_types::CertificateDer;
use tokio::time::Instant;

/// So many times within `WINDOW`, and we stop.
const MOST: usize = 5;

/// What was longer ago does not count.
const WINDOW: Duration = Duration::from_secs(10 * 60);

/// From there to the next try: who undid it may have stopped by then.
const REST: Duration = Duration::from_secs(60 * 60);

/// The pause after the second time; it doubles with each.
const PAUSE: Duration = Duration::from_secs(1);

/// A CA in an entry.
pub(super) type Place = (String, CertificateDer<'static>);

/// What we have seen published and then taken, and what we took.
#[derive(Debug, Default)]
pub(super) struct Contest {
    had: HashSet<Place>,
    taken: VecDeque<Instant>,
    /// What was taken last, and until when it is left alone.
    contested: HashSet<Place>,
    rests: Option<Instant>,
    /// What we took because its time is over, and when.
    pruned: HashMap<Place, Instant>,
}

impl Contest {
    /// Takes in which of ours are in which entry now, of those that should be. True: one was taken that was there.
    pub(super) fn see(&mut self, wanted: impl Iterator<Item = Place>, has: HashSet<Place>, now: Instant) -> bool {
        let taken: HashSet<_> = wanted.filter(|place| self.had.contains(place) && !has.contains(place)).collect();
        self.had = has;
        if taken.is_empty() {
            return false;
        }
        self.contested = taken;
        self.taken.retain(|then| now.duration_since(*then) < WINDOW);
        self.taken.push_back(now);
        let so_often = self.taken.len();
        self.rests = match so_often {
            0 | 1 => None,
            MOST.. => Some(now + REST),
            _ => Some(now + PAUSE * (1 << (so_often - 2))),
        };
        true
    }

    /// These were put there, and those were taken: whoever undoes it before we have seen it there has undone it all the
    /// same.
    pub(super) fn put(
        &mut self,
        places: impl Iterator<Item = Place>,
        pruned: impl Iterator<Item = Place>,
        now: Instant,
    ) {
        self.had.extend(places);
        self.pruned.retain(|_, then| now < *then + REST);
        self.pruned.extend(pruned.map(|place| (place, now)));
    }

    /// Whether one is not to be put back now.
    pub(super) fn rests(&self, place: &Place, now: Instant) -> bool {
        self.rest_lasts(now) && self.contested.contains(place)
    }

    /// Whether somebody has put back what we took: by their clock its time is not over, and they may still serve by it.
    pub(super) fn insists(&self, place: &Place, now: Instant) -> bool {
        self.pruned.get(place).is_some_and(|then| now < *then + REST)
    }

    /// Whether we have stopped putting something back that is missing.
    pub(super) fn gave_up(&self, now: Instant) -> bool {
        self.taken.len() >= MOST && self.rest_lasts(now) && !self.contested.is_subset(&self.had)
    }

    /// When to try again.
    pub(super) fn when(&self) -> Option<Instant> {
        self.rests
    }

    fn rest_lasts(&self, now: Instant) -> bool {
        self.rests.is_some_and(|until| now < until)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::iter::empty;

    use rustls::pki_types::CertificateDer;
    use tokio::time::Instant;

    use super::{Contest, MOST, Place, REST, WINDOW};

    fn place(entry: &str) -> Place {
        (entry.to_owned(), CertificateDer::from(vec![1]))
    }

    #[test]
    fn what_is_taken_again_and_again_is_given_up_for_a_while() {
        let (mut contest, now) = (Contest::default(), Instant::now());
        let (wanted, there, nothing) = (|| [place("a")].into_iter(), HashSet::from([place("a")]), HashSet::new());
        assert!(!contest.see(wanted(), nothing.clone(), now), "it was never there");
        for time in 1..=MOST {
            assert!(!contest.see(wanted(), there.clone(), now));
            assert!(!contest.gave_up(now));
            assert!(contest.see(wanted(), nothing.clone(), now));
            assert!(!contest.see(wanted(), nothing.clone(), now), "it is taken once");
            assert_eq!(contest.rests(&place("a"), now), time > 1, "the first time it is put back at once");
            assert!(!contest.rests(&place("b"), now), "another is no part of it");
        }
        assert!(contest.gave_up(now) && !contest.rests(&place("a"), now + REST));
        assert!(!contest.see(wanted(), there.clone(), now));
        assert!(!contest.gave_up(now), "somebody has put it back");
        assert!(contest.see(wanted(), nothing, now + REST + WINDOW));
        assert!(!contest.rests(&place("a"), now + REST + WINDOW), "what was long ago does not count");
    }

    #[test]
    fn what_is_taken_before_we_see_it_there_counts() {
        let (mut contest, now) = (Contest::default(), Instant::now());
        contest.put([place("a")].into_iter(), empty(), now);
        assert!(contest.see([place("a")].into_iter(), HashSet::new(), now));
    }

    #[test]
    fn what_we_took_is_left_to_whoever_puts_it_back() {
        let (mut contest, now) = (Contest::default(), Instant::now());
        assert!(!contest.insists(&place("a"), now));
        contest.put(empty(), [place("a")].into_iter(), now);
        assert!(contest.insists(&place("a"), now) && !contest.insists(&place("a"), now + REST));
    }

    #[test]
    fn an_entry_that_is_new_or_gone_was_taken_by_nobody() {
        let (mut contest, now) = (Contest::default(), Instant::now());
        contest.see([place("a")].into_iter(), HashSet::from([place("a")]), now);
        assert!(!contest.see([place("a"), place("b")].into_iter(), HashSet::from([place("a")]), now));
        assert!(!contest.see([place("b")].into_iter(), HashSet::from([place("b")]), now));
    }
}
