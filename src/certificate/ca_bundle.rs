//! The certificates of a `caBundle`: parsing, encoding, and the change that it needs.

use std::time::SystemTime;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

use crate::certificate::validity::Validity;

/// The certificates of a bundle. Anything else in the text is skipped.
pub fn read(pem: &[u8]) -> Vec<CertificateDer<'static>> {
    CertificateDer::pem_slice_iter(pem).filter_map(Result::ok).collect()
}

/// Encodes certificates as PEM.
pub fn write<'c>(certificates: impl IntoIterator<Item = &'c CertificateDer<'static>>) -> String {
    let mut pem = String::new();
    for certificate in certificates {
        pem.push_str("-----BEGIN CERTIFICATE-----\n");
        let text = STANDARD.encode(certificate);
        for start in (0..text.len()).step_by(64) {
            pem.push_str(text.get(start..text.len().min(start + 64)).unwrap_or_default());
            pem.push('\n');
        }
        pem.push_str("-----END CERTIFICATE-----\n");
    }
    pem
}

/// Whether a certificate has expired by every clock, with the usual skew. A certificate that cannot be parsed counts as
/// valid.
pub fn has_expired(certificate: &CertificateDer<'_>, now: SystemTime) -> bool {
    Validity::from_certificate(certificate).is_ok_and(|validity| validity.has_expired_with_skew(now))
}

/// The bundle with `ours` added and every obsolete certificate removed, or `None` if it needs no change. Every other
/// certificate stays, so that clients keep trusting a replica that still serves under it: one of another release, or
/// one that has observed less of the cluster.
pub fn amend<'c>(
    published: &[u8],
    ours: impl IntoIterator<Item = &'c CertificateDer<'static>>,
    is_obsolete: impl Fn(&CertificateDer<'static>) -> bool,
) -> Option<String> {
    let found = read(published);
    let mut amended: Vec<_> = found.iter().filter(|certificate| !is_obsolete(certificate)).collect();
    for certificate in ours {
        if !amended.contains(&certificate) {
            amended.push(certificate);
        }
    }
    (amended.len() != found.len() || !amended.iter().eq(found.iter().collect::<Vec<_>>().iter()))
        .then(|| write(amended))
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use super::{amend, has_expired, read, write};
    use crate::certificate::authority::Authority;

    #[test]
    fn our_cas_are_added_expired_ones_removed_and_others_kept() {
        let now = SystemTime::now();
        let mint = |seconds| Authority::mint(now, Duration::from_secs(seconds)).unwrap().certificate().clone();
        let (short, other, ours) = (mint(10), mint(100), mint(100));
        let published = write([&short, &other]);
        let amend = |bundle: &str, now| amend(bundle.as_bytes(), [&ours], |certificate| has_expired(certificate, now));
        let both = amend(&published, now).unwrap();
        assert_eq!(read(both.as_bytes()), [short, other.clone(), ours.clone()]);
        assert_eq!(amend(&both, now), None, "a second time changes nothing");
        let pruned = amend(&both, now + Duration::from_secs(20)).unwrap();
        assert_eq!(read(pruned.as_bytes()), [other, ours.clone()]);
        assert_eq!(amend("garbage", now).unwrap(), write([&ours]));
    }
}
