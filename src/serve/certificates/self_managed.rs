//! Makes our own certificate, by a CA that the replicas share in a Secret; none of them leads.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rustls::pki_types::CertificateDer;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};
use tracing::{error, info, warn};

use crate::certificate;
use crate::certificate::Clients;
use crate::certificate::authority::Authority;
use crate::certificate::keyring::{Keyring, Unreadable};
use crate::certificate::rotation::{Content, Known, Served, Step, plan};
use crate::cluster::ca_secret::{Seen, Shared, Stored};
use crate::failure::{no_answer_within, root_cause};
use crate::metrics::{Renewed, Trouble};
use crate::readiness::Condition;
use crate::serve::certificates::Shown;
use crate::serve::certificates::backoff::{Pause, until_first};
use crate::serve::certificates::ca_bundle_publisher::{DEADLINE, Publisher};

/// By how much a replica that remembers a CA is ahead of one that does not, when an empty Secret comes back: the first
/// brings its CA back, the second would make another.
const HEAD_START: Duration = Duration::from_secs(5);

/// What puts the Secret back.
const REMEDY: &str = "helm upgrade or kubectl apply, as it was installed, puts it back";

/// How long things last.
#[derive(Clone, Copy, Debug)]
pub(in crate::serve) struct Lifetimes {
    /// Of a CA.
    pub(in crate::serve) authority: Duration,
    /// Of a leaf.
    pub(in crate::serve) leaf: Duration,
    /// Between two looks at the clock.
    pub(in crate::serve) check: Duration,
}

/// One that makes our certificate.
#[derive(Debug)]
pub(in crate::serve) struct SelfManaged {
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
    /// When we last saw the Secret, or saw that it is not there.
    in_sight: SystemTime,
    /// Why there is no Secret that we may fill, where that was logged.
    unusable: Option<String>,
    /// Why the Secret could not be written.
    refused: Option<String>,
    /// Who signed what is shown.
    under: Option<Authority>,
    /// After each writing of the Secret, also a good one: another replica may undo it, whose clock is a year off.
    writes: Pause,
}

impl SelfManaged {
    /// One for these names.
    pub(in crate::serve) fn new(
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
            in_sight: SystemTime::now(),
            unusable: None,
            refused: None,
            under: None,
            writes: Pause::default(),
        }
    }

    /// Does what is due, for ever.
    pub(in crate::serve) async fn run(mut self) {
        let (mut seen, mut failing_now) = (self.secret.seen(), self.secret.failing());
        let mut ticks = interval(self.lifetimes.check);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let looked = Instant::now();
            let state = seen.borrow_and_update().clone();
            let failing = failing_now.borrow_and_update().clone();
            if failing.is_none() && state != Seen::NotYet {
                self.in_sight = SystemTime::now();
            }
            let (content, stored) = match &state {
                Seen::NotYet => (Content::NotSeen, None),
                Seen::Present(stored) if stored.foreign_type().is_none() => (self.understand(stored), Some(stored)),
                Seen::Absent | Seen::Present(_) => (Content::Absent, None),
            };
            self.report_unusable(&state);
            self.act(&content, stored).await;
            self.tell(failing.as_deref());
            let (ours, withdrawn) = self.ours(&content);
            self.publisher.publish(&ours, &withdrawn, &self.shown).await;
            self.publisher.judge(&self.shown).await;
            let [a, b, c, d] = self.publisher.when(looked);
            tokio::select! {
                _ = ticks.tick() => self.count_unusable(),
                Ok(()) = seen.changed() => {}
                Ok(()) = failing_now.changed() => {}
                () = self.publisher.changed() => {}
                () = until_first([a, b, c, d, self.writes.until()], looked) => {}
            }
        }
    }

    /// Logs that there is no Secret that we may fill, and that there is one again, once each.
    fn report_unusable(&mut self, state: &Seen) {
        let path = self.secret.path();
        let why = match state {
            Seen::NotYet => return,
            Seen::Absent => Some(format!("{path} is not there; {REMEDY}")),
            Seen::Present(stored) => {
                stored.foreign_type().map(|type_| format!("{path} is of type {type_}, not Opaque; delete it: {REMEDY}"))
            }
        };
        if why == self.unusable {
            return;
        }
        if let Some(why) = &why {
            error!(why, "the Secret of the CA cannot be used; the CA is not renewed");
        } else {
            info!("the Secret of the CA can be used again");
            if self.memory.certificates().next().is_none() {
                self.writes.begin_for(HEAD_START, Instant::now());
            }
        }
        self.unusable = why;
        self.count_unusable();
    }

    /// Counts it as a failure that goes on, so that an alert tells of it.
    fn count_unusable(&self) {
        if self.unusable.is_some() {
            self.shown.metrics.certificate_failed(Trouble::Secret);
        }
    }

    /// Says that we do not see the Secret for the moment, or cannot fill or write it. What is served is good all the same.
    fn tell(&self, failing: Option<&str>) {
        let refused = self.refused.as_ref().map(|why| format!("failed to write it: {why}"));
        match failing.map(str::to_owned).or(self.unusable.clone()).or(refused) {
            Some(why) => self.shown.readiness.set_unmet(Condition::Certificate, format!("Secret of the CA: {why}")),
            None if self.shown.identity.is_some() => self.shown.readiness.set_met(Condition::Certificate),
            None => {}
        }
    }

    fn understand(&mut self, stored: &Stored) -> Content {
        let data = stored.data();
        if Keyring::is_missing_in(&data) {
            return Content::Empty;
        }
        match Keyring::read(&data) {
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
        let published = self.publisher.look();
        let of_published = published.as_ref();
        let served = self.under.as_ref().zip(self.shown.identity.as_ref());
        let served = served.map(|(under, identity)| Served { under, validity: identity.validity });
        let known = Known {
            now,
            content,
            memory: &self.memory,
            in_sight: self.in_sight,
            leaf: self.lifetimes.leaf,
            served,
            published: of_published.map(|published| &*published.everywhere),
            settled: of_published.map(|published| &*published.settled).unwrap_or_default(),
            anywhere: of_published.map(|published| &*published.anywhere).unwrap_or_default(),
        };
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
        // Nothing is planned to be stored where there is no Secret.
        let Some(over) = over else { return false };
        let written = timeout(DEADLINE, self.secret.store(keyring.write(), over)).await;
        self.writes.begin(Instant::now());
        let why = match written {
            Ok(Ok(stored)) => {
                self.refused = None;
                return stored;
            }
            Ok(Err(error)) => root_cause(&error),
            Err(_) => no_answer_within(DEADLINE),
        };
        self.shown.metrics.certificate_failed(Trouble::Secret);
        warn!(why, "failed to write the Secret; trying again");
        self.refused = Some(why);
        false
    }

    /// The CAs that have to be published: those of the Secret, and the one that is served under; and those that nobody needs
    /// any more.
    fn ours(&self, content: &Content) -> (Vec<CertificateDer<'static>>, Vec<CertificateDer<'static>>) {
        let keyring = match content {
            Content::Holds(keyring) => keyring,
            _ => &self.memory,
        };
        let (now, leaf) = (SystemTime::now(), self.lifetimes.leaf);
        let under = self.under.iter().map(Authority::certificate).filter(|under| !keyring.holds(under));
        let needed = keyring.needed(now, leaf).chain(under).cloned().collect();
        // What we only remember may have been changed by others since.
        let withdrawn = match content {
            Content::Holds(keyring) => keyring.withdrawn(now, leaf).cloned().collect(),
            _ => Vec::new(),
        };
        (needed, withdrawn)
    }
}
