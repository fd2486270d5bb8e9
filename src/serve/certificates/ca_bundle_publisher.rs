//! Whom the API server trusts: sees it, and puts right what is missing.

use std::collections::{BTreeSet, HashSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rustls::pki_types::CertificateDer;
use tokio::sync::watch;
use tokio::time::{Instant, timeout};
use tracing::{error, info, warn};

use crate::certificate::ca_bundle;
use crate::cluster::webhook_configuration::{Configuration, Entry, Seen};
use crate::failure::{no_answer_within, root_cause};
use crate::metrics::Trouble;
use crate::serve::certificates::Shown;
use crate::serve::certificates::backoff::Pause;
use crate::serve::certificates::ownership_conflict::{Contest, Place};
use crate::serve::certificates::propagation::{Published, Settled};
use crate::serve::certificates::trust_check::{Judge, Standing};

/// For a call of the API server.
pub(super) const DEADLINE: Duration = Duration::from_secs(10);

/// Looks after the `caBundle` of our configuration.
#[derive(Debug)]
pub(in crate::serve) struct Publisher {
    configuration: Arc<Configuration>,
    seen: watch::Receiver<Seen>,
    failing: watch::Receiver<Option<String>>,
    settled: Settled,
    contest: Contest,
    write: Pause,
    /// Why our last writing failed.
    refused: Option<String>,
    judge: Judge,
}

impl Publisher {
    /// One that has seen nothing yet.
    pub(in crate::serve) fn new(
        configuration: &Arc<Configuration>,
        listens: SocketAddr,
        settle: Duration,
        check: Duration,
    ) -> Self {
        Publisher {
            configuration: Arc::clone(configuration),
            seen: configuration.seen(),
            failing: configuration.failing(),
            settled: Settled::new(settle),
            contest: Contest::default(),
            write: Pause::default(),
            refused: None,
            judge: Judge::new(listens, check),
        }
    }

    /// What is seen of the configuration, now and as it changes.
    pub(in crate::serve) fn seen(&self) -> watch::Receiver<Seen> {
        self.seen.clone()
    }

    /// By which name we are called.
    pub(super) fn host(&self) -> String {
        self.configuration.service().host()
    }

    /// Waits until there is something new to see. Nothing else marks it as seen, so nothing that comes while we act is
    /// missed.
    pub(super) async fn changed(&mut self) {
        tokio::select! {
            Ok(()) = self.seen.changed() => {}
            Ok(()) = self.failing.changed() => {}
            // Their senders live as long as we do.
            else => std::future::pending::<()>().await,
        }
    }

    /// When to try again what failed or rests, or what settles, after all was looked at last.
    pub(super) fn when(&self, looked: Instant) -> [Option<Instant>; 4] {
        [self.write.until(), self.contest.when(), self.judge.when(), self.settled.next(looked)]
    }

    /// Takes in what is published now, if that is known yet.
    pub(super) fn look(&mut self) -> Option<Published> {
        let published = self.settled.see(&self.entries(), Instant::now());
        (*self.seen.borrow() != Seen::NotYet).then_some(published)
    }

    /// Whether nobody calls us, as far as we know.
    pub(super) fn is_uncalled(&self) -> bool {
        *self.seen.borrow() == Seen::NotInstalled
    }

    fn entries(&self) -> Vec<Entry> {
        match &*self.seen.borrow() {
            Seen::Installed(entries) => entries.clone(),
            Seen::NotInstalled | Seen::NotYet => Vec::new(),
        }
    }

    /// Publishes these where they are missing, and takes away those that are withdrawn or over, unless somebody else insists
    /// on something else.
    pub(super) async fn publish(
        &mut self,
        ours: &[CertificateDer<'static>],
        withdrawn: &[CertificateDer<'static>],
        shown: &Shown,
    ) {
        let entries = self.entries();
        self.see(&entries, ours, shown);
        let (now, wall) = (Instant::now(), SystemTime::now());
        let is_over = |certificate: &CertificateDer<'static>| {
            withdrawn.contains(certificate) || ca_bundle::is_over(certificate, wall)
        };
        let amend = |entry: &Entry| {
            let place = |certificate: &CertificateDer<'static>| (entry.name.clone(), certificate.clone());
            let ours = ours.iter().filter(|certificate| !self.contest.rests(&place(certificate), now));
            let is_over = |certificate: &CertificateDer<'static>| {
                is_over(certificate) && !self.contest.insists(&place(certificate), now)
            };
            ca_bundle::amended(&entry.bundle, ours, is_over)
        };
        if ours.is_empty() || self.write.lasts(now) || !entries.iter().any(|entry| amend(entry).is_some()) {
            return;
        }
        let why = match timeout(DEADLINE, self.configuration.publish(amend)).await {
            Ok(Ok(published)) => {
                self.write.end();
                self.refused = None;
                if published {
                    let over = |(_, certificate): &Place| is_over(certificate);
                    self.contest.put(places(&entries, ours), places_of(&entries).filter(over), now);
                    info!(configuration = self.configuration.name(), cas = ours.len(), "published caBundle");
                }
                return;
            }
            Ok(Err(error)) => root_cause(&error),
            Err(_) => no_answer_within(DEADLINE),
        };
        self.write.begin(Instant::now());
        shown.metrics.certificate_failed(Trouble::Publish);
        warn!(why, "failed to publish caBundle; trying again");
        self.refused = Some(why);
    }

    /// Takes in which of ours are where, and tells of one that somebody has taken.
    fn see(&mut self, entries: &[Entry], ours: &[CertificateDer<'static>], shown: &Shown) {
        let has: HashSet<_> = places_of(entries).filter(|(_, certificate)| ours.contains(certificate)).collect();
        let now = Instant::now();
        if self.contest.see(places(entries, ours), has, now) {
            shown.metrics.bundle_conflicts.inc();
            let writers = writers(entries);
            if self.contest.gave_up(now) {
                error!(writers, "somebody else keeps taking our CA from caBundle; we leave it to them for an hour");
            } else {
                warn!(writers, "somebody else has taken our CA from caBundle; we put it back");
            }
        }
    }

    /// Says whether the API server trusts what is shown, and whether a call of it would reach us.
    pub(super) async fn judge(&mut self, shown: &Shown) {
        let seen = self.seen.borrow().clone();
        let standing = Standing {
            trouble: self.trouble(),
            seen,
            configuration: self.configuration.name().to_owned(),
            host: self.host(),
        };
        self.judge.judge(standing, shown).await;
    }

    /// What keeps us from seeing or writing the configuration.
    fn trouble(&self) -> Option<String> {
        if let Some(failing) = &*self.failing.borrow() {
            return Some(failing.clone());
        }
        if self.contest.gave_up(Instant::now()) {
            let writers = writers(&self.entries());
            return Some(format!(
                "given up, {writers} keeps taking a CA of ours away; we try again within an hour: certs/README.md, GitOps"
            ));
        }
        self.refused.as_ref().map(|refused| format!("failed to publish a CA: {refused}"))
    }
}

/// Where each of these should be.
fn places(entries: &[Entry], ours: &[CertificateDer<'static>]) -> impl Iterator<Item = Place> {
    entries.iter().flat_map(|entry| ours.iter().map(|ours| (entry.name.clone(), ours.clone())))
}

/// What is where.
fn places_of(entries: &[Entry]) -> impl Iterator<Item = Place> {
    entries.iter().flat_map(|entry| {
        ca_bundle::read(&entry.bundle).into_iter().map(|certificate| (entry.name.clone(), certificate))
    })
}

fn writers(entries: &[Entry]) -> String {
    let writers: BTreeSet<_> = entries.iter().flat_map(|entry| &entry.writers).map(String::as_str).collect();
    if writers.is_empty() { "somebody".to_owned() } else { Vec::from_iter(writers).join(", ") }
}
