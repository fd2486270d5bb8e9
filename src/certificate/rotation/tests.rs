use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use rcgen::BasicConstraints::{Constrained, Unconstrained};
use rustls::pki_types::CertificateDer;

use super::{SecretState, Served, State, Step, plan};
use crate::certificate::authority::Authority;
use crate::certificate::ca_bundle;
use crate::certificate::keyring::Keyring;
use crate::certificate::validity::Validity;

const HOUR: Duration = Duration::from_secs(60 * 60);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);
const YEAR: Duration = Duration::from_secs(365 * 24 * 60 * 60);
const WEEK: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// A replica, and the state that it acts on.
#[derive(Clone)]
struct Replica {
    now: SystemTime,
    /// `None` if it is empty.
    secret: Option<Keyring>,
    deleted: bool,
    garbage: bool,
    last_known: Keyring,
    served: Option<(Authority, Validity)>,
    published: Option<Vec<CertificateDer<'static>>>,
    propagated: Vec<CertificateDer<'static>>,
}

impl Replica {
    fn new() -> Self {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000);
        let (last_known, published, propagated) = (Keyring::default(), Some(Vec::new()), Vec::new());
        Replica { now, secret: None, deleted: false, garbage: false, last_known, served: None, published, propagated }
    }

    fn plan(&self) -> Vec<Step> {
        let secret = match &self.secret {
            _ if self.deleted => SecretState::Absent,
            _ if self.garbage => SecretState::Unreadable,
            None => SecretState::Empty,
            Some(keyring) => SecretState::Stored(keyring.clone()),
        };
        let served = self.served.as_ref().map(|(issuer, validity)| Served { issuer, validity: *validity });
        let (last_known, published, propagated) = (&self.last_known, self.published.as_deref(), &self.propagated[..]);
        let (now, anywhere) = (self.now, published.unwrap_or_default());
        let (secret, secret_last_observed, leaf_lifetime) = (&secret, now, WEEK);
        plan(&State {
            now,
            secret,
            last_known,
            secret_last_observed,
            leaf_lifetime,
            served,
            published,
            propagated,
            anywhere,
        })
    }

    /// Takes the planned steps until none is left, and returns their names.
    fn act(&mut self) -> String {
        let mut done = String::new();
        for _ in 0..10 {
            let steps = self.plan();
            if steps.is_empty() {
                return done;
            }
            for step in steps {
                match step {
                    Step::Serve(issuer) => {
                        done += "serve ";
                        let until = (self.now + WEEK).min(issuer.validity().until);
                        self.served = Some((issuer, Validity { from: self.now, until }));
                    }
                    Step::Mint(keep) => {
                        done += "mint ";
                        self.store(keep.with_newest(Authority::mint(self.now, YEAR).unwrap()));
                    }
                    Step::Store(keyring) => {
                        done += "store ";
                        self.store(keyring);
                    }
                }
            }
        }
        panic!("it never comes to an end: {:?}", self.plan())
    }

    fn store(&mut self, keyring: Keyring) {
        (self.garbage, self.last_known, self.secret) = (false, keyring.clone(), Some(keyring));
    }

    fn publish(&mut self) {
        self.published = Some(self.secret.iter().flat_map(Keyring::certificates).cloned().collect());
    }

    fn propagate(&mut self) {
        self.publish();
        self.propagated = self.published.clone().unwrap_or_default();
    }

    fn keyring(&self) -> &Keyring {
        self.secret.as_ref().unwrap()
    }

    fn serves_the_newest(&self) -> bool {
        self.served.as_ref().unwrap().0.certificate() == self.keyring().0[0].certificate()
    }

    /// A replica that has taken every step.
    fn at_rest() -> Self {
        let mut replica = Self::new();
        assert_eq!(replica.act(), "mint serve ");
        replica.propagate();
        assert_eq!(replica.act(), "");
        replica
    }
}

