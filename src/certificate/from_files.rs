//! A certificate loaded from files, and reloaded while the server runs. A half-written update leaves the last valid one
//! in place.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use rustls::InconsistentKeys;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::certificate::validity::Validity;
use crate::certificate::{ClientCa, Error, Identity, ca_bundle, describe_pem_error, root_store, server_config};
use crate::small_file;

/// The files of a certificate, its key and the CAs to publish.
#[derive(Clone, Debug)]
pub struct CertificateFiles {
    /// The chain in PEM, the leaf first.
    certificate: PathBuf,
    /// Its key in PEM: PKCS#8, PKCS#1 or SEC1.
    key: PathBuf,
    /// The CAs to publish, in PEM. Without this file, another tool publishes them.
    authorities: Option<PathBuf>,
    /// The CAs of clients. `None` admits every client.
    client_ca: Option<ClientCa>,
    /// The contents of the last read, valid or not. The same contents are reported once.
    last: Option<Contents>,
}

/// The contents of the files, or why a file could not be read.
#[derive(Clone, PartialEq)]
struct Contents {
    certificate: Result<Vec<u8>, String>,
    key: Result<Vec<u8>, String>,
    authorities: Option<Result<Vec<u8>, String>>,
}

/// Prints no contents, because they include a key.
impl fmt::Debug for Contents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Contents")
    }
}

/// A certificate that was loaded from files.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The certificate to serve.
    pub identity: Identity,
    /// The CAs to publish. Empty without a CA file.
    pub authorities: Vec<CertificateDer<'static>>,
}

impl Loaded {
    /// The time at which the last of the CAs expires.
    pub fn ca_expiration(&self) -> Option<SystemTime> {
        self.authorities.iter().filter_map(|authority| Some(Validity::from_certificate(authority).ok()?.until)).max()
    }
}

impl CertificateFiles {
    /// Files that have not been read yet.
    pub fn new(certificate: &Path, key: &Path, authorities: Option<&Path>, client_ca: Option<ClientCa>) -> Self {
        let [certificate, key] = [certificate, key].map(Path::to_owned);
        CertificateFiles { certificate, key, authorities: authorities.map(Path::to_owned), client_ca, last: None }
    }

    /// Reads all files. Returns `None` if their contents are the same as at the last read.
    ///
    /// It does not check the names or the validity of the certificate.
    ///
    /// # Errors
    /// A file cannot be read, or the certificate and the key do not match.
    pub fn read(&mut self) -> Option<Result<Loaded, Error>> {
        let content = |path: &PathBuf| small_file::read(path).map_err(|error| error.to_string());
        let contents = Contents {
            certificate: content(&self.certificate),
            key: content(&self.key),
            authorities: self.authorities.as_ref().map(content),
        };
        if self.last.as_ref() == Some(&contents) {
            return None;
        }
        let loaded = self.parse(&contents);
        self.last = Some(contents);
        Some(loaded)
    }

    fn parse(&self, contents: &Contents) -> Result<Loaded, Error> {
        let (certificate, key) = (&self.certificate, &self.key);
        let pem = |what, path: &Path| {
            let path = path.to_owned();
            move |error| Error::Pem { what, path, reason: describe_pem_error(&error) }
        };
        let chain = CertificateDer::pem_slice_iter(content_of(certificate, &contents.certificate)?)
            .collect::<Result<Vec<_>, _>>()
            .map_err(pem("certificates", certificate))?;
        let content = content_of(key, &contents.key)?;
        let private = PrivateKeyDer::from_pem_slice(content).map_err(|error| {
            // PKCS#8, and the older PEM encryption.
            let encrypted = ["BEGIN ENCRYPTED PRIVATE KEY", "Proc-Type: 4,ENCRYPTED"];
            if encrypted.iter().any(|marker| String::from_utf8_lossy(content).contains(marker)) {
                return Error::EncryptedKey(key.clone());
            }
            pem("a private key", key)(error)
        })?;
        let leaf = chain.first().ok_or_else(|| Error::NoCertificate(certificate.clone()))?;
        let wrong = |reason| Error::Certificate { path: certificate.clone(), reason };
        let validity = Validity::from_certificate(leaf).map_err(wrong)?;
        let (certificate, key) = (certificate.clone(), key.clone());
        let tls = server_config(chain.clone(), private, self.client_ca.as_ref()).map_err(|error| match error {
            rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => Error::KeyMismatch { certificate, key },
            source => Error::Unsupported { certificate, key, source },
        })?;
        let mut authorities = Vec::new();
        if let (Some(path), Some(content)) = (&self.authorities, &contents.authorities) {
            let content = content_of(path, content)?;
            root_store(content).map_err(|reason| Error::Authorities { path: path.clone(), reason })?;
            authorities = ca_bundle::read(content);
        }
        Ok(Loaded { identity: Identity { tls, chain, validity }, authorities })
    }
}

fn content_of<'c>(path: &Path, content: &'c Result<Vec<u8>, String>) -> Result<&'c [u8], Error> {
    content.as_deref().map_err(|reason| Error::File { path: path.to_owned(), reason: reason.clone() })
}
