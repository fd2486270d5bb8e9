//! Whom the API server trusts: sees it, puts right what is missing, and says whether it fits what is shown.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rustls::pki_types::CertificateDer;
use tokio::sync::watch;
use tokio::time::{Instant, timeout};
use tracing::{error, info, warn};

use super::contest::Contest;
use super::pause::Pause;
use super::{Shown, self_call};
use crate::certificate::{Identity, bundle};
use crate::cluster::webhook::{Configuration, Entry, Seen};
use crate::metrics::Trouble;
use crate::server::probe::Condition;

/// For a call of the API server.
pub(super) const DEADLINE: Duration = Duration::from_secs(10);

/// Looks after the `caBundle` of our configuration.
#[derive(Debug)]
pub(in crate::command::serve) struct Publisher {
    configuration: Arc<Configuration>,
    seen: watch::Receiver<Seen>,
    /// Where we listen.
    listens: SocketAddr,
    /// How long a CA has to be seen until every API server knows it.
    settle: Duration,
    /// Between two calls of ourselves, where nothing changes.
    check: Duration,
    /// The CAs that every entry has, and since when.
    everywhere: HashMap<CertificateDer<'static>, Instant>,
    contest: Contest,
    write: Pause,
    refused: Option<String>,
    /// Why the API server does not trust us, where it was logged.
    misfit: Option<String>,
    judge: Pause,
    /// What was judged last, and when to judge it again.
    judged: Option<(Option<CertificateDer<'static>>, Seen)>,
    next: Instant,
}

impl Publisher {
    /// One that has seen nothing yet.
    pub(in crate::command::serve) fn new(
        configuration: &Arc<Configuration>,
        listens: SocketAddr,
        settle: Duration,
        check: Duration,
    ) -> Self {
        Publisher {
            configuration: Arc::clone(configuration),
            seen: configuration.seen(),
            listens,
            settle,
            check,
            everywhere: HashMap::new(),
            contest: Contest::default(),
            write: Pause::default(),
            refused: None,
            misfit: None,
            judge: Pause::default(),
            judged: None,
            next: Instant::now(),
        }
    }

    /// What is seen of the configuration, now and as it changes.
    pub(in crate::command::serve) fn seen(&self) -> watch::Receiver<Seen> {
        self.seen.clone()
    }

    /// By which name we are called.
    pub(super) fn host(&self) -> String {
        self.configuration.service().host()
    }

