//! A cluster in simulated time: replicas that share a Secret and a bundle, by clocks of their own.

use std::time::{Duration, SystemTime};

use rustls::pki_types::CertificateDer;

use super::{Content, Known, Served, Step, plan};
use crate::certificate::authority::Authority;
use crate::certificate::ca_bundle;
use crate::certificate::keyring::Keyring;
use crate::certificate::validity::Validity;

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(60 * 60);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);
const WEEK: Duration = Duration::from_secs(7 * 24 * 60 * 60);
const YEAR: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// What all replicas share, and what the API server goes by.
struct World {
    now: SystemTime,
    secret: Option<Keyring>,
    bundle: Vec<CertificateDer<'static>>,
    /// How often the bundle was written.
    published: usize,
    replicas: Vec<Replica>,
}

struct Replica {
    /// How far its clock is behind the API server's.
    behind: Duration,
    is_cut_off: bool,
    memory: Keyring,
    in_sight: SystemTime,
    served: Option<(Authority, Validity)>,
    /// What it saw published at its last turn: every API server knows it by now.
    seen: Vec<CertificateDer<'static>>,
}

impl World {
    fn new() -> Self {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000);
        World { now, secret: None, bundle: Vec::new(), published: 0, replicas: Vec::new() }
    }

    fn start(&mut self, behind: Duration) {
        let (memory, in_sight) = (Keyring::default(), self.now);
        let replica = Replica { behind, is_cut_off: false, memory, in_sight, served: None, seen: Vec::new() };
        self.replicas.push(replica);
    }

    /// Each replica does what is due, one after another, until none has anything left to do.
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
        panic!("they never come to rest");
    }

    /// A leaf that is good by the API server's clock is one of a CA in the bundle.
    fn assert_every_leaf_is_trusted(&self) {
        for replica in &self.replicas {
            let Some((under, validity)) = &replica.served else { continue };
            let trusted = self.bundle.contains(under.certificate());
            assert!(
                trusted || !validity.holds(self.now),
                "{:?} behind, cut off: {}",
                replica.behind,
                replica.is_cut_off
            );
        }
    }
}

impl Replica {
    fn act(&mut self, world: &mut World) {
        let now = world.now - self.behind;
        let (content, anywhere) = if self.is_cut_off {
            (Content::NotSeen, self.seen.clone())
        } else {
            self.in_sight = now;
            let content = world.secret.clone().map_or(Content::Empty, Content::Holds);
            if let Content::Holds(keyring) = &content {
                self.memory = keyring.clone();
            }
            (content, world.bundle.clone())
        };
        let served = self.served.as_ref().map(|(under, validity)| Served { under, validity: *validity });
        let known = Known {
            now,
            content: &content,
            memory: &self.memory,
            in_sight: self.in_sight,
            leaf: WEEK,
            served,
            published: Some(&anywhere),
            settled: &self.seen,
            anywhere: &anywhere,
        };
        for step in plan(&known) {
            match step {
                Step::Serve(under) => {
                    let until = (now + WEEK).min(under.validity().until);
                    self.served = Some((under, Validity { from: now - HOUR, until }));
                }
                Step::Mint(keep) => world.secret = Some(keep.with(Authority::mint(now, YEAR).unwrap())),
                Step::Store(keyring) => world.secret = Some(keyring),
            }
        }
        if self.is_cut_off {
            return;
        }
        let keyring = world.secret.clone().unwrap_or_default();
        let withdrawn: Vec<_> = keyring.withdrawn(now, WEEK).cloned().collect();
        let under = self.served.iter().map(|(under, _)| under.certificate()).filter(|under| !keyring.holds(under));
        let needed = keyring.needed(now, WEEK).chain(under);
        let is_over = |one: &CertificateDer<'static>| withdrawn.contains(one) || ca_bundle::is_over(one, now);
        let before = ca_bundle::write(&world.bundle);
        if let Some(amended) = ca_bundle::amended(before.as_bytes(), needed, is_over) {
            world.bundle = ca_bundle::read(amended.as_bytes());
            world.published += 1;
        }
        self.seen = anywhere;
    }
}

/// The Secret is emptied and every replica is new, sixty times; of each fourth round a replica goes on that sees nothing
/// of it. Clocks are up to an hour apart.
#[test]
fn sixty_lost_cas_leave_the_bundle_in_five_weeks_and_every_valid_leaf_is_trusted() {
    let mut world = World::new();
    let mut survivors = Vec::new();
    for round in 0..60 {
        world.replicas.clear();
        world.replicas.append(&mut survivors);
        world.secret = None;
        world.start(HOUR);
        world.start(Duration::ZERO);
        for _ in 0..4 {
            world.now += 3 * HOUR;
            world.act();
        }
        if round % 4 == 0 {
            let mut survivor = world.replicas.pop().unwrap();
            survivor.is_cut_off = true;
            survivor.behind = HOUR * (round % 8 / 4);
            survivors.push(survivor);
        }
        let kept = world.replicas.drain(..).filter(|replica| replica.is_cut_off);
        survivors.extend(kept);
    }
    assert_eq!(world.bundle.len(), 60, "none may go yet: the first was lost thirty days ago");
    world.replicas.append(&mut survivors);
    world.start(HOUR);
    world.start(Duration::ZERO);
    for _ in 0..36 * 4 {
        world.now += 6 * HOUR;
        world.act();
    }
    assert_eq!(world.bundle.len(), 1);
    assert_eq!(world.secret.unwrap().certificates().count(), 1);
    // A CA comes in by one writing and goes by another, or by fewer: nobody undoes what another has done.
    assert!(world.published <= 2 * 60, "{} times", world.published);
}

/// One replica never sees the Secret again, and sees as little of the bundle.
#[test]
fn a_replica_that_is_cut_off_for_good_is_trusted_for_as_long_as_its_leaf_lasts() {
    for lost in [false, true] {
        let mut world = World::new();
        world.start(HOUR);
        world.start(Duration::ZERO);
        world.act();
        world.now += HOUR;
        world.act();
        world.replicas[0].is_cut_off = true;
        if lost {
            world.secret = None;
            world.replicas.truncate(1);
            world.start(Duration::ZERO);
        }
        for _ in 0..400 {
            world.now += DAY;
            world.act();
        }
        let until = world.replicas[0].served.as_ref().unwrap().1.until;
        assert!(until < world.now - 11 * 4 * WEEK, "it has made its last leaf long ago");
        assert!(world.bundle.len() <= 2, "{lost}");
    }
}

#[test]
fn a_replica_that_comes_back_in_time_keeps_its_ca_for_as_long_as_it_serves_it() {
    let mut world = World::new();
    world.start(Duration::ZERO);
    world.act();
    world.now += HOUR;
    world.act();
    world.replicas[0].is_cut_off = true;
    world.secret = None;
    world.start(30 * MINUTE);
    for _ in 0..20 {
        world.now += DAY;
        world.act();
    }
    world.replicas[0].is_cut_off = false;
    for _ in 0..40 {
        world.now += DAY;
        world.act();
    }
    let newest = world.secret.as_ref().unwrap().certificates().next().unwrap().clone();
    for replica in &world.replicas {
        assert_eq!(*replica.served.as_ref().unwrap().0.certificate(), newest);
    }
    assert_eq!(world.bundle, [newest]);
}
