//! Makes our own certificate, by a CA that the replicas share in a Secret; none of them leads.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rustls::pki_types::CertificateDer;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};
use tracing::{error, info, warn};

use super::Shown;
use super::pause::{Pause, until_first};
use super::publisher::{DEADLINE, Publisher};
use crate::certificate::authority::Authority;
use crate::certificate::keyring::{Keyring, Unreadable};
use crate::certificate::rotation::{Content, Known, Served, Step, plan};
use crate::certificate::{self, Clients};
use crate::cluster::in_words;
use crate::cluster::secret::{Seen, Shared, Stored};
use crate::metrics::{Renewed, Trouble};
use crate::server::probe::Condition;

/// How long things last.
#[derive(Clone, Copy, Debug)]
pub(in crate::command::serve) struct Lifetimes {
    /// Of a CA.
    pub(in crate::command::serve) authority: Duration,
    /// Of a leaf.
    pub(in crate::command::serve) leaf: Duration,
    /// Between two looks at the clock.
    pub(in crate::command::serve) check: Duration,
}

/// One that makes our certificate.
#[derive(Debug)]
pub(in crate::command::serve) struct SelfManaged {
    secret: Arc<Shared>,
    names: Vec<String>,
    lifetimes: Lifetimes,
    clients: Option<Clients>,
    publisher: Publisher,
    shown: Shown,
    /// What the Secret held when it last could be read.
    memory: Keyring,
    /// What the Secret held that could not be read, where it was logged.
    unreadable: Option<Unreadable>,
    /// Why the Secret could not be written.
    refused: Option<String>,
    /// Who signed what is shown.
    under: Option<Authority>,
    /// After each writing of the Secret, also a good one: another replica may undo it, whose clock is a year off.
    writes: Pause,
}

impl SelfManaged {
    /// One for these names.
    pub(in crate::command::serve) fn new(
        secret: &Arc<Shared>,
        names: Vec<String>,
        lifetimes: Lifetimes,
        clients: Option<Clients>,
        publisher: Publisher,
        shown: Shown,
    ) -> Self {
        let (secret, memory) = (Arc::clone(secret), Keyring::default());
        SelfManaged {
            secret,
            names,
            lifetimes,
            clients,
            publisher,
            shown,
            memory,
            unreadable: None,
            refused: None,
            under: None,
            writes: Pause::default(),
        }
    }

    /// Does what is due, for ever.
    pub(in crate::command::serve) async fn run(mut self) {
        let (mut seen, mut failing) = (self.secret.seen(), self.secret.failing());
        let mut ticks = interval(self.lifetimes.check);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let looked = Instant::now();
            let (content, stored) = match seen.borrow_and_update().clone() {
                Seen::NotYet => (Content::NotSeen, None),
                Seen::Absent => (Content::Absent, None),
                Seen::Present(stored) => (self.understand(&stored), Some(stored)),
            };
            self.act(&content, stored.as_ref()).await;
            self.tell(failing.borrow_and_update().as_deref());
            let ours: Vec<_> = self.ours(&content);
            self.publisher.publish(&ours, &self.shown).await;
            self.publisher.judge(&self.shown).await;
            let [a, b, c, d] = self.publisher.when(looked);
            tokio::select! {
                _ = ticks.tick() => {}
                Ok(()) = seen.changed() => {}
                Ok(()) = failing.changed() => {}
                () = self.publisher.changed() => {}
                () = until_first([a, b, c, d, self.writes.until()], looked) => {}
            }
        }
    }

    /// Says that we do not see the Secret for the moment, or cannot write it. What is served is good all the same.
    fn tell(&self, failing: Option<&str>) {
        let refused = self.refused.as_ref().map(|why| format!("failed to write it: {why}"));
        match failing.map(str::to_owned).or(refused) {
            Some(why) => self.shown.conditions.lack(Condition::Certificate, format!("Secret of the CA: {why}")),
            None if self.shown.identity.is_some() => self.shown.conditions.meet(Condition::Certificate),
            None => {}
        }
    }

    fn understand(&mut self, stored: &Stored) -> Content {
        match Keyring::read(&stored.data()) {
            Ok(keyring) => {
                if self.memory != keyring {
                    if let Some(ends) = keyring.ends() {
                        self.shown.metrics.ends(Renewed::Authority, ends);
                    }
                    info!(cas = keyring.certificates().count(), "what the Secret holds is new to us");
                    self.memory = keyring.clone();
                }
                self.unreadable = None;
                Content::Holds(keyring)
            }
            Err(why) => {
                if self.unreadable.as_ref() != Some(&why) {
                    self.shown.metrics.certificate_failed(Trouble::Secret);
                    error!(%why, "the Secret does not hold a CA that can be read; writing it anew");
                    self.unreadable = Some(why);
                }
                Content::Unreadable
            }
        }
    }

    /// Plans, and does what is planned.
    async fn act(&mut self, content: &Content, stored: Option<&Stored>) {
        let now = SystemTime::now();
        let (published, settled) = self.publisher.look();
        let served = self.under.as_ref().zip(self.shown.identity.as_ref());
        let served = served.map(|(under, identity)| Served { under, validity: identity.validity });
        let memory = &self.memory;
        let known = Known { now, content, memory, served, published: published.as_deref(), settled: &settled };
        for step in plan(&known) {
            match step {
                Step::Serve(under) => self.serve(under, now),
                Step::Mint(_) | Step::Store(_) if self.writes.lasts(Instant::now()) => {}
                Step::Mint(keep) => match Authority::mint(now, self.lifetimes.authority) {
                    Ok(newest) => {
                        let ends = newest.validity().until;
                        if self.store(&keep.with(newest), stored).await {
                            self.shown.metrics.renewed(Renewed::Authority, ends);
                            info!("made a new CA");
                        }
                    }
                    Err(error) => self.failed_to_mint(&error),
                },
                Step::Store(keyring) => _ = self.store(&keyring, stored).await,
            }
        }
    }

    fn serve(&mut self, under: Authority, now: SystemTime) {
        match under.sign(&self.names, now, self.lifetimes.leaf, self.clients.as_ref()) {
            Ok(identity) => {
                self.shown.show(identity);
                self.under = Some(under);
            }
            Err(error) => self.failed_to_mint(&error),
        }
    }

    fn failed_to_mint(&mut self, error: &certificate::Error) {
        self.shown.metrics.certificate_failed(Trouble::Mint);
        error!(error = error as &dyn std::error::Error, "failed to make a certificate; trying again");
    }

    /// Whether it is stored, by us.
    async fn store(&mut self, keyring: &Keyring, over: Option<&Stored>) -> bool {
        let written = timeout(DEADLINE, self.secret.store(keyring.write(), over)).await;
        self.writes.begin(Instant::now());
        let why = match written {
            Ok(Ok(stored)) => {
                self.refused = None;
                return stored;
            }
            Ok(Err(error)) => in_words(&error),
            Err(_) => format!("no answer within {DEADLINE:?}"),
        };
        self.shown.metrics.certificate_failed(Trouble::Secret);
        warn!(why, "failed to write the Secret; trying again");
        self.refused = Some(why);
        false
    }

    /// The CAs that have to be published: those of the Secret, and the one that is served under.
    fn ours(&self, content: &Content) -> Vec<CertificateDer<'static>> {
        let keyring = match content {
            Content::Holds(keyring) => keyring,
            _ => &self.memory,
        };
        let under = self.under.iter().map(Authority::certificate).filter(|under| !keyring.holds(under));
        keyring.unended(SystemTime::now()).chain(under).cloned().collect()
    }
}
