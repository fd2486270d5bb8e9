//! Keeps the serving certificate and the `caBundle` of the API server in agreement.

use std::sync::Arc;
use std::time::SystemTime;

use rustls::ServerConfig;
use tokio::sync::watch;
use tracing::{info, warn};

use crate::certificate::Identity;
use crate::metrics::{CertificateKind, Metrics};
use crate::readiness::{Condition, Readiness};

pub(super) mod from_files;
mod ownership_conflict;
mod trust_check;
mod backoff;
pub(super) mod ca_bundle_publisher;
mod self_call;
pub(super) mod ca_renewal;
mod propagation;

/// The certificate that is served now, and the receivers of its changes.
#[derive(Debug)]
pub(super) struct ServingCertificate {
    identity: Option<Identity>,
    tls: watch::Sender<Option<Arc<ServerConfig>>>,
    readiness: Arc<Readiness>,
    metrics: Arc<Metrics>,
}

impl ServingCertificate {
    /// No certificate yet.
    pub(super) fn new(readiness: &Arc<Readiness>, metrics: &Arc<Metrics>) -> Self {
        let (readiness, metrics) = (Arc::clone(readiness), Arc::clone(metrics));
        ServingCertificate { identity: None, tls: watch::Sender::default(), readiness, metrics }
    }

    /// The TLS configuration, now and as it changes.
    pub(super) fn subscribe(&self) -> watch::Receiver<Option<Arc<ServerConfig>>> {
        self.tls.subscribe()
    }

    /// Serves a certificate on new connections. Open connections stay.
    pub(super) fn serve(&mut self, identity: Identity) {
        let expiration = identity.validity.until;
        if expiration <= SystemTime::now() {
            warn!("the certificate has expired: the API server will reject it");
        }
        self.tls.send_replace(Some(Arc::clone(&identity.tls)));
        self.metrics.record_renewal(CertificateKind::Leaf, expiration);
        self.readiness.set_met(Condition::Certificate);
        let replaced = self.identity.replace(identity).is_some();
        let seconds = expiration.duration_since(SystemTime::now()).unwrap_or_default().as_secs();
        info!(replaced, "serving a certificate that expires in {seconds} s");
    }
}
