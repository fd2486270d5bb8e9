//! A cluster in simulated time: replicas with clocks of their own that share a Secret and a bundle.

use std::time::{Duration, SystemTime};

use rustls::pki_types::CertificateDer;

use super::{SecretState, Served, State, Step, plan};
use crate::certificate::authority::Authority;
use crate::certificate::ca_bundle;
use crate::certificate::keyring::Keyring;
use crate::certificate::validity::Validity;

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(60 * 60);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);
const WEEK: Duration = Duration::from_secs(7 * 24 * 60 * 60);
const YEAR: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// The state that all replicas share, and the clock of the API server.
struct Simulation {
    now: SystemTime,
    secret: Option<Keyring>,
    bundle: Vec<CertificateDer<'static>>,
    /// The number of times that the bundle was written.
    published: usize,
    replicas: Vec<Replica>,
}

struct Replica {
    /// How far its clock is behind the API server's.
    behind: Duration,
    is_cut_off: bool,
    last_known: Keyring,
    secret_last_observed: SystemTime,
    served: Option<(Authority, Validity)>,
    /// The bundle at its last turn: every API server knows it by now.
    propagated: Vec<CertificateDer<'static>>,
}

impl Simulation {
    fn new() -> Self {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000);
        Simulation { now, secret: None, bundle: Vec::new(), published: 0, replicas: Vec::new() }
    }

    fn start(&mut self, behind: Duration) {
        let (last_known, secret_last_observed) = (Keyring::default(), self.now);
        let replica = Replica {
            behind,
            is_cut_off: false,
            last_known,
            secret_last_observed,
            served: None,
            propagated: Vec::new(),
        };
        self.replicas.push(replica);
    }

    /// Lets the replicas act in turn until none has anything left to do.
    fn act(&mut self) {
        for _ in 0..20 {
            let before = (self.published, self.secret.clone());
            for number in 0..self.replicas.len() {
                let mut replica = self.replicas.remove(number);
                replica.act(self);
                self.replicas.insert(number, replica);
                self.assert_every_leaf_is_trusted();
            }
            if before == (self.published, self.secret.clone()) {
                return;
            }
        }
        panic!("they never converge");
    }

    /// A leaf that is valid by the API server's clock has its CA in the bundle.
    fn assert_every_leaf_is_trusted(&self) {
        for replica in &self.replicas {
            let Some((issuer, validity)) = &replica.served else { continue };
            let trusted = self.bundle.contains(issuer.certificate());
            assert!(
                trusted || !validity.is_valid_at(self.now),
                "{:?} behind, cut off: {}",
                replica.behind,
                replica.is_cut_off
            );
        }
    }
}

impl Replica {
    fn act(&mut self, simulation: &mut Simulation) {
        let now = simulation.now - self.behind;
        let (content, anywhere) = if self.is_cut_off {
            (SecretState::Unknown, self.propagated.clone())
        } else {
            self.secret_last_observed = now;
            let content = simulation.secret.clone().map_or(SecretState::Empty, SecretState::Stored);
            if let SecretState::Stored(keyring) = &content {
                self.last_known = keyring.clone();
            }
            (content, simulation.bundle.clone())
        };
        let served = self.served.as_ref().map(|(issuer, validity)| Served { issuer, validity: *validity });
        let state = State {
            now,
            secret: &content,
            last_known: &self.last_known,
            secret_last_observed: self.secret_last_observed,
            leaf_lifetime: WEEK,
            served,
            published: Some(&anywhere),
            propagated: &self.propagated,
            anywhere: &anywhere,
        };
        for step in plan(&state) {
            match step {
                Step::Serve(issuer) => {
                    let until = (now + WEEK).min(issuer.validity().until);
                    self.served = Some((issuer, Validity { from: now - HOUR, until }));
                }
                Step::Mint(keep) => simulation.secret = Some(keep.with_newest(Authority::mint(now, YEAR).unwrap())),
                Step::Store(keyring) => simulation.secret = Some(keyring),
            }
        }
        if self.is_cut_off {
            return;
        }
        let keyring = simulation.secret.clone().unwrap_or_default();
        let withdrawn: Vec<_> = keyring.withdrawn(now, WEEK).cloned().collect();
        let issuer =
            self.served.iter().map(|(issuer, _)| issuer.certificate()).filter(|issuer| !keyring.contains(issuer));
        let needed = keyring.needed(now, WEEK).chain(issuer);
        let is_obsolete = |one: &CertificateDer<'static>| withdrawn.contains(one) || ca_bundle::has_expired(one, now);
        let before = ca_bundle::write(&simulation.bundle);
        if let Some(amended) = ca_bundle::amend(before.as_bytes(), needed, is_obsolete) {
            simulation.bundle = ca_bundle::read(amended.as_bytes());
            simulation.published += 1;
        }
        self.propagated = anywhere;
    }
}