#[test]
fn a_rotation_publishes_serves_removes_the_key_and_withdraws() {
    let mut replica = Replica::at_rest();
    replica.now += YEAR * 2 / 3;
    assert_eq!(replica.act(), "serve mint ", "the leaf was due as well, under the old one");
    assert!(!replica.serves_the_newest(), "it is not published");
    replica.publish();
    assert_eq!(replica.act(), "", "it may not be known everywhere");
    replica.propagate();
    assert_eq!(replica.act(), "serve store ");
    assert!(replica.serves_the_newest());
    let signs: Vec<_> = replica.keyring().0.iter().map(|authority| authority.key().is_some()).collect();
    assert_eq!(signs, [true, false], "the old key is gone, its certificate stays");
    replica.now += YEAR / 3;
    replica.now -= DAY;
    assert_eq!(replica.act(), "serve ", "a new leaf");
    assert_eq!(replica.keyring().0.len(), 2, "a leaf of the old one could still be good");
    replica.now += DAY;
    assert_eq!(replica.act(), "", "by a clock that is behind it could");
    replica.now += HOUR;
    assert_eq!(replica.act(), "store ", "now it cannot");
    assert_eq!(replica.keyring().0.len(), 1);
}

#[test]
fn a_ca_leaves_five_leaf_lifetimes_after_its_key_and_the_bundle_first() {
    let mut replica = Replica::at_rest();
    let old = replica.keyring().0[0].certificate().clone();
    replica.now += YEAR * 2 / 3;
    replica.act();
    replica.propagate();
    assert_eq!(replica.act(), "serve store ");
    let needed = |replica: &Replica| replica.keyring().needed(replica.now, WEEK).any(|needed| *needed == old);
    let withdrawn = |replica: &Replica| replica.keyring().withdrawn(replica.now, WEEK).any(|gone| *gone == old);
    replica.now += DAY * 34;
    assert_eq!(replica.act(), "serve ");
    assert!(needed(&replica) && !withdrawn(&replica));
    replica.now += DAY;
    assert!(!needed(&replica) && !withdrawn(&replica), "by a clock that is behind it is needed");
    replica.now += HOUR;
    assert!(withdrawn(&replica));
    assert_eq!(replica.act(), "", "it is published yet");
    replica.published.as_mut().unwrap().retain(|published| *published != old);
    assert_eq!(replica.act(), "store ");
    assert!(!replica.keyring().contains(&old));
}

#[test]
fn a_replica_cut_off_from_the_secret_issues_leaves_for_three_lifetimes() {
    let at_rest = Replica::at_rest();
    let (mut served, begun) = (at_rest.served.clone(), at_rest.now);
    for hours in 0..24 * 365 {
        let now = begun + HOUR * hours;
        let (secret, last_known) = (&SecretState::Unknown, &at_rest.last_known);
        let of = served.as_ref().map(|(issuer, validity)| Served { issuer, validity: *validity });
        let (secret_last_observed, leaf_lifetime, published, propagated, anywhere) =
            (begun, WEEK, None, &[][..], &[][..]);
        let state = State {
            now,
            secret,
            last_known,
            secret_last_observed,
            leaf_lifetime,
            served: of,
            published,
            propagated,
            anywhere,
        };
        for step in plan(&state) {
            let Step::Serve(issuer) = step else { panic!("it cannot write: {step:?}") };
            served = Some((issuer, Validity { from: now, until: now + WEEK }));
        }
        let until = served.as_ref().unwrap().1.until;
        assert!(hours > 3 * 7 * 24 || now < until, "hour {hours}");
        assert!(until <= begun + 4 * WEEK, "hour {hours}");
    }
}

#[test]
fn without_a_secret_leaves_are_renewed_from_memory_and_nothing_is_written() {
    let mut replica = Replica::at_rest();
    let before = replica.keyring().clone();
    replica.deleted = true;
    for _ in 0..100 {
        replica.now += DAY;
        assert!(matches!(replica.act().as_str(), "" | "serve "));
        assert!(replica.served.as_ref().unwrap().1.is_valid_at(replica.now));
    }
    // The Secret is installed again, empty.
    (replica.deleted, replica.secret) = (false, None);
    assert_eq!(replica.act(), "store ");
    assert_eq!(*replica.keyring(), before);

    let mut fresh = Replica { deleted: true, ..Replica::new() };
    assert_eq!(fresh.act(), "", "it has nothing to serve, and nowhere to keep a CA");
}

