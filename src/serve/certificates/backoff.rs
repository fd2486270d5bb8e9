//! A backoff between attempts, and waiting for the next attempt.

use std::time::Duration;

use tokio::time::Instant;

const FIRST: Duration = Duration::from_millis(500);
const MAX: Duration = Duration::from_secs(60);

/// A pause that doubles with each start, until there was a quiet period.
#[derive(Debug, Default)]
pub(super) struct Backoff {
    length: Duration,
    until: Option<Instant>,
}

impl Backoff {
    /// Starts a pause twice as long as the last one. It is short again if the last one ended at least its own length
    /// ago.
    pub(super) fn start(&mut self, now: Instant) {
        if self.until.is_some_and(|until| now >= until + self.length) {
            *self = Backoff::default();
        }
        self.length = (self.length * 2).clamp(FIRST, MAX);
        self.until = Some(now + self.length);
    }

    /// Starts a pause of exactly this length.
    pub(super) fn start_for(&mut self, length: Duration, now: Instant) {
        *self = Backoff { length, until: Some(now + length) };
    }

    /// Ends the pause, and makes the next one short.
    pub(super) fn reset(&mut self) {
        *self = Backoff::default();
    }

    /// Whether the pause lasts at this time.
    pub(super) fn is_active(&self, now: Instant) -> bool {
        self.until.is_some_and(|until| now < until)
    }

    /// The end of the last pause.
    pub(super) fn until(&self) -> Option<Instant> {
        self.until
    }
}

/// Sleeps until the first of these times that is after `checked`, or for ever if there is none.
pub(super) async fn sleep_until_first(times: impl IntoIterator<Item = Option<Instant>>, checked: Instant) {
    match times.into_iter().flatten().filter(|time| checked < *time).min() {
        Some(time) => tokio::time::sleep_until(time).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::{Backoff, FIRST, MAX};

    #[test]
    fn replicas_that_undo_each_other_slow_down_to_once_a_minute() {
        let (mut backoffs, mut now) = ([Backoff::default(), Backoff::default()], Instant::now());
        for turn in 0..40 {
            let backoff = &mut backoffs[turn % 2];
            now = backoff.until().map_or(now, |until| until.max(now));
            assert!(!backoff.is_active(now));
            backoff.start(now);
            assert!(backoff.is_active(now));
        }
        assert!(backoffs.iter().any(|backoff| backoff.length == MAX), "{backoffs:?}");
    }

    #[test]
    fn after_a_quiet_period_the_next_pause_is_short() {
        let (mut backoff, now) = (Backoff::default(), Instant::now());
        backoff.start(now);
        backoff.start(now + FIRST);
        assert_eq!(backoff.length, FIRST * 2);
        backoff.start(now + FIRST * 5);
        assert_eq!(backoff.length, FIRST);
    }
}
