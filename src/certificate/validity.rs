//! The validity period of a certificate, and when it is due for renewal.

use std::time::{Duration, SystemTime};

use rustls::pki_types::CertificateDer;

/// How far the validity of an issued certificate starts in the past: a verifier's clock may be behind ours.
pub(super) const CLOCK_SKEW: Duration = Duration::from_secs(60 * 60);

/// The validity period of a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Validity {
    /// The first moment at which it is valid.
    pub from: SystemTime,
    /// The first moment at which it has expired.
    pub until: SystemTime,
}

impl Validity {
    /// The validity of a certificate that is issued now with this lifetime, in whole seconds as certificates store it.
    pub(super) fn starting_at(now: SystemTime, lifetime: Duration) -> Self {
        let from = now.checked_sub(CLOCK_SKEW).unwrap_or(SystemTime::UNIX_EPOCH);
        Validity { from: Self::truncate_to_seconds(from), until: Self::truncate_to_seconds(now + lifetime) }
    }

    /// A time in whole seconds, as certificates store it.
    pub(super) fn truncate_to_seconds(time: SystemTime) -> SystemTime {
        let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        SystemTime::UNIX_EPOCH + Duration::from_secs(since.as_secs())
    }

    /// The validity in a certificate.
    ///
    /// # Errors
    /// The certificate cannot be parsed.
    pub(crate) fn from_certificate(certificate: &CertificateDer<'_>) -> Result<Self, String> {
        let (_, parsed) = x509_parser::parse_x509_certificate(certificate).map_err(|error| error.to_string())?;
        let time = |seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(u64::try_from(seconds).unwrap_or_default());
        let validity = parsed.validity();
        Ok(Validity { from: time(validity.not_before.timestamp()), until: time(validity.not_after.timestamp()) })
    }

    /// Whether the certificate is valid at this time.
    pub fn is_valid_at(&self, now: SystemTime) -> bool {
        self.from <= now && now < self.until
    }

    /// Whether the certificate has expired even by a clock that is behind. If one replica removed it earlier, another
    /// that still serves under it would put it back.
    pub fn has_expired_with_skew(&self, now: SystemTime) -> bool {
        self.until + CLOCK_SKEW.min(self.lifetime() / 24) <= now
    }

    /// Whether a successor is due: the certificate is in the last third of its lifetime, has expired, or is not valid
    /// yet because the clock went back.
    pub fn is_due_for_renewal(&self, now: SystemTime) -> bool {
        !self.is_valid_at(now) || now + self.lifetime() / 3 >= self.until
    }

    /// The lifetime that the certificate was issued with.
    fn lifetime(&self) -> Duration {
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
        let validity = Validity::starting_at(now, Duration::from_secs(300));
        for (later, due, valid) in [(0, false, true), (199, false, true), (200, true, true), (300, true, false)] {
            let later = now + Duration::from_secs(later);
            assert_eq!((validity.is_due_for_renewal(later), validity.is_valid_at(later)), (due, valid), "{later:?}");
        }
        let back = now - Duration::from_secs(2 * 60 * 60);
        assert!(validity.is_due_for_renewal(back) && !validity.is_valid_at(back));
    }
}
