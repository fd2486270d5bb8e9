//! The pauses between attempts of a watch.
//!
//! Why not kube's `DefaultBackoff`: it has the same lengths, but it resets by the time since it was last asked, and so
//! takes its own pauses for health.

use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::time::Duration;

/// The first and the longest pause, as in client-go's reflector.
const FIRST: Duration = Duration::from_millis(800);
const MAX: Duration = Duration::from_secs(30);

/// A watch that lasted this long resets the backoff.
const HEALTHY: Duration = Duration::from_secs(60);

/// How a watch or a list ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// The API server ended the watch, as it does after some minutes, or answered 410, as it does after a longer
    /// outage. The first such end costs no pause.
    Expected,
    /// Any other error.
    Failed,
}

/// A backoff that doubles from 0.8 s to 30 s until a watch has lasted for a minute.
#[derive(Debug, Default)]
pub(super) struct Backoff {
    ends: u32,
}

impl Backoff {
    /// The pause after a watch that lasted this long. Half of it is fixed and half is random, so that replicas do not
    /// return at the same time.
    pub(super) fn pause(&mut self, end: End, lasted: Duration) -> Duration {
        if lasted >= HEALTHY {
            self.ends = 0;
        }
        let ends = self.ends;
        self.ends = ends.saturating_add(1);
        let doublings = match end {
            End::Expected if ends == 0 => return Duration::ZERO,
            End::Expected => ends - 1,
            End::Failed => ends,
        };
        let length = FIRST.saturating_mul(2_u32.saturating_pow(doublings)).min(MAX);
        length.mul_f64(0.5 + 0.5 * random())
    }
}

/// A random number from 0 to 1.
pub(super) fn random() -> f64 {
    // Every `RandomState` has different keys, so the hash of nothing is random.
    let [die, ..] = RandomState::new().build_hasher().finish().to_le_bytes();
    f64::from(die) / 255.0
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Backoff, End, HEALTHY, MAX, random};

    #[test]
    fn pauses_double_to_half_a_minute_until_a_minute_of_health() {
        let (mut backoff, mut pauses) = (Backoff::default(), Vec::new());
        for _ in 0..20 {
            pauses.push(backoff.pause(End::Expected, Duration::ZERO));
        }
        assert_eq!(pauses[0], Duration::ZERO, "as every watch ends");
        for (number, pause) in pauses.iter().enumerate().skip(1) {
            let length = Duration::from_millis(800 << (number - 1).min(10)).min(MAX);
            assert!((length / 2..=length).contains(pause), "{number}: {pause:?}");
        }
        assert!(backoff.pause(End::Expected, HEALTHY.mul_f64(0.99)) >= MAX / 2, "no minute yet");
        assert_eq!(backoff.pause(End::Expected, HEALTHY), Duration::ZERO);
        assert!(backoff.pause(End::Failed, HEALTHY) >= Duration::from_millis(400), "an error always costs a pause");
    }

    #[test]
    fn pauses_differ() {
        let first = random();
        assert!((0..100).any(|_| (random() - first).abs() > 0.01), "the numbers are not random");
    }
}
