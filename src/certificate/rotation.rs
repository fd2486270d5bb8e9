//! Decides the next steps for the CAs and the leaf, as data, from a snapshot of the current state.
//!
//! A new CA is stored beside the old one in the Secret that all replicas share, and its certificate is published beside
//! the old one's. Each replica serves under the new CA once its certificate has been published in every entry for long
//! enough that every API server knows it; then the old key is removed. The old certificate stays in the Secret and in
//! the bundle until no replica can serve a valid leaf of it, however long that replica was cut off. The same holds for
//! a lost CA: a CA of ours that is in the bundle but not in the Secret is adopted into the Secret as one without a key.
//!
//! The time follows from the lifetime of a leaf, `L`:
//!
//! - A replica that can read the Secret issues no leaf under a CA without a key there. Its last leaf expires `L` after
//!   the key was removed.
//! - A replica that cannot read the Secret continues with what it last read, and issues its last leaf `3 L` after it
//!   last read the Secret (`LIFETIMES_WITHOUT_SECRET`). The key was present then, so that leaf expires `4 L` after the
//!   key was removed.
//! - The certificate is withdrawn `5 L` after the key was removed, and when it expires at the latest
//!   (`Authority::is_withdrawn`).
//!
//! The last `L`, seven days, allows for clocks that differ by an hour and for a watch whose failure is noticed late.
//! The removal of a key is recorded after the fact, never before, so a late record only delays the withdrawal.

use std::time::{Duration, SystemTime};

use rustls::pki_types::CertificateDer;

use super::authority::Authority;
use super::keyring::Keyring;
use super::validity::{CLOCK_SKEW, Validity};

/// A replica issues no more leaves this many leaf lifetimes after it last read the Secret.
const LIFETIMES_WITHOUT_SECRET: u32 = 3;

/// The most authorities in a Secret. A certificate has 600 bytes, so the Secret stays far below the limit of 1 MiB.
/// Further authorities in a bundle stay there until others are removed or they expire.
const MAX_AUTHORITIES: usize = 128;

/// The state of the Secret.
#[derive(Clone, Debug)]
pub enum SecretState {
    /// The Secret does not exist or has a foreign type, so it can be neither read nor written.
    Absent,
    /// The Secret has no keyring.
    Empty,
    /// The Secret has this keyring.
    Stored(Keyring),
    /// The watch has not delivered the Secret yet.
    Unknown,
    /// The Secret has data that is not a keyring.
    Unreadable,
}

/// The leaf that this replica serves.
#[derive(Clone, Copy, Debug)]
pub struct Served<'k> {
    /// The CA that signed it.
    pub issuer: &'k Authority,
    /// Its validity.
    pub validity: Validity,
}

/// Everything that the decision depends on.
#[derive(Clone, Copy, Debug)]
pub struct State<'k> {
    /// The wall clock, which may jump.
    pub now: SystemTime,
    /// The Secret now.
    pub secret: &'k SecretState,
    /// The keyring that was last read from the Secret.
    pub last_known: &'k Keyring,
    /// When the watch last worked, whether the Secret existed or not. It is `now` unless the watch fails.
    pub secret_last_observed: SystemTime,
    /// The lifetime of a leaf.
    pub leaf_lifetime: Duration,
    /// The leaf that this replica serves, if any.
    pub served: Option<Served<'k>>,
    /// The CAs that every entry of the webhook configuration has. `None` before the watch has delivered it.
    pub published: Option<&'k [CertificateDer<'static>]>,
    /// Those of them that every API server knows by now.
    pub propagated: &'k [CertificateDer<'static>],
    /// The CAs that at least one entry has.
    pub anywhere: &'k [CertificateDer<'static>],
}

/// A step to take.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// Issue a CA, and store it in front of this keyring.
    Mint(Keyring),
    /// Serve a new leaf of this CA.
    Serve(Authority),
    /// Store this keyring in the Secret.
    Store(Keyring),
}

/// Plans the next steps. Taking them and planning again converges to an empty plan.
pub fn plan(state: &State<'_>) -> Vec<Step> {
    let desired = desired_keyring(state);
    let mut steps: Vec<_> = next_leaf(state, desired.as_ref().unwrap_or(state.last_known)).into_iter().collect();
    if let Some(desired) = desired {
        let is_due = desired.signing_at(state.now).all(|authority| authority.validity().is_due_for_renewal(state.now));
        if is_due {
            steps.push(Step::Mint(desired));
        } else if !matches!(state.secret, SecretState::Stored(stored) if *stored == desired) {
            steps.push(Step::Store(desired));
        }
    }
    steps
}

