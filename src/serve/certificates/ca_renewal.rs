//! Issues the serving certificate by a CA that all replicas share in a Secret, without a leader.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rustls::pki_types::CertificateDer;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};
use tracing::{error, info, warn};

use crate::certificate;
use crate::certificate::ClientCa;
use crate::certificate::authority::Authority;
use crate::certificate::keyring::{Keyring, Unreadable};
use crate::certificate::rotation::{SecretState, Served, State, Step, plan};
use crate::cluster::ca_secret::{CaSecret, ObservedSecret, StoredSecret};
use crate::failure::{no_answer_within, root_cause};
use crate::metrics::{CertificateFailure, CertificateKind};
use crate::readiness::Condition;
use crate::serve::certificates::ServingCertificate;
use crate::serve::certificates::backoff::{Backoff, sleep_until_first};
use crate::serve::certificates::ca_bundle_publisher::{CaBundlePublisher, DEADLINE};

/// When an empty Secret appears, a replica without a CA in memory waits this long, so that one that remembers the CA
/// restores it first.
const HEAD_START: Duration = Duration::from_secs(5);

/// How to restore the Secret.
const REMEDY: &str = "repeat helm upgrade or kubectl apply, as at the installation, to restore it";

/// Lifetimes, and the interval of checks.
#[derive(Clone, Copy, Debug)]
pub(in crate::serve) struct Lifetimes {
    /// The lifetime of a CA.
    pub(in crate::serve) ca: Duration,
    /// The lifetime of a leaf.
    pub(in crate::serve) leaf: Duration,
    /// The interval between two checks of the clock.
    pub(in crate::serve) check: Duration,
}

/// The task that issues and renews the certificate.
#[derive(Debug)]
pub(in crate::serve) struct SelfManaged {
    secret: Arc<CaSecret>,
    names: Vec<String>,
    lifetimes: Lifetimes,
    client_ca: Option<ClientCa>,
    publisher: CaBundlePublisher,
    serving: ServingCertificate,
    /// The keyring that was last read from the Secret.
    last_known: Keyring,
    /// The parse error of the Secret that was logged.
    unreadable: Option<Unreadable>,
    /// When the watch last worked, whether the Secret existed or not.
    secret_last_observed: SystemTime,
    /// The logged reason why the Secret cannot be used.
    unusable: Option<String>,
    /// The error of the last write of the Secret.
    write_error: Option<String>,
    /// The CA that signed the serving certificate.
    issuer: Option<Authority>,
    /// The backoff after each write of the Secret, also a successful one: another replica whose clock is a year off may
    /// revert it.
    writes: Backoff,
}

impl SelfManaged {
    /// A task for a certificate with these names.
    pub(in crate::serve) fn new(
        secret: &Arc<CaSecret>,
        names: Vec<String>,
        lifetimes: Lifetimes,
        client_ca: Option<ClientCa>,
        publisher: CaBundlePublisher,
        serving: ServingCertificate,
    ) -> Self {
        let (secret, last_known) = (Arc::clone(secret), Keyring::default());
        SelfManaged {
            secret,
            names,
            lifetimes,
            client_ca,
            publisher,
            serving,
            last_known,
            unreadable: None,
            secret_last_observed: SystemTime::now(),
            unusable: None,
            write_error: None,
            issuer: None,
            writes: Backoff::default(),
        }
    }

