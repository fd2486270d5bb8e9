//! The CAs of a `caBundle`: which are in it, and what it should say.

use std::time::SystemTime;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

use crate::certificate::validity::Validity;

/// The certificates of a bundle; what is none is left out.
pub fn read(pem: &[u8]) -> Vec<CertificateDer<'static>> {
    CertificateDer::pem_slice_iter(pem).filter_map(Result::ok).collect()
}

/// Certificates in PEM.
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

/// Whether a certificate is over by every clock; what cannot be understood is not for us to say.
pub fn is_over(certificate: &CertificateDer<'_>, now: SystemTime) -> bool {
    Validity::of(certificate).is_ok_and(|validity| validity.is_over_everywhere(now))
}

/// What a bundle should say instead: ours are added where they are missing, and what is over goes. Anything else
/// stays, so that whoever still serves under it goes on being trusted: a replica of another release, or one that has
/// seen less than we have. None: it is good as it is.
pub fn amended<'c>(
    published: &[u8],
    ours: impl IntoIterator<Item = &'c CertificateDer<'static>>,
    is_over: impl Fn(&CertificateDer<'static>) -> bool,
) -> Option<String> {
    let found = read(published);
    let mut wanted: Vec<_> = found.iter().filter(|certificate| !is_over(certificate)).collect();
    for certificate in ours {
        if !wanted.contains(&certificate) {
            wanted.push(certificate);
        }
    }
    (wanted.len() != found.len() || !wanted.iter().eq(found.iter().collect::<Vec<_>>().iter())).then(|| write(wanted))
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use super::{amended, is_over, read, write};
    use crate::certificate::authority::Authority;

    #[test]
    fn ours_are_added_what_is_over_goes_and_the_rest_stays() {
        let now = SystemTime::now();
        let mint = |seconds| Authority::mint(now, Duration::from_secs(seconds)).unwrap().certificate().clone();
        let (short, other, ours) = (mint(10), mint(100), mint(100));
        let published = write([&short, &other]);
        let amend = |bundle: &str, now| amended(bundle.as_bytes(), [&ours], |certificate| is_over(certificate, now));
        let both = amend(&published, now).unwrap();
        assert_eq!(read(both.as_bytes()), [short, other.clone(), ours.clone()]);
        assert_eq!(amend(&both, now), None, "a second time changes nothing");
        let pruned = amend(&both, now + Duration::from_secs(20)).unwrap();
        assert_eq!(read(pruned.as_bytes()), [other, ours.clone()]);
        assert_eq!(amend("garbage", now).unwrap(), write([&ours]));
    }
}
