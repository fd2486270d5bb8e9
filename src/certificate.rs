//! Our TLS identity: read it or mint it, and know when it ends.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::{self, PemObject as _};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::NoServerSessionStorage;
use rustls::{InconsistentKeys, ServerConfig, version};

/// Who a minted certificate is for.
const STANDALONE_NAMES: [&str; 2] = ["localhost", "127.0.0.1"];

/// How long a minted certificate is good for: nobody tries something out for longer.
const STANDALONE_LIFETIME: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// How far a minted certificate reaches back: the clock of whoever checks it may be behind ours.
const CLOCK_SKEW: Duration = Duration::from_secs(60 * 60);

/// The only protocol offered. The API server speaks HTTP/1.1 alone; h2 has no client here.
const ALPN: &[u8] = b"http/1.1";

/// Why there is no identity.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file cannot be read.
    #[error("failed to read {}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// A file has other content than it should have.
    #[error("failed to read {what} in PEM from {}", path.display())]
    Pem {
        /// What was looked for.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: pem::Error,
    },
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
    /// A certificate cannot be made.
    #[error("failed to mint a certificate")]
    Mint(#[from] rcgen::Error),
    /// A minted certificate cannot be served.
    #[error("failed to serve the minted certificate")]
    Minted(#[source] rustls::Error),
}

/// What the server shows, ready to be served.
#[derive(Clone, Debug)]
pub struct Identity {
    /// TLS 1.2 and 1.3, `http/1.1` alone.
    pub tls: Arc<ServerConfig>,
    /// When the leaf's time is over.
    pub ends: SystemTime,
}

/// An identity of our own making.
#[derive(Clone, Debug)]
pub struct Minted {
    /// What the server shows.
    pub identity: Identity,
    /// The certificate of the CA that signed it, in PEM; its key is gone.
    pub ca: String,
}

/// Reads a certificate chain, the leaf first, and its key (PKCS#8, PKCS#1 or SEC1), both in PEM.
///
/// It does not ask whether the certificate is good for a name, or already over.
///
/// # Errors
/// A file cannot be read, or the two do not belong together.
pub fn read(certificate: &Path, key: &Path) -> Result<Identity, Error> {
    let content = |path: &Path| fs::read(path).map_err(|source| Error::File { path: path.to_owned(), source });
    let pem = |what, path: &Path| {
        let path = path.to_owned();
        move |source| Error::Pem { what, path, source }
    };
    let chain = CertificateDer::pem_slice_iter(&content(certificate)?)
        .collect::<Result<Vec<_>, _>>()
        .map_err(pem("certificates", certificate))?;
    let private = PrivateKeyDer::from_pem_slice(&content(key)?).map_err(pem("a private key", key))?;
    let leaf = chain.first().ok_or_else(|| Error::NoCertificate(certificate.to_owned()))?;
    let ends = end_of(leaf).map_err(|reason| Error::Certificate { path: certificate.to_owned(), reason })?;
    let (certificate, key) = (certificate.to_owned(), key.to_owned());
    let tls = tls(chain, private).map_err(|error| match error {
        rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => Error::WrongPair { certificate, key },
        source => Error::Unfit { certificate, key, source },
    })?;
    Ok(Identity { tls, ends })
}

/// Mints a CA and a certificate for `localhost` and 127.0.0.1, both ECDSA P-256, in memory.
///
/// # Errors
/// The cryptographic library fails.
pub fn mint() -> Result<Minted, Error> {
    let now = SystemTime::now();
    let params = |names: &[&str], common_name: &str| -> Result<CertificateParams, rcgen::Error> {
        let names: Vec<_> = names.iter().map(|&name| name.to_owned()).collect();
        let mut params = CertificateParams::new(names)?;
        params.distinguished_name.push(DnType::CommonName, common_name);
        params.not_before = (now - CLOCK_SKEW).into();
        params.not_after = (now + STANDALONE_LIFETIME).into();
        Ok(params)
    };
    let mut ca = params(&[], "dynamo-cache standalone CA")?;
    ca.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    ca.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let ca_key = KeyPair::generate()?;
    let ca_certificate = ca.self_signed(&ca_key)?;

    let mut leaf = params(&STANDALONE_NAMES, "dynamo-cache")?;
    leaf.use_authority_key_identifier_extension = true;
    leaf.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    leaf.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let leaf_key = KeyPair::generate()?;
    let chain = vec![leaf.signed_by(&leaf_key, &Issuer::from_params(&ca, &ca_key))?.der().clone()];
    let tls = tls(chain, PrivateKeyDer::Pkcs8(leaf_key.serialize_der().into())).map_err(Error::Minted)?;
    Ok(Minted { identity: Identity { tls, ends: now + STANDALONE_LIFETIME }, ca: ca_certificate.pem() })
}

/// The one cryptographic provider in the tree.
pub fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

fn tls(chain: Vec<CertificateDer<'static>>, key: PrivateKeyDer<'static>) -> Result<Arc<ServerConfig>, rustls::Error> {
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&version::TLS13, &version::TLS12])?
        .with_no_client_auth()
        .with_single_cert(chain, key)?;
    config.alpn_protocols = vec![ALPN.to_vec()];
    // The API server never resumes a session, so neither tickets nor a store of sessions are worth their work.
    config.send_tls13_tickets = 0;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    Ok(Arc::new(config))
}

/// When a certificate's time is over.
fn end_of(certificate: &CertificateDer<'_>) -> Result<SystemTime, String> {
    let (_, parsed) = x509_parser::parse_x509_certificate(certificate).map_err(|error| error.to_string())?;
    let seconds = u64::try_from(parsed.validity().not_after.timestamp()).unwrap_or_default();
    Ok(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds))
}
