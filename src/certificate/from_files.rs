//! A certificate that others bring, read again while we serve: what is half written keeps the last good one.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use rustls::InconsistentKeys;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::certificate::validity::Validity;
use crate::certificate::{Clients, Error, Identity, ca_bundle, roots, tls, what_is_wrong};
use crate::small_file;

/// Where a certificate, its key and the CAs to publish are.
#[derive(Clone, Debug)]
pub struct Files {
    /// The chain, the leaf first, in PEM.
    certificate: PathBuf,
    /// Its key, PKCS#8, PKCS#1 or SEC1, in PEM.
    key: PathBuf,
    /// The CAs to publish, in PEM; none: somebody else publishes them.
    authorities: Option<PathBuf>,
    /// Who may call; none: everyone.
    clients: Option<Clients>,
    /// What was last read, good or bad: what was said about it once is not said again.
    seen: Option<Contents>,
}

/// What the files said, or why one could not be read.
#[derive(Clone, PartialEq)]
struct Contents {
    certificate: Result<Vec<u8>, String>,
    key: Result<Vec<u8>, String>,
    authorities: Option<Result<Vec<u8>, String>>,
}

/// A key is never printed.
impl fmt::Debug for Contents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Contents")
    }
}

/// What was brought.
#[derive(Clone, Debug)]
pub struct Brought {
    /// What to show.
    pub identity: Identity,
    /// The CAs to publish; none are to be where nobody said so.
    pub authorities: Vec<CertificateDer<'static>>,
}

impl Brought {
    /// When the last of its CAs is over.
    pub fn authorities_end(&self) -> Option<SystemTime> {
        self.authorities.iter().filter_map(|authority| Some(Validity::of(authority).ok()?.until)).max()
    }
}

impl Files {
    /// Nothing was read yet.
    pub fn new(certificate: &Path, key: &Path, authorities: Option<&Path>, clients: Option<Clients>) -> Self {
        let [certificate, key] = [certificate, key].map(Path::to_owned);
        Files { certificate, key, authorities: authorities.map(Path::to_owned), clients, seen: None }
    }

    /// Reads them all; none where they say what they said before.
    ///
    /// It does not ask whether the certificate is good for a name, or already over.
    ///
    /// # Errors
    /// A file cannot be read, or what they hold does not belong together.
    pub fn read(&mut self) -> Option<Result<Brought, Error>> {
        let content = |path: &PathBuf| small_file::read(path).map_err(|error| error.to_string());
        let contents = Contents {
            certificate: content(&self.certificate),
            key: content(&self.key),
            authorities: self.authorities.as_ref().map(content),
        };
        if self.seen.as_ref() == Some(&contents) {
            return None;
        }
        let brought = self.understand(&contents);
        self.seen = Some(contents);
        Some(brought)
    }

    fn understand(&self, contents: &Contents) -> Result<Brought, Error> {
        let (certificate, key) = (&self.certificate, &self.key);
        let pem = |what, path: &Path| {
            let path = path.to_owned();
            move |error| Error::Pem { what, path, reason: what_is_wrong(&error) }
        };
        let chain = CertificateDer::pem_slice_iter(given(certificate, &contents.certificate)?)
            .collect::<Result<Vec<_>, _>>()
            .map_err(pem("certificates", certificate))?;
        let content = given(key, &contents.key)?;
        let private = PrivateKeyDer::from_pem_slice(content).map_err(|error| {
            // As PKCS#8 says it, and as older ones do.
            let encrypted = ["BEGIN ENCRYPTED PRIVATE KEY", "Proc-Type: 4,ENCRYPTED"];
            if encrypted.iter().any(|sign| String::from_utf8_lossy(content).contains(sign)) {
                return Error::EncryptedKey(key.clone());
            }
            pem("a private key", key)(error)
        })?;
        let leaf = chain.first().ok_or_else(|| Error::NoCertificate(certificate.clone()))?;
        let wrong = |reason| Error::Certificate { path: certificate.clone(), reason };
        let validity = Validity::of(leaf).map_err(wrong)?;
        let (certificate, key) = (certificate.clone(), key.clone());
        let tls = tls(chain.clone(), private, self.clients.as_ref()).map_err(|error| match error {
            rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => Error::WrongPair { certificate, key },
            source => Error::Unfit { certificate, key, source },
        })?;
        let mut authorities = Vec::new();
        if let (Some(path), Some(content)) = (&self.authorities, &contents.authorities) {
            let content = given(path, content)?;
            roots(content).map_err(|reason| Error::Authorities { path: path.clone(), reason })?;
            authorities = ca_bundle::read(content);
        }
        Ok(Brought { identity: Identity { tls, chain, validity }, authorities })
    }
}

fn given<'c>(path: &Path, content: &'c Result<Vec<u8>, String>) -> Result<&'c [u8], Error> {
    content.as_deref().map_err(|reason| Error::File { path: path.to_owned(), reason: reason.clone() })
}
