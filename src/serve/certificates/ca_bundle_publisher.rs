//! Publishes CAs in the `caBundle` of the webhook configuration, and checks that the API server trusts the certificate.

use std::collections::{BTreeSet, HashSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rustls::pki_types::CertificateDer;
use tokio::sync::watch;
use tokio::time::{Instant, timeout};
use tracing::{error, info, warn};

use crate::certificate::ca_bundle;
use crate::cluster::webhook_configuration::{Entry, ObservedConfiguration, WebhookConfiguration};
use crate::failure::{no_answer_within, root_cause};
use crate::metrics::CertificateFailure;
use crate::serve::certificates::ServingCertificate;
use crate::serve::certificates::backoff::Backoff;
use crate::serve::certificates::ownership_conflict::{OwnershipConflict, PublishedCa};
use crate::serve::certificates::propagation::{Propagation, Published};
use crate::serve::certificates::trust_check::{TrustCheck, TrustInput};

/// The deadline of a request to the API server.
pub(super) const DEADLINE: Duration = Duration::from_secs(10);

/// The publisher of `caBundle`.
#[derive(Debug)]
pub(in crate::serve) struct CaBundlePublisher {
    configuration: Arc<WebhookConfiguration>,
    observed: watch::Receiver<ObservedConfiguration>,
    watch_error: watch::Receiver<Option<String>>,
    propagation: Propagation,
    conflict: OwnershipConflict,
    write: Backoff,
    /// The error of the last write.
    write_error: Option<String>,
    trust_check: TrustCheck,
}

impl CaBundlePublisher {
    /// A publisher that has observed nothing yet.
    pub(in crate::serve) fn new(
        configuration: &Arc<WebhookConfiguration>,
        address: SocketAddr,
        propagation_delay: Duration,
        check_interval: Duration,
    ) -> Self {
        CaBundlePublisher {
            configuration: Arc::clone(configuration),
            observed: configuration.observed(),
            watch_error: configuration.watch_error(),
            propagation: Propagation::new(propagation_delay),
            conflict: OwnershipConflict::default(),
            write: Backoff::default(),
            write_error: None,
            trust_check: TrustCheck::new(address, check_interval),
        }
    }

    /// The observed configuration, now and as it changes.
    pub(in crate::serve) fn observed(&self) -> watch::Receiver<ObservedConfiguration> {
        self.observed.clone()
    }

    /// The host name that the API server connects to.
    pub(super) fn host(&self) -> String {
        self.configuration.service().host()
    }

    /// Waits for a change of the observed configuration. Only this marks a change as handled, so none is lost while the
    /// publisher acts.
    pub(super) async fn changed(&mut self) {
        tokio::select! {
            Ok(()) = self.observed.changed() => {}
            Ok(()) = self.watch_error.changed() => {}
            // The senders live as long as `self`.
            else => std::future::pending::<()>().await,
        }
    }

    /// The times at which to act again: after a failed write, after a pause, after a failed check, and when the next CA
    /// counts as propagated.
    pub(super) fn retry_times(&self, checked: Instant) -> [Option<Instant>; 4] {
        [self.write.until(), self.conflict.retry_at(), self.trust_check.retry_at(), self.propagation.next_at(checked)]
    }

    /// Records the published CAs, and returns them unless they are unknown.
    pub(super) fn observe(&mut self) -> Option<Published> {
        let published = self.propagation.observe(&self.entries(), Instant::now());
        (*self.observed.borrow() != ObservedConfiguration::Unknown).then_some(published)
    }

    /// Whether no webhook configuration references the Service.
    pub(super) fn has_no_callers(&self) -> bool {
        *self.observed.borrow() == ObservedConfiguration::NotInstalled
    }

    fn entries(&self) -> Vec<Entry> {
        match &*self.observed.borrow() {
            ObservedConfiguration::Installed(entries) => entries.clone(),
            ObservedConfiguration::NotInstalled | ObservedConfiguration::Unknown => Vec::new(),
        }
    }

    /// Publishes `ours` in every entry, and removes the CAs that are withdrawn or expired, except those that another
    /// client insists on.
    pub(super) async fn publish(
        &mut self,
        ours: &[CertificateDer<'static>],
        withdrawn: &[CertificateDer<'static>],
        serving: &ServingCertificate,
    ) {
        let entries = self.entries();
        self.observe_entries(&entries, ours, serving);
        let (now, wall) = (Instant::now(), SystemTime::now());
        let is_obsolete = |certificate: &CertificateDer<'static>| {
            withdrawn.contains(certificate) || ca_bundle::has_expired(certificate, wall)
        };
        let amend = |entry: &Entry| {
            let published = |certificate: &CertificateDer<'static>| PublishedCa::new(entry, certificate.clone());
            let ours = ours.iter().filter(|certificate| !self.conflict.is_paused(&published(certificate), now));
            let is_obsolete = |certificate: &CertificateDer<'static>| {
                is_obsolete(certificate) && !self.conflict.is_contested(&published(certificate), now)
            };
            ca_bundle::amend(&entry.bundle, ours, is_obsolete)
        };
        if ours.is_empty() || self.write.is_active(now) || !entries.iter().any(|entry| amend(entry).is_some()) {
            return;
        }
        let why = match timeout(DEADLINE, self.configuration.publish(amend)).await {
            Ok(Ok(published)) => {
                self.write.reset();
                self.write_error = None;
                if published {
                    let obsolete = |ca: &PublishedCa| is_obsolete(&ca.certificate);
                    self.conflict.record_write(expected(&entries, ours), present(&entries).filter(obsolete), now);
                    info!(configuration = self.configuration.name(), cas = ours.len(), "published caBundle");
                }
                return;
            }
            Ok(Err(error)) => root_cause(&error),
            Err(_) => no_answer_within(DEADLINE),
        };
        self.write.start(Instant::now());
        serving.metrics.record_certificate_failure(CertificateFailure::Publish);
        warn!(why, "failed to publish caBundle; retrying");
        self.write_error = Some(why);
    }

    /// Records which of our CAs the entries have, and reports a removal by another client.
    fn observe_entries(&mut self, entries: &[Entry], ours: &[CertificateDer<'static>], serving: &ServingCertificate) {
        let found: HashSet<_> = present(entries).filter(|ca| ours.contains(&ca.certificate)).collect();
        let now = Instant::now();
        if self.conflict.observe(expected(entries, ours), found, now) {
            serving.metrics.bundle_conflicts.inc();
            let writers = writers(entries);
            if self.conflict.gave_up_at(now) {
                error!(
                    writers,
                    "another client keeps removing our CA from caBundle; not publishing it again for an hour"
                );
            } else {
                warn!(writers, "another client removed our CA from caBundle; publishing it again");
            }
        }
    }

    /// Checks whether the API server trusts the serving certificate, and whether a call would reach the webhook.
    pub(super) async fn check_trust(&mut self, serving: &ServingCertificate) {
        let observed = self.observed.borrow().clone();
        let input = TrustInput {
            problem: self.problem(),
            observed,
            configuration: self.configuration.name().to_owned(),
            host: self.host(),
        };
        self.trust_check.run(input, serving).await;
    }

    /// Why the configuration cannot be watched or written.
    fn problem(&self) -> Option<String> {
        if let Some(watch_error) = &*self.watch_error.borrow() {
            return Some(watch_error.clone());
        }
        if self.conflict.gave_up_at(Instant::now()) {
            let writers = writers(&self.entries());
            return Some(format!(
                "paused, because {writers} keeps removing our CA; retrying within an hour: certs/README.md, GitOps"
            ));
        }
        self.write_error.as_ref().map(|error| format!("failed to publish a CA: {error}"))
    }
}

/// Every entry with every one of these CAs.
fn expected(entries: &[Entry], ours: &[CertificateDer<'static>]) -> impl Iterator<Item = PublishedCa> {
    entries.iter().flat_map(|entry| ours.iter().map(|ours| PublishedCa::new(entry, ours.clone())))
}

/// Every entry with every CA that it has.
fn present(entries: &[Entry]) -> impl Iterator<Item = PublishedCa> {
    entries.iter().flat_map(|entry| {
        ca_bundle::read(&entry.bundle).into_iter().map(|certificate| PublishedCa::new(entry, certificate))
    })
}

fn writers(entries: &[Entry]) -> String {
    let writers: BTreeSet<_> = entries.iter().flat_map(|entry| &entry.writers).map(String::as_str).collect();
    if writers.is_empty() { "another client".to_owned() } else { Vec::from_iter(writers).join(", ") }
}
