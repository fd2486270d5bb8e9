//! Keeps what is shown and whom the API server trusts in agreement, for as long as we run.

use std::sync::Arc;
use std::time::SystemTime;

use rustls::ServerConfig;
use tokio::sync::watch;
use tracing::{info, warn};

use crate::certificate::Identity;
use crate::metrics::{Metrics, Renewed};
use crate::readiness::{Condition, Readiness};

pub(super) mod from_files;
mod ownership_conflict;
mod trust_check;
mod backoff;
pub(super) mod ca_bundle_publisher;
mod self_call;
pub(super) mod self_managed;
mod propagation;

/// What is shown at the moment, and who has to know of it.
#[derive(Debug)]
pub(super) struct Shown {
    identity: Option<Identity>,
    tls: watch::Sender<Option<Arc<ServerConfig>>>,
    readiness: Arc<Readiness>,
    metrics: Arc<Metrics>,
}

impl Shown {
    /// Nothing is shown yet.
    pub(super) fn nothing(readiness: &Arc<Readiness>, metrics: &Arc<Metrics>) -> Self {
        let (readiness, metrics) = (Arc::clone(readiness), Arc::clone(metrics));
        Shown { identity: None, tls: watch::Sender::default(), readiness, metrics }
    }

    /// What is shown, now and as it changes.
    pub(super) fn tls(&self) -> watch::Receiver<Option<Arc<ServerConfig>>> {
        self.tls.subscribe()
    }

    /// Shows another from now on; connections that are open stay.
    pub(super) fn show(&mut self, identity: Identity) {
        let ends = identity.validity.until;
        if ends <= SystemTime::now() {
            warn!("the certificate's time is over: the API server will refuse it");
        }
        self.tls.send_replace(Some(Arc::clone(&identity.tls)));
        self.metrics.renewed(Renewed::Leaf, ends);
        self.readiness.set_met(Condition::Certificate);
        let again = self.identity.replace(identity).is_some();
        let seconds = ends.duration_since(SystemTime::now()).unwrap_or_default().as_secs();
        info!(again, "serving a certificate that ends in {seconds} s");
    }
}
