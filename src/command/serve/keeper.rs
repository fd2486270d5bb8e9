//! Keeps what is shown and whom the API server trusts in agreement, for as long as we run.

use std::sync::Arc;
use std::time::SystemTime;

use rustls::ServerConfig;
use tokio::sync::watch;
use tracing::{info, warn};

use crate::certificate::Identity;
use crate::metrics::{Metrics, Renewed};
use crate::server::admin::{Condition, Conditions};

pub(super) mod brought;
mod contest;
mod judge;
mod pause;
pub(super) mod publisher;
mod self_call;
pub(super) mod self_managed;
mod settled;

/// What is shown at the moment, and who has to know of it.
#[derive(Debug)]
pub(super) struct Shown {
    identity: Option<Identity>,
    tls: watch::Sender<Option<Arc<ServerConfig>>>,
    conditions: Arc<Conditions>,
    metrics: Arc<Metrics>,
}

impl Shown {
    /// Nothing is shown yet.
    pub(super) fn nothing(conditions: &Arc<Conditions>, metrics: &Arc<Metrics>) -> Self {
        let (conditions, metrics) = (Arc::clone(conditions), Arc::clone(metrics));
        Shown { identity: None, tls: watch::Sender::default(), conditions, metrics }
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
        self.conditions.meet(Condition::Certificate);
        let again = self.identity.replace(identity).is_some();
        let seconds = ends.duration_since(SystemTime::now()).unwrap_or_default().as_secs();
        info!(again, "serving a certificate that ends in {seconds} s");
    }
}
