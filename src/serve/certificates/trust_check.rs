//! Whether the API server trusts what is shown, and whether a call of it would reach us.

use std::net::SocketAddr;
use std::time::{Duration, SystemTime};

use rustls::pki_types::CertificateDer;
use tokio::time::Instant;
use tracing::{info, warn};

use crate::certificate::Identity;
use crate::certificate::trust::Trust;
use crate::cluster::webhook_configuration::{Entry, Seen};
use crate::metrics::Trouble;
use crate::readiness::Condition;
use crate::serve::certificates::backoff::Pause;
use crate::serve::certificates::{Shown, self_call};

/// Judges what is shown, whenever it or what is published changes, and now and then.
#[derive(Debug)]
pub(super) struct Judge {
    /// Where we listen.
    listens: SocketAddr,
    /// Between two calls of ourselves, where nothing changes.
    check: Duration,
    pause: Pause,
    /// What was judged last, and when to judge it again.
    judged: Option<(Option<CertificateDer<'static>>, Standing)>,
    next: Instant,
    /// Why the API server does not trust us, where it was logged.
    misfit: Option<String>,
}

/// How things stand with the configuration.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Standing {
    /// What was last seen of it.
    pub(super) seen: Seen,
    /// What keeps us from seeing or writing it.
    pub(super) trouble: Option<String>,
    /// What it is called.
    pub(super) configuration: String,
    /// By which name we are called.
    pub(super) host: String,
}

impl Judge {
    /// One that has judged nothing yet.
    pub(super) fn new(listens: SocketAddr, check: Duration) -> Self {
        Judge { listens, check, pause: Pause::default(), judged: None, next: Instant::now(), misfit: None }
    }

    /// When to judge again what was found wanting.
    pub(super) fn when(&self) -> Option<Instant> {
        self.pause.until()
    }

    /// Says how things stand, if there is something shown, and something new or enough time has passed.
    pub(super) async fn judge(&mut self, standing: Standing, shown: &Shown) {
        let Some(identity) = &shown.identity else {
            if let Some(trouble) = &standing.trouble {
                shown.readiness.set_unmet(Condition::Bundle, trouble.clone());
            }
            return;
        };
        let about = (identity.chain.first().cloned(), standing);
        if self.judged.as_ref() == Some(&about) && Instant::now() < self.next {
            return;
        }
        let good = self.call(&about.1, identity, shown).await;
        shown.metrics.trusted.set(good.into());
        let now = Instant::now();
        if good {
            self.pause.end();
        } else {
            self.pause.begin(now);
        }
        self.next = self.pause.until().unwrap_or(now + self.check);
        self.judged = Some(about);
    }

    async fn call(&mut self, standing: &Standing, identity: &Identity, shown: &Shown) -> bool {
        let Standing { seen, trouble, configuration, host } = standing;
        let lack = |condition, why: String| shown.readiness.set_unmet(condition, why);
        let entries = match seen {
            Seen::Installed(entries) => entries,
            Seen::NotInstalled => {
                if self.judged.as_ref().is_none_or(|(_, last)| last.seen != Seen::NotInstalled) {
                    warn!(configuration, host, "nobody calls us: there is no configuration with an entry for us");
                }
                let how =
                    format!("not needed: no MutatingWebhookConfiguration {configuration} with an entry for {host}");
                shown.readiness.set_met_as(Condition::Bundle, how.clone());
                shown.readiness.set_met_as(Condition::SelfCall, how);
                &Vec::new()
            }
            Seen::NotYet => {
                let why = trouble.clone().unwrap_or_else(|| "not seen yet".to_owned());
                lack(Condition::Bundle, format!("MutatingWebhookConfiguration {configuration}: {why}"));
                return false;
            }
        };
        if let Some(why) = distrust(entries, identity, host) {
            let more = trouble.as_ref().map(|trouble| format!("; {trouble}")).unwrap_or_default();
            let why = format!("the API server does not trust us {why}{more}");
            if self.misfit.as_ref() != Some(&why) {
                warn!("{why}");
                self.misfit = Some(why.clone());
            }
            lack(Condition::Bundle, why);
            lack(Condition::SelfCall, "waits for the bundle".to_owned());
            return false;
        }
        if self.misfit.take().is_some() {
            info!("the API server trusts us again");
        }
        if !entries.is_empty() {
            shown.readiness.set_met(Condition::Bundle);
        }
        // What is shown is trusted; what comes after it may be in trouble already.
        if let Some(trouble) = trouble {
            lack(Condition::Bundle, trouble.clone());
        }
        for entry in entries {
            if let Err(why) = self_call::call(self.listens, host, &entry.bundle).await {
                shown.metrics.certificate_failed(Trouble::Probe);
                warn!(why, "failed to call ourselves as the API server would");
                lack(Condition::SelfCall, format!("failed to call ourselves: {why}"));
                return false;
            }
        }
        if !entries.is_empty() {
            shown.readiness.set_met(Condition::SelfCall);
        }
        true
    }
}

/// By which entry the API server does not trust what is shown, and why; none where it does by all.
fn distrust(entries: &[Entry], identity: &Identity, host: &str) -> Option<String> {
    let now = SystemTime::now();
    entries.iter().find_map(|Entry { name, bundle, .. }| {
        let why = Trust::by(bundle).verify(&identity.chain, host, now).err()?;
        Some(format!("by the caBundle of {name}: {why}"))
    })
}