    /// Issues and renews the certificate for ever.
    pub(in crate::serve) async fn run(mut self) {
        let (mut observed, mut watch_error) = (self.secret.observed(), self.secret.watch_error());
        let mut ticks = interval(self.lifetimes.check);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let checked = Instant::now();
            let state = observed.borrow_and_update().clone();
            let failure = watch_error.borrow_and_update().clone();
            if failure.is_none() && state != ObservedSecret::Unknown {
                self.secret_last_observed = SystemTime::now();
            }
            let (secret, stored) = match &state {
                ObservedSecret::Unknown => (SecretState::Unknown, None),
                ObservedSecret::Present(stored) if stored.foreign_type().is_none() => {
                    (self.parse(stored), Some(stored))
                }
                ObservedSecret::Absent | ObservedSecret::Present(_) => (SecretState::Absent, None),
            };
            self.report_unusable(&state);
            self.act(&secret, stored).await;
            self.report_problems(failure.as_deref());
            let (cas, withdrawn) = self.cas_to_publish(&secret);
            self.publisher.publish(&cas, &withdrawn, &self.serving).await;
            self.publisher.check_trust(&self.serving).await;
            let [a, b, c, d] = self.publisher.retry_times(checked);
            tokio::select! {
                _ = ticks.tick() => self.count_unusable(),
                Ok(()) = observed.changed() => {}
                Ok(()) = watch_error.changed() => {}
                () = self.publisher.changed() => {}
                () = sleep_until_first([a, b, c, d, self.writes.until()], checked) => {}
            }
        }
    }

    /// Logs once that the Secret cannot be used, and once that it can be used again.
    fn report_unusable(&mut self, state: &ObservedSecret) {
        let path = self.secret.path();
        let why = match state {
            ObservedSecret::Unknown => return,
            ObservedSecret::Absent => Some(format!("{path} does not exist; {REMEDY}")),
            ObservedSecret::Present(stored) => {
                stored.foreign_type().map(|type_| format!("{path} is of type {type_}, not Opaque; delete it: {REMEDY}"))
            }
        };
        if why == self.unusable {
            return;
        }
        if let Some(why) = &why {
            error!(why, "the CA Secret cannot be used; the CA is not renewed");
        } else {
            info!("the CA Secret can be used again");
            if self.last_known.certificates().next().is_none() {
                self.writes.start_for(HEAD_START, Instant::now());
            }
        }
        self.unusable = why;
        self.count_unusable();
    }

    /// Counts a lasting failure, so that an alert fires.
    fn count_unusable(&self) {
        if self.unusable.is_some() {
            self.serving.metrics.record_certificate_failure(CertificateFailure::Secret);
        }
    }

    /// Reports that the Secret cannot be watched, used or written. The serving certificate stays valid.
    fn report_problems(&self, failure: Option<&str>) {
        let write_error = self.write_error.as_ref().map(|why| format!("failed to write it: {why}"));
        match failure.map(str::to_owned).or(self.unusable.clone()).or(write_error) {
            Some(why) => self.serving.readiness.set_unmet(Condition::Certificate, format!("CA Secret: {why}")),
            None if self.serving.identity.is_some() => self.serving.readiness.set_met(Condition::Certificate),
            None => {}
        }
    }

    fn parse(&mut self, stored: &StoredSecret) -> SecretState {
        let data = stored.data();
        if Keyring::is_missing_in(&data) {
            return SecretState::Empty;
        }
        match Keyring::read(&data) {
            Ok(keyring) => {
                if self.last_known != keyring {
                    if let Some(expiration) = keyring.expiration() {
                        self.serving.metrics.set_expiration(CertificateKind::Ca, expiration);
                    }
                    info!(cas = keyring.certificates().count(), "loaded new CAs from the Secret");
                    self.last_known = keyring.clone();
                }
                self.unreadable = None;
                SecretState::Stored(keyring)
            }
            Err(why) => {
                if self.unreadable.as_ref() != Some(&why) {
                    self.serving.metrics.record_certificate_failure(CertificateFailure::Secret);
                    error!(%why, "the Secret has no CA that can be parsed; overwriting it");
                    self.unreadable = Some(why);
                }
                SecretState::Unreadable
            }
        }
    }

    /// Plans the next steps and takes them.
    async fn act(&mut self, secret: &SecretState, stored: Option<&StoredSecret>) {
        let now = SystemTime::now();
        let published = self.publisher.observe();
        let published = published.as_ref();
        let served = self.issuer.as_ref().zip(self.serving.identity.as_ref());
        let served = served.map(|(issuer, identity)| Served { issuer, validity: identity.validity });
        let state = State {
            now,
            secret,
            last_known: &self.last_known,
            secret_last_observed: self.secret_last_observed,
            leaf_lifetime: self.lifetimes.leaf,
            served,
            published: published.map(|published| &*published.everywhere),
            propagated: published.map(|published| &*published.propagated).unwrap_or_default(),
            anywhere: published.map(|published| &*published.anywhere).unwrap_or_default(),
        };
        for step in plan(&state) {
            match step {
                Step::Serve(issuer) => self.serve(issuer, now),
                Step::Mint(_) | Step::Store(_) if self.writes.is_active(Instant::now()) => {}
                Step::Mint(keep) => match Authority::mint(now, self.lifetimes.ca) {
                    Ok(newest) => {
                        let expiration = newest.validity().until;
                        if self.store(&keep.with_newest(newest), stored).await {
                            self.serving.metrics.record_renewal(CertificateKind::Ca, expiration);
                            info!("issued a new CA");
                        }
                    }
                    Err(error) => self.report_issue_error(&error),
                },
                Step::Store(keyring) => _ = self.store(&keyring, stored).await,
            }
        }
    }

    fn serve(&mut self, issuer: Authority, now: SystemTime) {
        match issuer.sign(&self.names, now, self.lifetimes.leaf, self.client_ca.as_ref()) {
            Ok(identity) => {
                self.serving.serve(identity);
                self.issuer = Some(issuer);
            }
            Err(error) => self.report_issue_error(&error),
        }
    }

    fn report_issue_error(&mut self, error: &certificate::Error) {
        self.serving.metrics.record_certificate_failure(CertificateFailure::Issue);
        error!(error = error as &dyn std::error::Error, "failed to issue a certificate; retrying");
    }

    /// Writes the Secret. Returns whether this replica's write succeeded.
    async fn store(&mut self, keyring: &Keyring, over: Option<&StoredSecret>) -> bool {
        // Nothing is stored unless there is a Secret.
        let Some(over) = over else { return false };
        let written = timeout(DEADLINE, self.secret.store(keyring.write(), over)).await;
        self.writes.start(Instant::now());
        let why = match written {
            Ok(Ok(stored)) => {
                self.write_error = None;
                return stored;
            }
            Ok(Err(error)) => root_cause(&error),
            Err(_) => no_answer_within(DEADLINE),
        };
        self.serving.metrics.record_certificate_failure(CertificateFailure::Secret);
        warn!(why, "failed to write the Secret; retrying");
        self.write_error = Some(why);
        false
    }

    /// The CAs to publish, which are those of the Secret and the one that signed the certificate, and the CAs that no
    /// replica needs any more.
    fn cas_to_publish(&self, secret: &SecretState) -> (Vec<CertificateDer<'static>>, Vec<CertificateDer<'static>>) {
        let keyring = match secret {
            SecretState::Stored(keyring) => keyring,
            _ => &self.last_known,
        };
        let (now, leaf) = (SystemTime::now(), self.lifetimes.leaf);
        let issuer = self.issuer.iter().map(Authority::certificate).filter(|issuer| !keyring.contains(issuer));
        let needed = keyring.needed(now, leaf).chain(issuer).cloned().collect();
        // A remembered keyring may be outdated, so nothing is withdrawn by it.
        let withdrawn = match secret {
            SecretState::Stored(keyring) => keyring.withdrawn(now, leaf).cloned().collect(),
            _ => Vec::new(),
        };
        (needed, withdrawn)
    }
}
