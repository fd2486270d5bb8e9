//! The serving certificate of the webhook: loaded from files or issued here, with its validity and its trust.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::{self, PemObject as _};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::NoServerSessionStorage;
use rustls::{RootCertStore, ServerConfig, version};

pub mod authority;
pub mod ca_bundle;
mod client_ca;
pub mod from_files;
pub mod keyring;
pub mod rotation;
pub mod trust;
pub mod validity;

use authority::Authority;
pub use client_ca::ClientCa;
use validity::Validity;

/// The names in the certificate of `serve --standalone`.
const STANDALONE_NAMES: [&str; 2] = ["localhost", "127.0.0.1"];

/// The lifetime of that certificate: longer than anyone tries the webhook out.
const STANDALONE_LIFETIME: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// The only protocol offered by ALPN. The API server calls webhooks over HTTP/1.1, and no other client needs h2.
const ALPN: &[u8] = b"http/1.1";

/// A certificate that cannot be loaded or issued.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file cannot be read.
    #[error("failed to read {}: {reason}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The error of the operating system.
        reason: String,
    },
    /// A file is not the expected kind of PEM.
    #[error("failed to read {what} in PEM from {}: {reason}", path.display())]
    Pem {
        /// The expected content.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// What is wrong with it, never in words of the parser, which may quote a key.
        reason: &'static str,
    },
    /// A key is encrypted.
    #[error("the key in {path} is encrypted, and the webhook cannot ask for a password; decrypt it: openssl pkey -in {path}", path = .0.display())]
    EncryptedKey(PathBuf),
    /// A file contains no certificate.
    #[error("{} contains no certificate in PEM", .0.display())]
    NoCertificate(PathBuf),
    /// The first certificate of a chain cannot be parsed.
    #[error("the first certificate in {} cannot be parsed: {reason}", path.display())]
    Certificate {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The key does not match the first certificate.
    #[error("the key in {} does not belong to the first certificate in {}", key.display(), certificate.display())]
    KeyMismatch {
        /// The certificate file.
        certificate: PathBuf,
        /// The key file.
        key: PathBuf,
    },
    /// rustls does not support this kind of certificate or key.
    #[error("the certificate in {} cannot be served with the key in {}", certificate.display(), key.display())]
    Unsupported {
        /// The certificate file.
        certificate: PathBuf,
        /// The key file.
        key: PathBuf,
        /// The error of rustls.
        source: rustls::Error,
    },
    /// A CA file cannot be used.
    #[error("the CAs in {} cannot be used: {reason}", path.display())]
    Authorities {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The CA has no key, so it cannot sign.
    #[error("the CA has no key")]
    NoKey,
    /// A certificate cannot be issued.
    #[error("failed to issue a certificate")]
    Mint(#[from] rcgen::Error),
    /// A client that trusts the CA does not trust a leaf that the CA signed.
    #[error("the CA cannot sign for {name}: {reason}")]
    Untrusted {
        /// The server name in the leaf.
        name: String,
        /// The error of the verification.
        reason: String,
    },
    /// An issued certificate cannot be served.
    #[error("failed to serve the issued certificate")]
    Minted(#[source] rustls::Error),
}

/// A certificate with its key, ready to be served.
#[derive(Clone, Debug)]
pub struct Identity {
    /// The rustls configuration: TLS 1.2 and 1.3, `http/1.1` alone.
    pub tls: Arc<ServerConfig>,
    /// The chain: the leaf, then its intermediates.
    pub chain: Vec<CertificateDer<'static>>,
    /// The validity of the leaf.
    pub validity: Validity,
}

/// A certificate that was issued in memory, and its CA.
#[derive(Clone, Debug)]
pub struct Minted {
    /// The serving certificate.
    pub identity: Identity,
    /// The CA certificate in PEM. The CA's key is dropped after it has signed.
    pub ca: String,
}

/// Issues a CA and a certificate for `localhost` and 127.0.0.1, both ECDSA P-256, in memory.
///
/// # Errors
/// The cryptographic library fails.
pub fn mint(client_ca: Option<&ClientCa>) -> Result<Minted, Error> {
    let now = SystemTime::now();
    let authority = Authority::mint(now, STANDALONE_LIFETIME)?;
    let identity = authority.sign(&STANDALONE_NAMES.map(str::to_owned), now, STANDALONE_LIFETIME, client_ca)?;
    Ok(Minted { identity, ca: ca_bundle::write([authority.certificate()]) })
}

/// The one cryptographic provider of the whole tree.
pub fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

/// Parses PEM text into a root store. Every certificate has to be usable.
fn root_store(pem: &[u8]) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem) {
        roots
            .add(certificate.map_err(|error| describe_pem_error(&error).to_owned())?)
            .map_err(|error| error.to_string())?;
    }
    if roots.is_empty() { Err("no certificate in PEM".to_owned()) } else { Ok(roots) }
}

/// Describes a PEM error. The parser's own message quotes the file, which may be a key.
fn describe_pem_error(error: &pem::Error) -> &'static str {
    match error {
        pem::Error::NoItemsFound => "the file contains none",
        pem::Error::MissingSectionEnd { .. } => "a line -----END …----- is missing",
        pem::Error::IllegalSectionStart { .. } => "a line -----BEGIN …----- is malformed",
        pem::Error::Base64Decode(_) => "the text between BEGIN and END is not base64",
        _ => "it is not PEM",
    }
}

fn server_config(
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    client_ca: Option<&ClientCa>,
) -> Result<Arc<ServerConfig>, rustls::Error> {
    let config =
        ServerConfig::builder_with_provider(provider()).with_protocol_versions(&[&version::TLS13, &version::TLS12])?;
    let config = match client_ca {
        Some(ca) => config.with_client_cert_verifier(ca.verifier()),
        None => config.with_no_client_auth(),
    };
    let mut config = config.with_single_cert(chain, key)?;
    config.alpn_protocols = vec![ALPN.to_vec()];
    // The API server never resumes a session, so tickets and a session store would be wasted work.
    config.send_tls13_tickets = 0;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    Ok(Arc::new(config))
}
