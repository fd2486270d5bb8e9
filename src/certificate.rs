//! Our TLS identity: read it or mint it, and know when it ends.

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
pub use client_ca::Clients;
use validity::Validity;

/// Who the certificate of a server without a cluster is for.
const STANDALONE_NAMES: [&str; 2] = ["localhost", "127.0.0.1"];

/// How long it is good for: nobody tries something out for longer.
const STANDALONE_LIFETIME: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// The only protocol offered. The API server speaks HTTP/1.1 alone; h2 has no client here.
const ALPN: &[u8] = b"http/1.1";

/// Why there is no identity.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file cannot be read.
    #[error("failed to read {}: {reason}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system says.
        reason: String,
    },
    /// A file has other content than it should have.
    #[error("failed to read {what} in PEM from {}: {reason}", path.display())]
    Pem {
        /// What was looked for.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// What is wrong with it, in our words.
        reason: &'static str,
    },
    /// A key is encrypted.
    #[error("the key in {path} is encrypted, and nobody is there to type a password; decrypt it: openssl pkey -in {path}", path = .0.display())]
    EncryptedKey(PathBuf),
    /// A file has no certificate.
    #[error("{} holds no certificate in PEM", .0.display())]
    NoCertificate(PathBuf),
    /// The first certificate of a chain cannot be understood.
    #[error("the first certificate in {} cannot be understood: {reason}", path.display())]
    Certificate {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The key is another certificate's.
    #[error("the key in {} does not belong to the first certificate in {}", key.display(), certificate.display())]
    WrongPair {
        /// The certificate's file.
        certificate: PathBuf,
        /// The key's file.
        key: PathBuf,
    },
    /// The pair is of a kind that cannot be served.
    #[error("the certificate in {} cannot be served with the key in {}", certificate.display(), key.display())]
    Unfit {
        /// The certificate's file.
        certificate: PathBuf,
        /// The key's file.
        key: PathBuf,
        /// What rustls says.
        source: rustls::Error,
    },
    /// A file of CAs cannot be used.
    #[error("the CAs in {} cannot be used: {reason}", path.display())]
    Authorities {
        /// The file.
        path: PathBuf,
        /// What is wrong with them.
        reason: String,
    },
    /// The CA cannot sign.
    #[error("the key of the CA is not here")]
    NoKey,
    /// A certificate cannot be made.
    #[error("failed to mint a certificate")]
    Mint(#[from] rcgen::Error),
    /// Nobody who trusts the CA trusts what it has signed.
    #[error("the CA cannot sign for {name}: {reason}")]
    Untrusted {
        /// The name of the server.
        name: String,
        /// Why not.
        reason: String,
    },
    /// A minted certificate cannot be served.
    #[error("failed to serve the minted certificate")]
    Minted(#[source] rustls::Error),
}

/// What the server shows, ready to be served.
#[derive(Clone, Debug)]
pub struct Identity {
    /// TLS 1.2 and 1.3, `http/1.1` alone.
    pub tls: Arc<ServerConfig>,
    /// The leaf, then its intermediates.
    pub chain: Vec<CertificateDer<'static>>,
    /// When the leaf is good.
    pub validity: Validity,
}

/// An identity of our own making.
#[derive(Clone, Debug)]
pub struct Minted {
    /// What the server shows.
    pub identity: Identity,
    /// The certificate of the CA that signed it, in PEM; its key is gone.
    pub ca: String,
}

/// Mints a CA and a certificate for `localhost` and 127.0.0.1, both ECDSA P-256, in memory.
///
/// # Errors
/// The cryptographic library fails.
pub fn mint(clients: Option<&Clients>) -> Result<Minted, Error> {
    let now = SystemTime::now();
    let authority = Authority::mint(now, STANDALONE_LIFETIME)?;
    let identity = authority.sign(&STANDALONE_NAMES.map(str::to_owned), now, STANDALONE_LIFETIME, clients)?;
    Ok(Minted { identity, ca: ca_bundle::write([authority.certificate()]) })
}

/// The one cryptographic provider in the tree.
pub fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

/// CAs in PEM that a person gave us, each of them good.
fn roots(pem: &[u8]) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem) {
        roots.add(certificate.map_err(|error| what_is_wrong(&error).to_owned())?).map_err(|error| error.to_string())?;
    }
    if roots.is_empty() { Err("no certificate in PEM".to_owned()) } else { Ok(roots) }
}

/// What is wrong with a file that should be PEM. Never in the reader's words: they quote the file, and it may be a key.
fn what_is_wrong(error: &pem::Error) -> &'static str {
    match error {
        pem::Error::NoItemsFound => "there is none in it",
        pem::Error::MissingSectionEnd { .. } => "it has no line -----END …----- of its own",
        pem::Error::IllegalSectionStart { .. } => "its line -----BEGIN …----- is broken",
        pem::Error::Base64Decode(_) => "what is between BEGIN and END is not base64",
        _ => "it is not PEM",
    }
}

fn tls(
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    clients: Option<&Clients>,
) -> Result<Arc<ServerConfig>, rustls::Error> {
    let config =
        ServerConfig::builder_with_provider(provider()).with_protocol_versions(&[&version::TLS13, &version::TLS12])?;
    let config = match clients {
        Some(clients) => config.with_client_cert_verifier(clients.verifier()),
        None => config.with_no_client_auth(),
    };
    let mut config = config.with_single_cert(chain, key)?;
    config.alpn_protocols = vec![ALPN.to_vec()];
    // The API server never resumes a session, so neither tickets nor a store of sessions are worth their work.
    config.send_tls13_tickets = 0;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    Ok(Arc::new(config))
}
