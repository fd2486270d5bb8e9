//! The CAs whose clients may call the webhook.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;

use crate::certificate::{Error, provider, root_store};

/// Verifies clients: a client needs a certificate signed by one of these CAs.
#[derive(Clone, Debug)]
pub struct ClientCa(Arc<dyn ClientCertVerifier>);

impl ClientCa {
    /// Reads the CAs from a PEM file.
    ///
    /// # Errors
    /// The file cannot be read, or contains no CA.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let read = fs::read(path).map_err(|error| error.to_string());
        let content = read.map_err(|reason| Error::File { path: path.to_owned(), reason })?;
        let wrong = |reason| Error::Authorities { path: path.to_owned(), reason };
        let roots = Arc::new(root_store(&content).map_err(wrong)?);
        let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider()).build();
        Ok(ClientCa(verifier.map_err(|error| wrong(error.to_string()))?))
    }

    /// The verifier for a rustls server.
    pub(super) fn verifier(&self) -> Arc<dyn ClientCertVerifier> {
        Arc::clone(&self.0)
    }
}
