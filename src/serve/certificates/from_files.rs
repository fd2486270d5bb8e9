//! Shows a certificate that others bring in files, and publishes its CAs where they are brought too.

use std::time::{Duration, SystemTime};

use rustls::pki_types::CertificateDer;
use tokio::time::{Instant, MissedTickBehavior, interval};
use tracing::{error, info, warn};

use crate::certificate::Identity;
use crate::certificate::from_files::{Brought, Files};
use crate::certificate::trust::Trust;
use crate::metrics::{Renewed, Trouble};
use crate::readiness::Condition;
use crate::serve::certificates::Shown;
use crate::serve::certificates::backoff::until_first;
use crate::serve::certificates::ca_bundle_publisher::Publisher;
use crate::serve::certificates::propagation::Published;

/// Files, and what they have brought so far.
#[derive(Debug)]
pub(in crate::serve) struct FromFiles {
    files: Files,
    authorities: Vec<CertificateDer<'static>>,
    /// What was brought and may not be trusted everywhere yet.
    next: Option<Identity>,
    /// Why it is not, where that was told.
    held: Option<String>,
    /// None where nobody said how we are called.
    publisher: Option<Publisher>,
    shown: Shown,
}

impl FromFiles {
    /// Files that were read once, and what they brought, which is shown at once.
    pub(in crate::serve) fn new(files: Files, first: Brought, publisher: Option<Publisher>, mut shown: Shown) -> Self {
        tell_end(&first, &shown);
        shown.show(first.identity);
        FromFiles { files, authorities: first.authorities, next: None, held: None, publisher, shown }
    }

    /// Reads the files again and again, for ever.
    ///
    /// By timer: the kubelet changes mounted files by swapping a symlink above them, to which inotify is deaf.
    pub(in crate::serve) async fn run(mut self, every: Duration) {
        let mut ticks = interval(every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let looked = Instant::now();
            match self.files.read() {
                None => {}
                Some(Ok(brought)) => {
                    info!("the certificate's files have changed");
                    tell_end(&brought, &self.shown);
                    self.shown.readiness.set_met(Condition::Certificate);
                    self.authorities = brought.authorities;
                    self.next = Some(brought.identity);
                }
                Some(Err(why)) => {
                    self.shown.metrics.certificate_failed(Trouble::Files);
                    let why = format!("{:#}", anyhow::Error::from(why));
                    error!(why, "the certificate's files have changed and are refused; the last good ones are served");
                    let why = format!("last good files are served; the new ones are refused: {why}");
                    self.shown.readiness.set_unmet(Condition::Certificate, why);
                }
            }
            let Some(publisher) = &mut self.publisher else {
                if let Some(next) = self.next.take() {
                    self.shown.show(next);
                }
                ticks.tick().await;
                continue;
            };
            publisher.publish(&self.authorities, &[], &self.shown).await;
            match self.next.as_ref().map(|next| may_show(publisher, next, &self.shown)) {
                None | Some(Ok(false)) => {}
                Some(Ok(true)) => {
                    self.held = None;
                    if let Some(next) = self.next.take() {
                        self.shown.show(next);
                    }
                }
                Some(Err(why)) => hold(&mut self.held, &why, &self.shown),
            }
            publisher.judge(&self.shown).await;
            let when = publisher.when(looked);
            tokio::select! {
                _ = ticks.tick() => {}
                () = publisher.changed() => {}
                () = until_first(when, looked) => {}
            }
        }
    }
}

fn tell_end(brought: &Brought, shown: &Shown) {
    if let Some(ends) = brought.authorities_end() {
        shown.metrics.ends(Renewed::Authority, ends);
    }
}

/// Says why a new certificate is not served.
fn hold(held: &mut Option<String>, why: &str, shown: &Shown) {
    let why = format!("the files hold a new certificate, which waits: {why}; the last one is served");
    if held.as_ref() != Some(&why) {
        warn!("{why}");
        shown.readiness.set_unmet(Condition::Certificate, why.clone());
        *held = Some(why);
    }
}

/// Whether a new certificate may take the place of the one that is shown: every API server trusts it, or none is
/// known to trust what is shown. False: not every API server may know its CA yet.
///
/// # Errors
/// Why no API server trusts it.
fn may_show(publisher: &mut Publisher, next: &Identity, shown: &Shown) -> Result<bool, String> {
    let (now, host) = (SystemTime::now(), publisher.host());
    let Published { everywhere, settled, .. } = publisher.look().unwrap_or_default();
    let judge = |cas: &[CertificateDer<'static>], identity: &Identity| {
        Trust::of(cas.to_vec()).verify(&identity.chain, &host, now)
    };
    let free =
        publisher.is_uncalled() || shown.identity.as_ref().is_none_or(|shown| judge(&everywhere, shown).is_err());
    if free || judge(&settled, next).is_ok() {
        return Ok(true);
    }
    judge(&everywhere, next)
        .map(|()| false)
        .map_err(|why| format!("the API server does not trust it by caBundle: {why}"))
}
