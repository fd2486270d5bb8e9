//! Limits the lines about a repeated failure to one a minute, with the number of those that were not logged.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// The interval between two lines about one kind of failure.
const PAUSE: Duration = Duration::from_secs(60);

/// Decides which lines about one kind of failure are logged.
///
/// ```
/// use dynamo_cache::log::Throttle;
///
/// let failures = Throttle::default();
/// assert_eq!(failures.pass(), Some(0), "the first is logged");
/// assert_eq!(failures.pass(), None, "the next is counted");
/// ```
#[derive(Debug, Default)]
pub struct Throttle(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    next: Option<Instant>,
    not_logged: u64,
}

impl Throttle {
    /// Returns how many lines were not logged since the last if a line is due now, else counts it and returns `None`.
    pub fn pass(&self) -> Option<u64> {
        let now = Instant::now();
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if state.next.is_some_and(|next| now < next) {
            state.not_logged += 1;
            return None;
        }
        state.next = Some(now + PAUSE);
        Some(std::mem::take(&mut state.not_logged))
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::{PAUSE, Throttle};

    #[tokio::test(start_paused = true)]
    async fn a_repeated_failure_is_logged_once_a_minute_with_a_count() {
        let throttle = Throttle::default();
        let passed: Vec<_> = (0..1000).filter_map(|_| throttle.pass()).collect();
        assert_eq!(passed, [0]);
        advance(PAUSE).await;
        assert_eq!(throttle.pass(), Some(999));
        assert_eq!(throttle.pass(), None);
    }
}
