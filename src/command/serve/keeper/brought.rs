//! Shows a certificate that others bring in files, and publishes its CAs where they are brought too.

use std::time::{Duration, SystemTime};

use rustls::pki_types::CertificateDer;
use tokio::time::{Instant, MissedTickBehavior, interval};
use tracing::{error, info};

use super::Shown;
use super::pause::until_first;
use super::publisher::Publisher;
use crate::certificate::Identity;
use crate::certificate::files::{Brought, Files};
use crate::certificate::trust::Trust;
use crate::metrics::{Renewed, Trouble};
use crate::server::probe::Condition;

/// Files, and what they have brought so far.
#[derive(Debug)]
pub(in crate::command::serve) struct FromFiles {
    files: Files,
    authorities: Vec<CertificateDer<'static>>,
    /// What was brought and may not be trusted everywhere yet.
    next: Option<Identity>,
    /// None where nobody said how we are called.
    publisher: Option<Publisher>,
    shown: Shown,
}

impl FromFiles {
    /// Files that were read once, and what they brought, which is shown at once.
    pub(in crate::command::serve) fn new(
        files: Files,
        first: Brought,
        publisher: Option<Publisher>,
        mut shown: Shown,
    ) -> Self {
        tell_end(&first, &shown);
        shown.show(first.identity);
        FromFiles { files, authorities: first.authorities, next: None, publisher, shown }
    }

    /// Reads the files again and again, for ever.
    ///
    /// By timer: the kubelet changes mounted files by swapping a symlink above them, to which inotify is deaf.
    pub(in crate::command::serve) async fn run(mut self, every: Duration) {
        let mut ticks = interval(every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let looked = Instant::now();
            match self.files.read() {
                None => {}
                Some(Ok(brought)) => {
                    info!("the certificate's files have changed");
                    tell_end(&brought, &self.shown);
                    self.shown.conditions.meet(Condition::Certificate);
                    self.authorities = brought.authorities;
                    self.next = Some(brought.identity);
                }
                Some(Err(why)) => {
                    self.shown.metrics.certificate_failed(Trouble::Files);
                    let why = format!("{:#}", anyhow::Error::from(why));
                    error!(why, "the certificate's files have changed and are refused; the last good ones are served");
                    let why = format!("last good files are served; the new ones are refused: {why}");
                    self.shown.conditions.lack(Condition::Certificate, why);
                }
            }
            let Some(publisher) = &mut self.publisher else {
                if let Some(next) = self.next.take() {
                    self.shown.show(next);
                }
                ticks.tick().await;
                continue;
            };
            publisher.publish(&self.authorities, &self.shown).await;
            if let Some(next) = self.next.take_if(|next| may_show(publisher, next, &self.shown)) {
                self.shown.show(next);
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

/// Whether a new certificate may take the place of the one that is shown: every API server trusts it, or none is
/// known to trust what is shown.
fn may_show(publisher: &mut Publisher, next: &Identity, shown: &Shown) -> bool {
    let (now, host) = (SystemTime::now(), publisher.host());
    let (everywhere, settled) = publisher.look();
    let trusts = |cas: &[CertificateDer<'static>], identity: &Identity| {
        Trust::of(cas.to_vec()).verify(&identity.chain, &host, now).is_ok()
    };
    publisher.is_uncalled()
        || trusts(&settled, next)
        || shown.identity.as_ref().is_none_or(|shown| !trusts(&everywhere.unwrap_or_default(), shown))
}
