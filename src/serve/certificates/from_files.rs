//! Serves a certificate from files, and publishes its CAs if a file has them.

use std::time::{Duration, SystemTime};

use rustls::pki_types::CertificateDer;
use tokio::time::{Instant, MissedTickBehavior, interval};
use tracing::{error, info, warn};

use crate::certificate::Identity;
use crate::certificate::from_files::{CertificateFiles, Loaded};
use crate::certificate::trust::Trust;
use crate::metrics::{CertificateFailure, CertificateKind};
use crate::readiness::Condition;
use crate::serve::certificates::ServingCertificate;
use crate::serve::certificates::backoff::sleep_until_first;
use crate::serve::certificates::ca_bundle_publisher::CaBundlePublisher;
use crate::serve::certificates::propagation::Published;

/// The files, and the certificates loaded from them.
#[derive(Debug)]
pub(in crate::serve) struct FromFiles {
    files: CertificateFiles,
    authorities: Vec<CertificateDer<'static>>,
    /// A new certificate that the API servers may not trust yet.
    next: Option<Identity>,
    /// The logged reason why it is not served yet.
    withheld_reason: Option<String>,
    /// `None` without `--service`.
    publisher: Option<CaBundlePublisher>,
    serving: ServingCertificate,
}

impl FromFiles {
    /// Serves the certificate that was loaded first.
    pub(in crate::serve) fn new(
        files: CertificateFiles,
        first: Loaded,
        publisher: Option<CaBundlePublisher>,
        mut serving: ServingCertificate,
    ) -> Self {
        record_expiration(&first, &serving);
        serving.serve(first.identity);
        FromFiles { files, authorities: first.authorities, next: None, withheld_reason: None, publisher, serving }
    }

    /// Reloads the files for ever.
    ///
    /// Polls, because a kubelet updates mounted files by swapping a symlink in a parent directory, which inotify on the
    /// files does not report.
    pub(in crate::serve) async fn run(mut self, every: Duration) {
        let mut ticks = interval(every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let checked = Instant::now();
            match self.files.read() {
                None => {}
                Some(Ok(loaded)) => {
                    info!("reloaded the certificate files");
                    record_expiration(&loaded, &self.serving);
                    self.serving.readiness.set_met(Condition::Certificate);
                    self.authorities = loaded.authorities;
                    self.next = Some(loaded.identity);
                }
                Some(Err(why)) => {
                    self.serving.metrics.record_certificate_failure(CertificateFailure::Files);
                    let why = format!("{:#}", anyhow::Error::from(why));
                    error!(why, "the changed certificate files are invalid; the last valid ones are served");
                    let why = format!("the last valid files are served; the new ones are invalid: {why}");
                    self.serving.readiness.set_unmet(Condition::Certificate, why);
                }
            }
            let Some(publisher) = &mut self.publisher else {
                if let Some(next) = self.next.take() {
                    self.serving.serve(next);
                }
                ticks.tick().await;
                continue;
            };
            publisher.publish(&self.authorities, &[], &self.serving).await;
            match self.next.as_ref().map(|next| may_serve(publisher, next, &self.serving)) {
                None | Some(Ok(false)) => {}
                Some(Ok(true)) => {
                    self.withheld_reason = None;
                    if let Some(next) = self.next.take() {
                        self.serving.serve(next);
                    }
                }
                Some(Err(why)) => report_withheld(&mut self.withheld_reason, &why, &self.serving),
            }
            publisher.check_trust(&self.serving).await;
            let times = publisher.retry_times(checked);
            tokio::select! {
                _ = ticks.tick() => {}
                () = publisher.changed() => {}
                () = sleep_until_first(times, checked) => {}
            }
        }
    }
}

fn record_expiration(loaded: &Loaded, serving: &ServingCertificate) {
    if let Some(expiration) = loaded.ca_expiration() {
        serving.metrics.set_expiration(CertificateKind::Ca, expiration);
    }
}

/// Reports why a new certificate is not served.
fn report_withheld(withheld_reason: &mut Option<String>, why: &str, serving: &ServingCertificate) {
    let why = format!("the files have a new certificate, which waits: {why}; the last one is served");
    if withheld_reason.as_ref() != Some(&why) {
        warn!("{why}");
        serving.readiness.set_unmet(Condition::Certificate, why.clone());
        *withheld_reason = Some(why);
    }
}

/// Whether a new certificate may replace the current one: every API server trusts it, or none is known to trust the
/// current one. False if some API servers may not know its CA yet.
///
/// # Errors
/// No API server trusts it.
fn may_serve(publisher: &mut CaBundlePublisher, next: &Identity, serving: &ServingCertificate) -> Result<bool, String> {
    let (now, host) = (SystemTime::now(), publisher.host());
    let Published { everywhere, propagated, .. } = publisher.observe().unwrap_or_default();
    let verify = |cas: &[CertificateDer<'static>], identity: &Identity| {
        Trust::new(cas.to_vec()).verify(&identity.chain, &host, now)
    };
    let can_lose_nothing = publisher.has_no_callers()
        || serving.identity.as_ref().is_none_or(|current| verify(&everywhere, current).is_err());
    if can_lose_nothing || verify(&propagated, next).is_ok() {
        return Ok(true);
    }
    verify(&everywhere, next)
        .map(|()| false)
        .map_err(|why| format!("the API server does not trust it with the published caBundle: {why}"))
}
