//! The authorities that the replicas share, as a Secret holds them: certificates, and keys that find their own.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::{Duration, SystemTime};

use rcgen::KeyPair;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use sha2::{Digest as _, Sha256};

use super::authority::Authority;
use super::what_is_wrong;
use crate::certificate::ca_bundle;

/// Where the certificates are, the newest authority first.
const CERTIFICATES: &str = "ca.crt";

/// Where the keys are of those that may still sign.
const KEYS: &str = "ca.key";

/// Since when the keys of the others are gone: a line for each, its SHA-256 in hex and the seconds since 1970.
const RETIRED: &str = "ca.retired";

const END_OF_KEY: &str = "-----END PRIVATE KEY-----";

/// Authorities, the newest first.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Keyring(pub(super) Vec<Authority>);

/// Why the content of a Secret is no keyring.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{key}: {reason}")]
pub struct Unreadable {
    key: &'static str,
    reason: String,
}

impl Keyring {
    /// Whether a Secret holds nothing of ours: it has just been installed, or somebody has emptied it.
    pub fn is_missing_in(data: &BTreeMap<String, Vec<u8>>) -> bool {
        [CERTIFICATES, KEYS].iter().all(|key| data.get(*key).is_none_or(Vec::is_empty))
    }

    /// Reads what a Secret holds.
    ///
    /// # Errors
    /// There is no certificate, or anything in it cannot be understood.
    pub fn read(data: &BTreeMap<String, Vec<u8>>) -> Result<Self, Unreadable> {
        let wrong = |key| move |reason: String| Unreadable { key, reason };
        let content = |key| data.get(key).ok_or_else(|| wrong(key)("it is missing".to_owned()));
        let certificates = CertificateDer::pem_slice_iter(content(CERTIFICATES)?).collect::<Result<Vec<_>, _>>();
        let certificates = certificates.map_err(|error| wrong(CERTIFICATES)(what_is_wrong(&error).to_owned()))?;
        let authorities = certificates.into_iter().map(Authority::known).collect::<Result<Vec<_>, _>>();
        let mut authorities = authorities.map_err(wrong(CERTIFICATES))?;
        if authorities.is_empty() {
            return Err(wrong(CERTIFICATES)("it holds no certificate in PEM".to_owned()));
        }
        let keys = str::from_utf8(content(KEYS)?).map_err(|error| wrong(KEYS)(error.to_string()))?;
        for pem in keys.split_inclusive(END_OF_KEY).map(str::trim).filter(|pem| !pem.is_empty()) {
            // The error of whoever reads it quotes it.
            let pair = KeyPair::from_pem(pem).map_err(|_| wrong(KEYS)("a key is not PKCS#8 in PEM".to_owned()))?;
            if !authorities.iter_mut().any(|authority| authority.take_key(pem, &pair)) {
                return Err(wrong(KEYS)("a key belongs to none of the certificates".to_owned()));
            }
        }
        // A line that says nothing costs a CA that stays for longer, and no CA.
        let retired = String::from_utf8_lossy(data.get(RETIRED).map(Vec::as_slice).unwrap_or_default());
        let retired: BTreeMap<_, _> = retired
            .lines()
            .filter_map(|line| {
                let (name, seconds) = line.split_once(' ')?;
                let since = SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(seconds.trim().parse().ok()?))?;
                Some((name, since))
            })
            .collect();
        for authority in authorities.iter_mut().filter(|authority| authority.key().is_none()) {
            authority.record_retirement(retired.get(&*fingerprint(authority.certificate())).copied());
        }
        Ok(Keyring(authorities))
    }

    /// What a Secret shall hold.
    pub fn write(&self) -> BTreeMap<String, Vec<u8>> {
        let mut keys = String::new();
        for key in self.0.iter().filter_map(Authority::key) {
            // Writing to a string does not fail.
            let _ = writeln!(keys, "{}", key.trim());
        }
        let mut retired = String::new();
        for authority in &self.0 {
            let Some(since) = authority.retired() else { continue };
            let seconds = since.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
            let _ = writeln!(retired, "{} {seconds}", fingerprint(authority.certificate()));
        }
        let certificates = ca_bundle::write(self.certificates());
        [(CERTIFICATES, certificates), (KEYS, keys), (RETIRED, retired)]
            .map(|(key, text)| (key.to_owned(), text.into_bytes()))
            .into()
    }

    /// The same with one more in front.
    #[must_use]
    pub fn with(mut self, newest: Authority) -> Self {
        self.0.insert(0, newest);
        self
    }

    /// The certificates, in order.
    pub fn certificates(&self) -> impl Iterator<Item = &CertificateDer<'static>> {
        self.0.iter().map(Authority::certificate)
    }

    /// Whether an authority is here, with or without its key.
    pub fn holds(&self, certificate: &CertificateDer<'_>) -> bool {
        self.certificates().any(|held| held == certificate)
    }

    /// The certificates that the API server has to trust, where a leaf lasts for `leaf`; one whose time is yet to come is
    /// among them.
    pub fn needed(&self, now: SystemTime, leaf: Duration) -> impl Iterator<Item = &CertificateDer<'static>> {
        self.0.iter().filter(move |authority| authority.is_needed(now, leaf)).map(Authority::certificate)
    }

    /// The certificates that no replica serves under any more, and that are still here.
    pub fn withdrawn(&self, now: SystemTime, leaf: Duration) -> impl Iterator<Item = &CertificateDer<'static>> {
        self.0.iter().filter(move |authority| authority.is_withdrawn(now, leaf)).map(Authority::certificate)
    }

    /// Those that can sign now.
    pub(super) fn able(&self, now: SystemTime) -> impl DoubleEndedIterator<Item = &Authority> {
        self.0.iter().filter(move |authority| authority.key().is_some() && authority.validity().holds(now))
    }

    /// When the last of them is over.
    pub fn ends(&self) -> Option<SystemTime> {
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
