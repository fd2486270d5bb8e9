//! Who may call.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;

use crate::certificate::{Error, provider, roots};

/// Who may call: those with a certificate that one of these CAs has signed.
#[derive(Clone, Debug)]
pub struct Clients(Arc<dyn ClientCertVerifier>);

impl Clients {
    /// Reads the CAs, in PEM.
    ///
    /// # Errors
    /// The file cannot be read, or holds no CA.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let read = fs::read(path).map_err(|error| error.to_string());
        let content = read.map_err(|reason| Error::File { path: path.to_owned(), reason })?;
        let wrong = |reason| Error::Authorities { path: path.to_owned(), reason };
        let roots = Arc::new(roots(&content).map_err(wrong)?);
        let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider()).build();
        Ok(Clients(verifier.map_err(|error| wrong(error.to_string()))?))
    }

    /// What asks a caller for its certificate.
    pub(super) fn verifier(&self) -> Arc<dyn ClientCertVerifier> {
        Arc::clone(&self.0)
    }
}
