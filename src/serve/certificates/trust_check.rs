//! Checks whether the API server trusts the serving certificate, and whether a call would reach the webhook.

use std::net::SocketAddr;
use std::time::{Duration, SystemTime};

use rustls::pki_types::CertificateDer;
use tokio::time::Instant;
use tracing::{info, warn};

use crate::certificate::Identity;
use crate::certificate::trust::Trust;
use crate::cluster::webhook_configuration::{Entry, ObservedConfiguration};
use crate::metrics::CertificateFailure;
use crate::readiness::Condition;
use crate::serve::certificates::backoff::Backoff;
use crate::serve::certificates::{ServingCertificate, self_call};

/// Checks trust whenever the certificate or the configuration changes, and periodically.
#[derive(Debug)]
pub(super) struct TrustCheck {
    /// The address of the webhook listener.
    address: SocketAddr,
    /// The interval between two self-calls while nothing changes.
    interval: Duration,
    backoff: Backoff,
    /// The input of the last check.
    last_input: Option<(Option<CertificateDer<'static>>, TrustInput)>,
    next: Instant,
    /// The reason for distrust that was logged.
    distrust: Option<String>,
}

/// The state of the webhook configuration, as far as trust depends on it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct TrustInput {
    /// The last observed state.
    pub(super) observed: ObservedConfiguration,
    /// Why the configuration cannot be watched or written.
    pub(super) problem: Option<String>,
    /// The name of the configuration.
    pub(super) configuration: String,
    /// The host name that the API server connects to.
    pub(super) host: String,
}

impl TrustCheck {
    /// A check that has not run yet.
    pub(super) fn new(address: SocketAddr, interval: Duration) -> Self {
        TrustCheck {
            address,
            interval,
            backoff: Backoff::default(),
            last_input: None,
            next: Instant::now(),
            distrust: None,
        }
    }

    /// When to repeat a failed check.
    pub(super) fn retry_at(&self) -> Option<Instant> {
        self.backoff.until()
    }

    /// Checks trust and reports it, if there is a certificate, and if the input changed or the interval has passed.
    pub(super) async fn run(&mut self, input: TrustInput, serving: &ServingCertificate) {
        let Some(identity) = &serving.identity else {
            if let Some(problem) = &input.problem {
                serving.readiness.set_unmet(Condition::Bundle, problem.clone());
            }
            return;
        };
        let current = (identity.chain.first().cloned(), input);
        if self.last_input.as_ref() == Some(&current) && Instant::now() < self.next {
            return;
        }
        let trusted = self.check(&current.1, identity, serving).await;
        serving.metrics.trusted.set(trusted.into());
        let now = Instant::now();
        if trusted {
            self.backoff.reset();
        } else {
            self.backoff.start(now);
        }
        self.next = self.backoff.until().unwrap_or(now + self.interval);
        self.last_input = Some(current);
    }

    async fn check(&mut self, input: &TrustInput, identity: &Identity, serving: &ServingCertificate) -> bool {
        let TrustInput { observed, problem, configuration, host } = input;
        let set_unmet = |condition, why: String| serving.readiness.set_unmet(condition, why);
        let entries = match observed {
            ObservedConfiguration::Installed(entries) => entries,
            ObservedConfiguration::NotInstalled => {
                if self.last_input.as_ref().is_none_or(|(_, last)| last.observed != ObservedConfiguration::NotInstalled)
                {
                    warn!(configuration, host, "no MutatingWebhookConfiguration references this Service");
                }
                let how =
                    format!("not needed: no MutatingWebhookConfiguration {configuration} with an entry for {host}");
                serving.readiness.set_met_with(Condition::Bundle, how.clone());
                serving.readiness.set_met_with(Condition::SelfCall, how);
                &Vec::new()
            }
            ObservedConfiguration::Unknown => {
                let why = problem.clone().unwrap_or_else(|| "the watch has not delivered it yet".to_owned());
                set_unmet(Condition::Bundle, format!("MutatingWebhookConfiguration {configuration}: {why}"));
                return false;
            }
        };
        if let Some(why) = find_distrust(entries, identity, host) {
            let more = problem.as_ref().map(|problem| format!("; {problem}")).unwrap_or_default();
            let why = format!("the API server does not trust the serving certificate {why}{more}");
            if self.distrust.as_ref() != Some(&why) {
                warn!("{why}");
                self.distrust = Some(why.clone());
            }
            set_unmet(Condition::Bundle, why);
            set_unmet(Condition::SelfCall, "waiting for the bundle".to_owned());
            return false;
        }
        if self.distrust.take().is_some() {
            info!("the API server trusts the serving certificate again");
        }
        if !entries.is_empty() {
            serving.readiness.set_met(Condition::Bundle);
        }
        // The current certificate is trusted, but publishing the next CA may already fail.
        if let Some(problem) = problem {
            set_unmet(Condition::Bundle, problem.clone());
        }
        for entry in entries {
            if let Err(why) = self_call::call(self.address, host, &entry.bundle).await {
                serving.metrics.record_certificate_failure(CertificateFailure::SelfCall);
                warn!(why, "the self-call failed");
                set_unmet(Condition::SelfCall, format!("the self-call failed: {why}"));
                return false;
            }
        }
        if !entries.is_empty() {
            serving.readiness.set_met(Condition::SelfCall);
        }
        true
    }
}

/// The first entry by whose `caBundle` the API server does not trust the certificate, and why. `None` if every entry
/// trusts it.
fn find_distrust(entries: &[Entry], identity: &Identity, host: &str) -> Option<String> {
    let now = SystemTime::now();
    entries.iter().find_map(|Entry { name, bundle, .. }| {
        let why = Trust::from_bundle(bundle).verify(&identity.chain, host, now).err()?;
        Some(format!("with the caBundle of {name}: {why}"))
    })
}