    /// Waits until there is something new to see. Nothing else marks it as seen, so nothing that comes while we act is
    /// missed.
    pub(super) async fn changed(&mut self) {
        // Its sender lives as long as we do.
        if self.seen.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// When to try again what failed or rests.
    pub(super) fn when(&self) -> [Option<Instant>; 4] {
        let settles = self.everywhere.values().map(|since| *since + self.settle);
        let settles = settles.filter(|time| Instant::now() < *time).min();
        [self.write.until(), self.contest.when(), self.judge.until(), settles]
    }

    /// Takes in what is published now: the CAs that every entry has, if that is known yet, and those that every API
    /// server knows by now.
    pub(super) fn look(&mut self) -> (Option<Vec<CertificateDer<'static>>>, Vec<CertificateDer<'static>>) {
        let now = Instant::now();
        let entries = self.entries();
        let mut bundles = entries.iter().map(|entry| bundle::read(&entry.bundle));
        let mut everywhere = bundles.next().unwrap_or_default();
        for bundle in bundles {
            everywhere.retain(|certificate| bundle.contains(certificate));
        }
        self.everywhere.retain(|certificate, _| everywhere.contains(certificate));
        for certificate in &everywhere {
            self.everywhere.entry(certificate.clone()).or_insert(now);
        }
        let settled = self.everywhere.iter().filter(|(_, since)| now >= **since + self.settle);
        let settled = settled.map(|(certificate, _)| certificate.clone()).collect();
        let has_seen = *self.seen.borrow() != Seen::NotYet;
        (has_seen.then_some(everywhere), settled)
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

    /// Publishes these where they are missing, unless somebody else insists on something else.
    pub(super) async fn publish(&mut self, ours: &[CertificateDer<'static>], shown: &Shown) {
        let (entries, now) = (self.entries(), Instant::now());
        let has = entries.iter().flat_map(|entry| {
            bundle::read(&entry.bundle).into_iter().map(|certificate| (entry.name.clone(), certificate))
        });
        let has: HashSet<_> = has.filter(|(_, certificate)| ours.contains(certificate)).collect();
        let wanted = entries.iter().flat_map(|entry| ours.iter().map(|ours| (entry.name.clone(), ours.clone())));
        let wanted: Vec<_> = wanted.collect();
        if self.contest.see(wanted.iter().cloned(), has, now) {
            shown.metrics.bundle_conflicts.inc();
            let writers = writers(&entries);
            if self.contest.gave_up(now) {
                error!(writers, "somebody else keeps taking our CA from caBundle; we leave it to them for an hour");
            } else {
                warn!(writers, "somebody else has taken our CA from caBundle; we put it back");
            }
        }
        let wall = SystemTime::now();
        let amend = |published: &[u8]| bundle::amended(published, ours, wall);
        let due = entries.iter().any(|entry| amend(&entry.bundle).is_some());
        if ours.is_empty() || !due || self.contest.rests(now) || self.write.lasts(now) {
            return;
        }
        let why = match timeout(DEADLINE, self.configuration.publish(amend)).await {
            Ok(Ok(published)) => {
                self.write.end();
                self.refused = None;
                if published {
                    self.contest.put(wanted.into_iter());
                    info!(configuration = self.configuration.name(), cas = ours.len(), "published caBundle");
                }
                return;
            }
            Ok(Err(error)) => error.to_string(),
            Err(_) => format!("no answer within {DEADLINE:?}"),
        };
        self.write.begin(now);
        shown.metrics.certificate_failed(Trouble::Publish);
        warn!(why, "failed to publish caBundle; trying again");
        self.refused = Some(why);
    }

    /// Says whether the API server trusts what is shown, and whether a call of it would reach us.
    pub(super) async fn judge(&mut self, shown: &Shown) {
        let Some(identity) = &shown.identity else { return };
        let about = (identity.chain.first().cloned(), self.seen.borrow().clone());
        if self.judged.as_ref() == Some(&about) && Instant::now() < self.next {
            return;
        }
        let good = match &about.1 {
            Seen::NotYet => false,
            Seen::NotInstalled => {
                let (name, host) = (self.configuration.name(), self.host());
                let how = format!("not needed: no MutatingWebhookConfiguration {name} with an entry for {host}");
                shown.conditions.meet_as(Condition::Bundle, how.clone());
                shown.conditions.meet_as(Condition::Probe, how);
                true
            }
            Seen::Installed(entries) => self.call(entries, identity, shown).await,
        };
        shown.metrics.trusted.set(good.into());
        let now = Instant::now();
        if good {
            self.judge.end();
        } else {
            self.judge.begin(now);
        }
        self.next = self.judge.until().unwrap_or(now + self.check);
        self.judged = Some(about);
    }

    async fn call(&mut self, entries: &[Entry], identity: &Identity, shown: &Shown) -> bool {
        let host = self.host();
        for entry in entries {
            if let Err(why) = identity.is_trusted(&entry.bundle, &host, SystemTime::now()) {
                let (name, writers) = (&entry.name, writers(entries));
                let more = match &self.refused {
                    _ if self.contest.gave_up(Instant::now()) => format!("; given up, {writers} keeps taking it away"),
                    Some(refused) => format!("; {refused}"),
                    None => String::new(),
                };
                let why = format!("the API server does not trust us by the caBundle of {name}: {why}{more}");
                if self.misfit.as_ref() != Some(&why) {
                    warn!("{why}");
                    self.misfit = Some(why.clone());
                }
                shown.conditions.lack(Condition::Bundle, why);
                shown.conditions.lack(Condition::Probe, "waits for the bundle".to_owned());
                return false;
            }
        }
        if self.misfit.take().is_some() {
            info!("the API server trusts us again");
        }
        shown.conditions.meet(Condition::Bundle);
        // What is shown is trusted; what comes after it may be in trouble already.
        if self.contest.gave_up(Instant::now()) {
            let writers = writers(entries);
            shown.conditions.lack(Condition::Bundle, format!("given up, {writers} keeps taking a CA of ours away"));
        } else if let Some(refused) = &self.refused {
            shown.conditions.lack(Condition::Bundle, format!("failed to publish a CA: {refused}"));
        }
        for entry in entries {
            if let Err(why) = self_call::call(self.listens, &host, &entry.bundle).await {
                shown.metrics.certificate_failed(Trouble::Probe);
                warn!(why, "failed to call ourselves as the API server would");
                shown.conditions.lack(Condition::Probe, format!("failed to call ourselves: {why}"));
                return false;
            }
        }
        shown.conditions.meet(Condition::Probe);
        true
    }
}

fn writers(entries: &[Entry]) -> String {
    let writers: BTreeSet<_> = entries.iter().flat_map(|entry| &entry.writers).map(String::as_str).collect();
    if writers.is_empty() { "somebody".to_owned() } else { Vec::from_iter(writers).join(", ") }
}