#[test]
fn replicas_whose_clocks_differ_by_an_hour_never_undo_each_other() {
    let ahead = Replica::at_rest();
    let behind = Replica { now: ahead.now - HOUR, ..ahead.clone() };
    let (mut replicas, mut written) = ([ahead, behind], 0);
    for _ in 0..2 * 24 * 366 {
        for turn in 0..8 {
            let one = &mut replicas[turn % 2];
            let done = one.act();
            written += done.matches("store").count() + done.matches("mint").count();
            let (secret, last_known) = (one.secret.clone(), one.last_known.clone());
            let other = &mut replicas[1 - turn % 2];
            (other.secret, other.last_known) = (secret, last_known);
        }
        for replica in &mut replicas {
            assert!(replica.plan().is_empty(), "they come to rest: {:?}", replica.plan());
            replica.now += HOUR / 2;
        }
    }
    assert_eq!(written, 2, "a new CA in, which no replica publishes, and the old one out");
}

#[test]
fn a_replica_that_starts_amid_a_rotation_serves_what_is_published() {
    let mut replica = Replica::at_rest();
    replica.now += YEAR * 2 / 3;
    replica.act();
    replica.served = None;
    let published = replica.published.take();
    replica.propagated.clear();
    assert_eq!(replica.act(), "", "it does not know yet what is published");
    replica.published = published;
    assert_eq!(replica.act(), "serve ");
    assert!(!replica.serves_the_newest(), "only the old one is published");
    replica.publish();
    (replica.served, replica.propagated) = (None, Vec::new());
    assert_eq!(replica.act(), "serve ");
    assert!(!replica.serves_the_newest(), "the old one is the more likely to be known everywhere");
    replica.propagate();
    assert_eq!(replica.act(), "serve store ");
    replica.served = None;
    assert_eq!(replica.act(), "serve ");
    assert!(replica.serves_the_newest());
}

#[test]
fn a_secret_that_is_deleted_or_filled_with_garbage_comes_back_from_memory() {
    let mut replica = Replica::at_rest();
    let before = replica.keyring().clone();
    replica.secret = None;
    assert_eq!(replica.act(), "store ", "nothing is rotated for it");
    replica.garbage = true;
    assert_eq!(replica.act(), "store ");
    assert_eq!(*replica.keyring(), before);
}

#[test]
fn a_replica_with_a_new_secret_keeps_the_lost_ca_trusted_while_it_is_served() {
    let old = Replica::at_rest();
    let mut new = Replica::new();
    new.published = old.published.clone();
    assert_eq!(new.act(), "mint serve ");
    assert!(
        new.keyring().contains(old.served.as_ref().unwrap().0.certificate()),
        "what is published and lost is taken in"
    );
    let secret = Some(Keyring(vec![new.keyring().0[0].clone()]));
    let mut old = Replica { secret, last_known: new.last_known.clone(), published: None, ..old };
    assert_eq!(old.act(), "store ", "its own certificate joins");
    assert!(old.keyring().contains(old.served.as_ref().unwrap().0.certificate()) && !old.serves_the_newest());
    old.propagate();
    old.act();
    assert!(old.serves_the_newest());
}

#[test]
fn a_clock_that_jumps_leaves_a_valid_leaf_and_converges() {
    for (forward, days) in [(true, 1), (true, 10), (true, 250), (true, 400), (false, 1), (false, 10), (false, 1000)] {
        let mut replica = Replica::at_rest();
        let jump = |now, there| if forward == there { now + DAY * days } else { now - DAY * days };
        let set = |replica: &mut Replica, there| {
            replica.now = jump(replica.now, there);
            for _ in 0..3 {
                replica.act();
                replica.propagate();
            }
            assert_eq!(replica.act(), "", "{forward} {days} {there}");
            let (issuer, validity) = replica.served.as_ref().unwrap();
            assert!(
                validity.is_valid_at(replica.now) && issuer.validity().is_valid_at(replica.now),
                "{forward} {days} {there}"
            );
            assert!(replica.propagated.contains(issuer.certificate()));
        };
        set(&mut replica, true);
        set(&mut replica, false);
        assert!(replica.keyring().0.len() <= 3, "{:?}", replica.keyring());
    }
}

