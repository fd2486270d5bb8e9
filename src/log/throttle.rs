//! One line a minute for a failure that repeats, with the number of those that were not logged.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// Between two lines about one kind of failure.
const PAUSE: Duration = Duration::from_secs(60);

/// Which of the lines about one kind of failure are logged.
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
    /// Whether a line is to be logged now, and how many were not since the last one.
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
    async fn a_failure_that_repeats_is_a_line_a_minute_with_the_count_of_the_others() {
        let throttle = Throttle::default();
        let passed: Vec<_> = (0..1000).filter_map(|_| throttle.pass()).collect();
        assert_eq!(passed, [0]);
        advance(PAUSE).await;
        assert_eq!(throttle.pass(), Some(999));
        assert_eq!(throttle.pass(), None);
    }
}
