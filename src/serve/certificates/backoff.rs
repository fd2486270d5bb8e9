//! When to act again: soon, and ever later where it had to be again and again.

use std::time::Duration;

use tokio::time::Instant;

const FIRST: Duration = Duration::from_millis(500);
const LONGEST: Duration = Duration::from_secs(60);

/// A pause that doubles each time, until there is quiet.
#[derive(Debug, Default)]
pub(super) struct Pause {
    length: Duration,
    until: Option<Instant>,
}

impl Pause {
    /// Begins, twice as long as the last one; short again where that has been over for as long as it took.
    pub(super) fn begin(&mut self, now: Instant) {
        if self.until.is_some_and(|until| now >= until + self.length) {
            *self = Pause::default();
        }
        self.length = (self.length * 2).clamp(FIRST, LONGEST);
        self.until = Some(now + self.length);
    }

    /// Begins, and lasts for exactly this long.
    pub(super) fn begin_for(&mut self, length: Duration, now: Instant) {
        *self = Pause { length, until: Some(now + length) };
    }

    /// There is none any more, and the next one is short.
    pub(super) fn end(&mut self) {
        *self = Pause::default();
    }

    /// Whether it lasts.
    pub(super) fn lasts(&self, now: Instant) -> bool {
        self.until.is_some_and(|until| now < until)
    }

    /// When the last one is over, or was.
    pub(super) fn until(&self) -> Option<Instant> {
        self.until
    }
}

/// Until the first of these that had not come when all was looked at last; for ever without one.
pub(super) async fn until_first(times: impl IntoIterator<Item = Option<Instant>>, looked: Instant) {
    match times.into_iter().flatten().filter(|time| looked < *time).min() {
        Some(time) => tokio::time::sleep_until(time).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::{FIRST, LONGEST, Pause};

    #[test]
    fn two_that_undo_each_others_work_come_to_do_it_once_a_minute() {
        let (mut pauses, mut now) = ([Pause::default(), Pause::default()], Instant::now());
        for turn in 0..40 {
            let pause = &mut pauses[turn % 2];
            now = pause.until().map_or(now, |until| until.max(now));
            assert!(!pause.lasts(now));
            pause.begin(now);
            assert!(pause.lasts(now));
        }
        assert!(pauses.iter().any(|pause| pause.length == LONGEST), "{pauses:?}");
    }

    #[test]
    fn after_as_much_quiet_the_next_one_is_short() {
        let (mut pause, now) = (Pause::default(), Instant::now());
        pause.begin(now);
        pause.begin(now + FIRST);
        assert_eq!(pause.length, FIRST * 2);
        pause.begin(now + FIRST * 5);
        assert_eq!(pause.length, FIRST);
    }
}