/// The keyring that the Secret should have. `None` if the Secret is not known, or cannot be written.
fn desired_keyring(state: &State<'_>) -> Option<Keyring> {
    let mut desired = match state.secret {
        SecretState::Unknown | SecretState::Absent => return None,
        // A replica that remembers the keyring restores it, without a rotation.
        SecretState::Empty | SecretState::Unreadable => state.last_known.clone(),
        SecretState::Stored(stored) => stored.clone(),
    };
    let now = state.now;
    if let Some(served) = state.served
        && !desired.contains(served.issuer.certificate())
        && now < served.issuer.validity().until
    {
        // Other replicas lost this CA. It has to stay published while this replica serves under it.
        desired.0.push(served.issuer.without_key(now));
    }
    adopt_lost(&mut desired, state);
    remove_old_keys(&mut desired, state);
    for authority in desired.0.iter_mut().filter(|authority| authority.key().is_none()) {
        // A time in the future was recorded by a clock that was ahead.
        if authority.key_removed_at().is_none_or(|since| now + 2 * CLOCK_SKEW < since) {
            *authority = authority.without_key(now);
        }
    }
    desired.0.retain(|authority| {
        let is_published = state.published.is_none() || state.anywhere.contains(authority.certificate());
        let has_expired = authority.validity().has_expired_with_skew(now);
        // The bundle is derived from the Secret, so a CA leaves the bundle first.
        !has_expired && (is_published || !authority.is_withdrawn(now, state.leaf_lifetime))
    });
    Some(desired)
}

/// Adopts our CAs that are published but lost from the Secret.
fn adopt_lost(desired: &mut Keyring, state: &State<'_>) {
    for certificate in state.anywhere {
        if desired.0.len() >= MAX_AUTHORITIES || desired.contains(certificate) {
            continue;
        }
        let lost = Authority::from_own_certificate(certificate);
        desired.0.extend(lost.filter(|lost| state.now < lost.validity().until));
    }
}

/// Removes the older keys once this replica serves under the newest CA and every API server knows it. Neither a running
/// replica nor one that starts later needs them.
fn remove_old_keys(desired: &mut Keyring, state: &State<'_>) {
    let newest = desired.signing_at(state.now).next().map(Authority::certificate).cloned();
    let (Some(newest), Some(served)) = (newest, state.served) else { return };
    if !state.propagated.contains(&newest) || *served.issuer.certificate() != newest {
        return;
    }
    for authority in &mut desired.0 {
        let is_older = *authority.certificate() != newest && authority.key().is_some();
        if is_older && authority.validity().is_valid_at(state.now) {
            *authority = authority.without_key(state.now);
        }
    }
}

/// The CA to issue a new leaf under, if the issuer changes or the leaf is due for renewal.
fn next_leaf(state: &State<'_>, keyring: &Keyring) -> Option<Step> {
    let signing = || keyring.signing_at(state.now);
    let propagated = signing().find(|authority| state.propagated.contains(authority.certificate()));
    let valid = state.served.filter(|served| served.validity.is_valid_at(state.now));
    let selected = match (propagated, valid) {
        (Some(propagated), _) => propagated,
        (None, Some(valid)) => signing().find(|authority| authority.certificate() == valid.issuer.certificate())?,
        // The oldest published CA is the one that every API server most likely knows. If none is published, nothing can
        // be lost.
        (None, None) => {
            let published = state.published?;
            let oldest = signing().rev().find(|authority| published.contains(authority.certificate()));
            oldest.or_else(|| signing().next())?
        }
    };
    let without_secret = state.now.duration_since(state.secret_last_observed).unwrap_or_default();
    if without_secret > state.leaf_lifetime * LIFETIMES_WITHOUT_SECRET {
        // Other replicas may be about to withdraw the CA, and this one would not know.
        return None;
    }
    let stays = state.served.is_some_and(|served| {
        served.issuer.certificate() == selected.certificate() && !served.validity.is_due_for_renewal(state.now)
    });
    (!stays).then(|| Step::Serve(selected.clone()))
}

#[cfg(test)]
mod tests;
#[cfg(test)]
mod simulation;
