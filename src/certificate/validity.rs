//! From when to when a certificate is good, and when its successor is due.

use std::time::{Duration, SystemTime};

use rustls::pki_types::CertificateDer;

/// How far what we mint reaches back: the clock of whoever checks it may be behind ours.
pub(super) const CLOCK_SKEW: Duration = Duration::from_secs(60 * 60);

/// The time of a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Validity {
    /// Good from then on.
    pub from: SystemTime,
    /// Over from then on.
    pub until: SystemTime,
}

impl Validity {
    /// The time of what is minted now and lasts that long. Certificates count in whole seconds.
    pub(super) fn begins(now: SystemTime, lifetime: Duration) -> Self {
        let from = now.checked_sub(CLOCK_SKEW).unwrap_or(SystemTime::UNIX_EPOCH);
        Validity { from: Self::in_whole_seconds(from), until: Self::in_whole_seconds(now + lifetime) }
    }

    /// A time as a certificate tells it.
    pub(super) fn in_whole_seconds(time: SystemTime) -> SystemTime {
        let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        SystemTime::UNIX_EPOCH + Duration::from_secs(since.as_secs())
    }

    /// What a certificate says of itself.
    ///
    /// # Errors
    /// It cannot be understood.
    pub(crate) fn of(certificate: &CertificateDer<'_>) -> Result<Self, String> {
        let (_, parsed) = x509_parser::parse_x509_certificate(certificate).map_err(|error| error.to_string())?;
        let time = |seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(u64::try_from(seconds).unwrap_or_default());
        let validity = parsed.validity();
        Ok(Validity { from: time(validity.not_before.timestamp()), until: time(validity.not_after.timestamp()) })
    }

    /// Whether it is good now.
    pub fn holds(&self, now: SystemTime) -> bool {
        self.from <= now && now < self.until
    }

    /// Whether it is over by every clock, also by one that is somewhat behind. Who has it taken away earlier is at odds
    /// with those who put it back because they still serve under it.
    pub fn is_over_everywhere(&self, now: SystemTime) -> bool {
        self.until + CLOCK_SKEW.min(self.life() / 24) <= now
    }

    /// Whether it is good and in the first two thirds of its life: later, and after a clock that went back, a
    /// successor is due.
    pub fn is_fresh(&self, now: SystemTime) -> bool {
        self.holds(now) && now + self.life() / 3 < self.until
    }

    /// How long it was to be good, from when it was made.
    fn life(&self) -> Duration {
        let span = self.until.duration_since(self.from).unwrap_or_default();
        span.checked_sub(CLOCK_SKEW).unwrap_or(span)
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use super::Validity;

    #[test]
    fn a_successor_is_due_at_two_thirds_and_when_the_clock_went_back() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000);
        let validity = Validity::begins(now, Duration::from_secs(300));
        for (later, fresh, holds) in [(0, true, true), (199, true, true), (200, false, true), (300, false, false)] {
            let later = now + Duration::from_secs(later);
            assert_eq!((validity.is_fresh(later), validity.holds(later)), (fresh, holds), "{later:?}");
        }
        let back = now - Duration::from_secs(2 * 60 * 60);
        assert!(!validity.is_fresh(back) && !validity.holds(back));
    }
}
