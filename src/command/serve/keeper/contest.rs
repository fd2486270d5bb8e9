//! Whether somebody else keeps taking what we publish, and when to stop putting it back.

use std::collections::{HashSet, VecDeque};
use std::time::Duration;

use rustls::pki_types::CertificateDer;
use tokio::time::Instant;

/// So many times within `WINDOW`, and we stop.
const MOST: usize = 5;

/// What was longer ago does not count.
const WINDOW: Duration = Duration::from_secs(10 * 60);

/// From there to the next try: who took it may have stopped by then.
const REST: Duration = Duration::from_secs(60 * 60);

/// The pause after the second time; it doubles with each.
const PAUSE: Duration = Duration::from_secs(1);

/// A CA in an entry.
type Place = (String, CertificateDer<'static>);

/// What we have seen published and then taken.
#[derive(Debug, Default)]
pub(super) struct Contest {
    had: HashSet<Place>,
    taken: VecDeque<Instant>,
    rests: Option<Instant>,
}

impl Contest {
    /// Takes in which of ours are in which entry now, of those that should be. True: one was taken that was there.
    pub(super) fn see(&mut self, wanted: impl Iterator<Item = Place>, has: HashSet<Place>, now: Instant) -> bool {
        let taken = wanted.into_iter().any(|place| self.had.contains(&place) && !has.contains(&place));
        self.had = has;
        if taken {
            self.taken.retain(|then| now.duration_since(*then) < WINDOW);
            self.taken.push_back(now);
            let so_often = self.taken.len();
            self.rests = match so_often {
                0 | 1 => None,
                MOST.. => Some(now + REST),
                _ => Some(now + PAUSE * (1 << (so_often - 2))),
            };
        }
        taken
    }

    /// These were put there: whoever takes them before we have seen them there has taken them all the same.
    pub(super) fn put(&mut self, places: impl Iterator<Item = Place>) {
        self.had.extend(places);
    }

    /// Whether nothing is to be put back now.
    pub(super) fn rests(&self, now: Instant) -> bool {
        self.rests.is_some_and(|until| now < until)
    }

    /// Whether we have stopped putting it back.
    pub(super) fn gave_up(&self, now: Instant) -> bool {
        self.taken.len() >= MOST && self.rests(now)
    }

    /// When to try again.
    pub(super) fn when(&self) -> Option<Instant> {
        self.rests
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

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
            assert_eq!(contest.rests(now), time > 1, "the first time it is put back at once");
        }
        assert!(contest.gave_up(now) && !contest.rests(now + REST));
        assert!(!contest.see(wanted(), there.clone(), now + REST));
        assert!(contest.see(wanted(), nothing, now + REST + WINDOW));
        assert!(!contest.rests(now + REST + WINDOW), "what was long ago does not count");
    }

    #[test]
    fn what_is_taken_before_we_see_it_there_counts() {
        let (mut contest, now) = (Contest::default(), Instant::now());
        contest.put([place("a")].into_iter());
        assert!(contest.see([place("a")].into_iter(), HashSet::new(), now));
    }

    #[test]
    fn an_entry_that_is_new_or_gone_was_taken_by_nobody() {
        let (mut contest, now) = (Contest::default(), Instant::now());
        contest.see([place("a")].into_iter(), HashSet::from([place("a")]), now);
        assert!(!contest.see([place("a"), place("b")].into_iter(), HashSet::from([place("a")]), now));
        assert!(!contest.see([place("b")].into_iter(), HashSet::from([place("b")]), now));
    }
}