/// Sixty times, the Secret is emptied and every replica is replaced. In each fourth round one replica survives that
/// observes nothing of it. Clocks differ by up to an hour.
#[test]
fn sixty_lost_cas_leave_the_bundle_in_five_weeks_and_every_valid_leaf_is_trusted() {
    let mut simulation = Simulation::new();
    let mut survivors = Vec::new();
    for round in 0..60 {
        simulation.replicas.clear();
        simulation.replicas.append(&mut survivors);
        simulation.secret = None;
        simulation.start(HOUR);
        simulation.start(Duration::ZERO);
        for _ in 0..4 {
            simulation.now += 3 * HOUR;
            simulation.act();
        }
        if round % 4 == 0 {
            let mut survivor = simulation.replicas.pop().unwrap();
            survivor.is_cut_off = true;
            survivor.behind = HOUR * (round % 8 / 4);
            survivors.push(survivor);
        }
        let kept = simulation.replicas.drain(..).filter(|replica| replica.is_cut_off);
        survivors.extend(kept);
    }
    assert_eq!(simulation.bundle.len(), 60, "none may go yet: the first was lost thirty days ago");
    simulation.replicas.append(&mut survivors);
    simulation.start(HOUR);
    simulation.start(Duration::ZERO);
    for _ in 0..36 * 4 {
        simulation.now += 6 * HOUR;
        simulation.act();
    }
    assert_eq!(simulation.bundle.len(), 1);
    assert_eq!(simulation.secret.unwrap().certificates().count(), 1);
    // Each CA enters by one write and leaves by another, or by fewer: no replica undoes what another has done.
    assert!(simulation.published <= 2 * 60, "{} times", simulation.published);
}

/// One replica never observes the Secret or the bundle again.
#[test]
fn a_replica_that_is_cut_off_for_good_is_trusted_for_as_long_as_its_leaf_lasts() {
    for lost in [false, true] {
        let mut simulation = Simulation::new();
        simulation.start(HOUR);
        simulation.start(Duration::ZERO);
        simulation.act();
        simulation.now += HOUR;
        simulation.act();
        simulation.replicas[0].is_cut_off = true;
        if lost {
            simulation.secret = None;
            simulation.replicas.truncate(1);
            simulation.start(Duration::ZERO);
        }
        for _ in 0..400 {
            simulation.now += DAY;
            simulation.act();
        }
        let until = simulation.replicas[0].served.as_ref().unwrap().1.until;
        assert!(until < simulation.now - 11 * 4 * WEEK, "it has made its last leaf long ago");
        assert!(simulation.bundle.len() <= 2, "{lost}");
    }
}

#[test]
fn a_replica_that_comes_back_in_time_keeps_its_ca_for_as_long_as_it_serves_it() {
    let mut simulation = Simulation::new();
    simulation.start(Duration::ZERO);
    simulation.act();
    simulation.now += HOUR;
    simulation.act();
    simulation.replicas[0].is_cut_off = true;
    simulation.secret = None;
    simulation.start(30 * MINUTE);
    for _ in 0..20 {
        simulation.now += DAY;
        simulation.act();
    }
    simulation.replicas[0].is_cut_off = false;
    for _ in 0..40 {
        simulation.now += DAY;
        simulation.act();
    }
    let newest = simulation.secret.as_ref().unwrap().certificates().next().unwrap().clone();
    for replica in &simulation.replicas {
        assert_eq!(*replica.served.as_ref().unwrap().0.certificate(), newest);
    }
    assert_eq!(simulation.bundle, [newest]);
}
