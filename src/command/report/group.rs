//! The starts of one owner's pods that found the same.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::inspect::stage_log::Restore;
use crate::stage::record::Reason;

/// The fewest starts that a median is made of: with two, one slow node decides.
pub(super) const FEWEST: usize = 3;

/// What an engine found when it started.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Found {
    /// A compile cache: on its claim, or restored from there.
    Cache,
    /// An empty one: its stage restored nothing.
    Cold,
    /// No compile cache: the webhook skipped it, or was not called.
    Nothing,
    /// A stage whose log does not say what it restored, or cannot be read.
    Unknown,
}

impl Found {
    /// What an engine with a stage found.
    pub(super) fn staged(restore: Option<Restore>) -> Found {
        match restore {
            Some(Restore::Restored(_)) => Found::Cache,
            Some(Restore::Skipped(_)) => Found::Cold,
            None => Found::Unknown,
        }
    }

    /// The word for it in the table and in JSON.
    pub(super) fn word(self) -> &'static str {
        match self {
            Found::Cache => "with",
            Found::Cold => "cold",
            Found::Nothing => "without",
            Found::Unknown => "unknown",
        }
    }
}

/// The starts of pods.
#[derive(Default)]
pub(super) struct Group {
    /// How many pods there are.
    pub(super) pods: usize,
    /// The time that each start took, of those that are known.
    pub(super) starts: Vec<Duration>,
    /// The bytes that each stage restored.
    bytes: Vec<u64>,
    /// The seconds that this took.
    seconds: Vec<f64>,
    /// Why stages restored nothing, and how many.
    pub(super) misses: BTreeMap<Reason, usize>,
}

impl Group {
    /// Adds a pod.
    pub(super) fn add(&mut self, time_to_ready: Option<Duration>, restore: Option<Restore>) {
        self.pods += 1;
        self.starts.extend(time_to_ready);
        match restore {
            Some(Restore::Restored(figures)) => {
                self.bytes.extend(figures.map(|(bytes, _)| bytes));
                self.seconds.extend(figures.map(|(_, seconds)| seconds));
            }
            Some(Restore::Skipped(reason)) => *self.misses.entry(reason).or_default() += 1,
            None => {}
        }
    }

    /// The median of the starts, rounded down to seconds; `None` if there are too few. Of an even number it is the mean of the
    /// two in the middle.
    pub(super) fn median(&self) -> Option<u64> {
        if self.starts.len() < FEWEST {
            return None;
        }
        let mut starts = self.starts.clone();
        starts.sort_unstable();
        let (lower, upper) = middle(&starts)?;
        Some((lower + upper).as_secs() / 2)
    }

    /// The bytes that half of the stages restored at most, and the seconds that half of them took at most; `None` if none
    /// restored anything.
    pub(super) fn restored(&self) -> Option<(u64, f64)> {
        let (mut bytes, mut seconds) = (self.bytes.clone(), self.seconds.clone());
        bytes.sort_unstable();
        seconds.sort_unstable_by(f64::total_cmp);
        Some((middle(&bytes)?.0, middle(&seconds)?.0))
    }
}

/// The two values in the middle of a sorted list; the same one twice if their number is odd.
fn middle<T: Copy>(sorted: &[T]) -> Option<(T, T)> {
    let lower = sorted.get(sorted.len().checked_sub(1)? / 2)?;
    Some((*lower, *sorted.get(sorted.len() / 2)?))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Found, Group};
    use crate::inspect::stage_log::Restore;
    use crate::stage::record::Reason;

    #[test]
    fn the_median_takes_three_starts() {
        let of = |seconds: &[u64]| {
            let mut group = Group::default();
            for seconds in seconds {
                group.add(Some(Duration::from_secs(*seconds)), None);
            }
            group.add(None, None);
            (group.pods, group.median())
        };
        assert_eq!(of(&[48, 50]), (3, None));
        assert_eq!(of(&[50, 400, 48]), (4, Some(50)));
        assert_eq!(of(&[50, 400, 48, 53]), (5, Some(51)));
    }

    #[test]
    fn what_stages_restored_has_a_median_and_what_they_missed_is_counted() {
        let mut group = Group::default();
        assert_eq!(group.restored(), None);
        for figures in [Some((300, 9.0)), Some((100, 1.5)), None, Some((200, 0.5))] {
            group.add(None, Some(Restore::Restored(figures)));
        }
        for reason in [Reason::Damaged, Reason::NoneUsable, Reason::Damaged] {
            group.add(None, Some(Restore::Skipped(reason)));
        }
        assert_eq!((group.pods, group.restored()), (7, Some((200, 1.5))));
        assert_eq!(group.misses.into_iter().collect::<Vec<_>>(), [(Reason::NoneUsable, 1), (Reason::Damaged, 2)]);
        assert_eq!(Found::staged(Some(Restore::Skipped(Reason::Damaged))), Found::Cold);
        assert_eq!(Found::staged(None), Found::Unknown);
    }
}
