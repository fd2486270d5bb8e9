//! The authorities that all replicas share, as stored in the Secret: certificates, keys, and when keys were removed.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::{Duration, SystemTime};

use rcgen::KeyPair;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use sha2::{Digest as _, Sha256};

use super::authority::Authority;
use super::describe_pem_error;
use crate::certificate::ca_bundle;

/// The Secret key of the certificates, the newest authority first.
const CERTIFICATES: &str = "ca.crt";

/// The Secret key of the private keys of those authorities that may sign. A key is matched to its certificate when it
/// is read.
const KEYS: &str = "ca.key";

/// The Secret key of the times at which the other authorities lost their keys. Each line has the SHA-256 of a
/// certificate in hex and the seconds since 1970.
const KEY_REMOVALS: &str = "ca.retired";

const END_OF_KEY: &str = "-----END PRIVATE KEY-----";

/// Authorities, the newest first.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Keyring(pub(super) Vec<Authority>);

/// Data of a Secret that is not a keyring.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{key}: {reason}")]
pub struct Unreadable {
    key: &'static str,
    reason: String,
}

impl Keyring {
    /// Whether a Secret has no keyring: it is newly installed, or was emptied.
    pub fn is_missing_in(data: &BTreeMap<String, Vec<u8>>) -> bool {
        [CERTIFICATES, KEYS].iter().all(|key| data.get(*key).is_none_or(Vec::is_empty))
    }

    /// Parses the data of a Secret.
    ///
    /// # Errors
    /// There is no certificate, or any part cannot be parsed.
    pub fn read(data: &BTreeMap<String, Vec<u8>>) -> Result<Self, Unreadable> {
        let wrong = |key| move |reason: String| Unreadable { key, reason };
        let content = |key| data.get(key).ok_or_else(|| wrong(key)("it is missing".to_owned()));
        let certificates = CertificateDer::pem_slice_iter(content(CERTIFICATES)?).collect::<Result<Vec<_>, _>>();
        let certificates = certificates.map_err(|error| wrong(CERTIFICATES)(describe_pem_error(&error).to_owned()))?;
        let authorities = certificates.into_iter().map(Authority::from_certificate).collect::<Result<Vec<_>, _>>();
        let mut authorities = authorities.map_err(wrong(CERTIFICATES))?;
        if authorities.is_empty() {
            return Err(wrong(CERTIFICATES)("it contains no certificate in PEM".to_owned()));
        }
        let keys = str::from_utf8(content(KEYS)?).map_err(|error| wrong(KEYS)(error.to_string()))?;
        for pem in keys.split_inclusive(END_OF_KEY).map(str::trim).filter(|pem| !pem.is_empty()) {
            // The parser's own error quotes the key.
            let pair = KeyPair::from_pem(pem).map_err(|_| wrong(KEYS)("a key is not PKCS#8 in PEM".to_owned()))?;
            if !authorities.iter_mut().any(|authority| authority.attach_key(pem, &pair)) {
                return Err(wrong(KEYS)("a key belongs to none of the certificates".to_owned()));
            }
        }
        // A malformed line only delays the removal of a CA.
        let removals = String::from_utf8_lossy(data.get(KEY_REMOVALS).map(Vec::as_slice).unwrap_or_default());
        let removals: BTreeMap<_, _> = removals
            .lines()
            .filter_map(|line| {
                let (name, seconds) = line.split_once(' ')?;
                let since = SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(seconds.trim().parse().ok()?))?;
                Some((name, since))
            })
            .collect();
        for authority in authorities.iter_mut().filter(|authority| authority.key().is_none()) {
            authority.set_key_removed_at(removals.get(&*fingerprint(authority.certificate())).copied());
        }
        Ok(Keyring(authorities))
    }

    /// The data to store in the Secret.
    pub fn write(&self) -> BTreeMap<String, Vec<u8>> {
        let mut keys = String::new();
        for key in self.0.iter().filter_map(Authority::key) {
            // Writing to a string does not fail.
            let _ = writeln!(keys, "{}", key.trim());
        }
        let mut removals = String::new();
        for authority in &self.0 {
            let Some(since) = authority.key_removed_at() else { continue };
            let seconds = since.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
            let _ = writeln!(removals, "{} {seconds}", fingerprint(authority.certificate()));
        }
        let certificates = ca_bundle::write(self.certificates());
        [(CERTIFICATES, certificates), (KEYS, keys), (KEY_REMOVALS, removals)]
            .map(|(key, text)| (key.to_owned(), text.into_bytes()))
            .into()
    }

    /// This keyring with a new authority in front.
    #[must_use]
    pub fn with_newest(mut self, newest: Authority) -> Self {
        self.0.insert(0, newest);
        self
    }

    /// The certificates, in the order of the keyring.
    pub fn certificates(&self) -> impl Iterator<Item = &CertificateDer<'static>> {
        self.0.iter().map(Authority::certificate)
    }

    /// Whether the keyring has an authority with this certificate, with or without its key.
    pub fn contains(&self, certificate: &CertificateDer<'_>) -> bool {
        self.certificates().any(|known| known == certificate)
    }

    /// The certificates that the API server has to trust, including those that are not valid yet. `leaf` is the
    /// lifetime of a leaf.
    pub fn needed(&self, now: SystemTime, leaf: Duration) -> impl Iterator<Item = &CertificateDer<'static>> {
        self.0.iter().filter(move |authority| authority.is_needed(now, leaf)).map(Authority::certificate)
    }

    /// The certificates under which no replica serves any more.
    pub fn withdrawn(&self, now: SystemTime, leaf: Duration) -> impl Iterator<Item = &CertificateDer<'static>> {
        self.0.iter().filter(move |authority| authority.is_withdrawn(now, leaf)).map(Authority::certificate)
    }

    /// The authorities that have a key and are valid at this time.
    pub(super) fn signing_at(&self, now: SystemTime) -> impl DoubleEndedIterator<Item = &Authority> {
        self.0.iter().filter(move |authority| authority.key().is_some() && authority.validity().is_valid_at(now))
    }

    /// The time at which the last authority expires.
    pub fn expiration(&self) -> Option<SystemTime> {
        self.0.iter().map(|authority| authority.validity().until).max()
    }
}

/// The SHA-256 of a certificate, in hex.
fn fingerprint(certificate: &CertificateDer<'_>) -> String {
    Sha256::digest(certificate).iter().fold(String::new(), |mut hex, byte| {
        // Writing to a string does not fail.
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}