#[test]
fn what_is_written_to_a_secret_is_read_back_and_garbage_is_refused() {
    let now = SystemTime::now();
    let mint = || Authority::mint(now, YEAR).unwrap();
    let (old, new) = (mint(), mint());
    let keyring = Keyring(vec![new.clone(), mint().without_key(now - DAY), mint().without_key(now)]);
    for keyring in [Keyring(vec![new.clone(), old]), keyring.with_newest(mint())] {
        let read = Keyring::read(&keyring.write()).unwrap();
        assert_eq!(read, keyring);
        assert!(read.signing_at(now).next().is_some());
    }
    for odd in ["garbage", "0 0", "x 99999999999999999999", " \n\n\u{0}"] {
        let mut data = Keyring(vec![new.clone(), mint().without_key(now)]).write();
        data.insert("ca.retired".to_owned(), odd.as_bytes().to_vec());
        assert_eq!(Keyring::read(&data).unwrap().0[1].key_removed_at(), None, "a time that cannot be read is none");
    }
    let good = Keyring(vec![new]).write();
    let with = |key: &str, value: &str| {
        let mut data = good.clone();
        data.insert(key.to_owned(), value.as_bytes().to_vec());
        Keyring::read(&data)
    };
    let other = String::from_utf8(Keyring(vec![mint()]).write()["ca.key"].clone()).unwrap();
    for wrong in [with("ca.crt", "garbage"), with("ca.key", "garbage"), with("ca.key", &other)] {
        assert!(wrong.is_err(), "{wrong:?}");
    }
    let key = String::from_utf8(good["ca.key"].clone()).unwrap();
    let second = key.lines().nth(2).unwrap();
    let spaced = with("ca.key", &key.replace(second, &format!("\n{second}"))).unwrap_err().to_string();
    assert!(!spaced.contains(&key.lines().nth(1).unwrap()[..16]), "an error never quotes a key: {spaced}");
    let leaf = Authority::mint(now, YEAR).unwrap().sign(&["a".to_owned()], now, WEEK, None).unwrap();
    let leaf = with("ca.crt", &ca_bundle::write(&leaf.chain));
    assert!(leaf.is_err_and(|why| why.to_string().contains("no CA")));
    assert!(Keyring::read(&BTreeMap::new()).is_err_and(|why| why.to_string().contains("ca.crt: it is missing")));
    let empty = [("ca.crt".to_owned(), Vec::new()), ("other".to_owned(), b"x".to_vec())].into();
    assert!(Keyring::is_missing_in(&BTreeMap::new()) && Keyring::is_missing_in(&empty));
    assert!(!Keyring::is_missing_in(&good));
}

#[test]
fn only_a_ca_that_we_issue_counts_as_ours() {
    let now = SystemTime::now();
    let ours = Authority::mint(now, YEAR).unwrap();
    assert!(Authority::from_own_certificate(ours.certificate()).is_some_and(|ours| ours.key().is_none()));
    let made = |name: &str, constraint, issuer: Option<&str>| {
        let params = |name: &str| {
            let mut params = rcgen::CertificateParams::default();
            params.distinguished_name = rcgen::DistinguishedName::new();
            params.distinguished_name.push(rcgen::DnType::CommonName, name);
            params.is_ca = rcgen::IsCa::Ca(constraint);
            params
        };
        let key = rcgen::KeyPair::generate().unwrap();
        match issuer {
            None => params(name).self_signed(&key).unwrap().der().clone(),
            Some(issuer) => {
                let issuer = rcgen::CertifiedIssuer::self_signed(params(issuer), rcgen::KeyPair::generate().unwrap());
                params(name).signed_by(&key, &issuer.unwrap()).unwrap().der().clone()
            }
        }
    };
    assert!(Authority::from_own_certificate(&made("dynamo-cache CA", Constrained(0), None)).is_some());
    for foreign in [
        made("dynamo-cache CA", Unconstrained, None),
        made("dynamo-cache CA", Constrained(1), None),
        made("dynamo-cache development CA", Constrained(0), None),
        made("dynamo-cache CA", Constrained(0), Some("Example CA")),
        CertificateDer::from(vec![1, 2, 3]),
    ] {
        assert!(Authority::from_own_certificate(&foreign).is_none());
    }
}
