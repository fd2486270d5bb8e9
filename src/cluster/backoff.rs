//! How long to wait before a watch begins again.
//!
//! kube's `DefaultBackoff` has the same lengths, but it takes the pauses themselves for health: it resets by the time since it
//! was last asked.

use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::time::Duration;

/// The first and the longest pause: those of client-go's reflector.
const FIRST: Duration = Duration::from_millis(800);
const LONGEST: Duration = Duration::from_secs(30);

/// After so long without an end the next pause is the first again.
const HEALTHY: Duration = Duration::from_secs(60);

/// How a watch or a list ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// As every watch does after some minutes, or with 410 as after every longer outage: a first one costs no pause.
    Expected,
    /// With an error.
    Failed,
}

/// Pauses that double, from 0.8 s to 30 s, until a watch has lasted for a minute.
#[derive(Debug, Default)]
pub(super) struct Backoff {
    ends: u32,
}

impl Backoff {
    /// The pause after an end; the watch had lasted so long. At least half of its length is certain, and the rest is random,
    /// so that replicas do not come back together.
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
        let length = FIRST.saturating_mul(2_u32.saturating_pow(doublings)).min(LONGEST);
        length.mul_f64(0.5 + 0.5 * random())
    }
}

/// A number from 0 to 1.
pub(super) fn random() -> f64 {
    // Every hasher has other keys, so an empty one is a die.
    let [die, ..] = RandomState::new().build_hasher().finish().to_le_bytes();
    f64::from(die) / 255.0
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Backoff, End, HEALTHY, LONGEST, random};

    #[test]
    fn pauses_double_to_half_a_minute_until_a_minute_of_health() {
        let (mut backoff, mut pauses) = (Backoff::default(), Vec::new());
        for _ in 0..20 {
            pauses.push(backoff.pause(End::Expected, Duration::ZERO));
        }
        assert_eq!(pauses[0], Duration::ZERO, "as every watch ends");
        for (number, pause) in pauses.iter().enumerate().skip(1) {
            let length = Duration::from_millis(800 << (number - 1).min(10)).min(LONGEST);
            assert!((length / 2..=length).contains(pause), "{number}: {pause:?}");
        }
        assert!(backoff.pause(End::Expected, HEALTHY.mul_f64(0.99)) >= LONGEST / 2, "no minute yet");
        assert_eq!(backoff.pause(End::Expected, HEALTHY), Duration::ZERO);
        assert!(backoff.pause(End::Failed, HEALTHY) >= Duration::from_millis(400), "an error always costs a pause");
    }

    #[test]
    fn pauses_differ() {
        let first = random();
        assert!((0..100).any(|_| (random() - first).abs() > 0.01), "a die that always shows the same");
    }
}
