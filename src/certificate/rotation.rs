//! What to do next about our authorities and our leaf: from what is known now to steps, as data.
//!
//! A new authority comes in beside the old one, in the Secret that the replicas share. Its certificate is published
//! beside the old one's. Each replica serves under it once it has seen it published everywhere, for long enough that
//! every API server knows it too; then the old key goes. The old certificate stays in Secret and bundle until no replica
//! can serve a good leaf of it, whatever that replica has missed. So does the certificate of an authority that was lost: one
//! of ours in the bundle that the Secret does not have is taken into it, as one whose key is gone.
//!
//! When that is, follows from how long a leaf lasts. With `L` for its lifetime:
//!
//! - A replica that sees the Secret makes no leaf of an authority without a key there. Its last one is over `L` after the
//!   key went.
//! - A replica that does not see the Secret goes on with what it remembers, and makes its last leaf `3 L` after it last saw
//!   the Secret (`OUT_OF_SIGHT`). The key was there then, so that leaf is over `4 L` after the key went.
//! - The certificate is withdrawn `5 L` after the key went, and at its end at the latest (`Authority::is_withdrawn`).
//!
//! The last `L`, seven days, is for clocks that differ by an hour and for a watch whose silence is noticed late. An
//! authority is recorded as retired after its key went, never before, so a late record delays and harms nothing.

use std::time::{Duration, SystemTime};

use rustls::pki_types::CertificateDer;

use super::authority::Authority;
use super::keyring::Keyring;
use super::validity::{CLOCK_SKEW, Validity};

/// So many lifetimes of a leaf after a replica last saw the Secret, it makes no more leaves.
const OUT_OF_SIGHT: u32 = 3;

/// Most authorities that a Secret is to hold, so that it stays far below the 1 MiB that the API server takes: a
/// certificate has 600 bytes. More of them in a bundle wait there until others have gone, or for their end.
const MOST: usize = 128;

/// What is in the Secret.
#[derive(Clone, Debug)]
pub enum Content {
    /// It is not there, or is of a kind that we do not write: there is nothing to read, and no way to write.
    Absent,
    /// Nothing of ours.
    Empty,
    /// These.
    Holds(Keyring),
    /// We have not seen it yet.
    NotSeen,
    /// Something that is no keyring.
    Unreadable,
}

/// The leaf that is served.
#[derive(Clone, Copy, Debug)]
pub struct Served<'k> {
    /// Who signed it.
    pub under: &'k Authority,
    /// When it is good.
    pub validity: Validity,
}

/// Everything that decides.
#[derive(Clone, Copy, Debug)]
pub struct Known<'k> {
    /// The wall clock, which may jump.
    pub now: SystemTime,
    /// What the replicas share.
    pub content: &'k Content,
    /// What they shared when we last could read it.
    pub memory: &'k Keyring,
    /// When we last saw the Secret, or saw that it is not there: now, but for an outage of its watch.
    pub in_sight: SystemTime,
    /// How long a leaf lasts.
    pub leaf: Duration,
    /// What we serve.
    pub served: Option<Served<'k>>,
    /// The CAs that every entry of the webhook configuration has; none: we have not seen it yet.
    pub published: Option<&'k [CertificateDer<'static>]>,
    /// Those of them that every API server knows by now.
    pub settled: &'k [CertificateDer<'static>],
    /// The CAs that any entry has.
    pub anywhere: &'k [CertificateDer<'static>],
}

/// A thing to do.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// Make an authority, and store it in front of these.
    Mint(Keyring),
    /// Serve a new leaf under this one.
    Serve(Authority),
    /// Make the Secret hold these.
    Store(Keyring),
}

/// What to do next. Doing it, and asking again, comes to an end at which nothing is left to do.
pub fn plan(known: &Known<'_>) -> Vec<Step> {
    let wanted = wanted(known);
    let mut steps: Vec<_> = serve(known, wanted.as_ref().unwrap_or(known.memory)).into_iter().collect();
    if let Some(wanted) = wanted {
        let fresh = wanted.able(known.now).any(|authority| authority.validity().is_fresh(known.now));
        if !fresh {
            steps.push(Step::Mint(wanted));
        } else if !matches!(known.content, Content::Holds(held) if *held == wanted) {
            steps.push(Step::Store(wanted));
        }
    }
    steps
}

/// What the Secret should hold of what there is; none where we have not seen it, or cannot write it.
fn wanted(known: &Known<'_>) -> Option<Keyring> {
    let mut wanted = match known.content {
        Content::NotSeen | Content::Absent => return None,
        // Who has it in memory brings it back, and nothing is rotated for it.
        Content::Empty | Content::Unreadable => known.memory.clone(),
        Content::Holds(held) => held.clone(),
    };
    let now = known.now;
    if let Some(served) = known.served
        && !wanted.holds(served.under.certificate())
        && now < served.under.validity().until
    {
        // Others have started anew without ours, which has to stay published while it is served.
        wanted.0.push(served.under.without_key(now));
    }
    adopt(&mut wanted, known);
    retire(&mut wanted, known);
    for authority in wanted.0.iter_mut().filter(|authority| authority.key().is_none()) {
        // A time that no good clock has come to yet is from one that was ahead.
        if authority.retired().is_none_or(|since| now + 2 * CLOCK_SKEW < since) {
            *authority = authority.without_key(now);
        }
    }
    wanted.0.retain(|authority| {
        let is_published = known.published.is_none() || known.anywhere.contains(authority.certificate());
        let has_expired = authority.validity().is_over_everywhere(now);
        // The bundle goes by the Secret, so it goes first.
        !has_expired && (is_published || !authority.is_withdrawn(now, known.leaf))
    });
    Some(wanted)
}

/// Takes in the authorities of ours that were lost, from what is published.
fn adopt(wanted: &mut Keyring, known: &Known<'_>) {
    for certificate in known.anywhere {
        if wanted.0.len() >= MOST || wanted.holds(certificate) {
            continue;
        }
        let lost = Authority::of_ours(certificate);
        wanted.0.extend(lost.filter(|lost| known.now < lost.validity().until));
    }
}

/// Takes the older keys away, where we serve under the newest and it is known everywhere: nobody needs them, and no replica
/// that starts from now on does.
fn retire(wanted: &mut Keyring, known: &Known<'_>) {
    let newest = wanted.able(known.now).next().map(Authority::certificate).cloned();
    let (Some(newest), Some(served)) = (newest, known.served) else { return };
    if !known.settled.contains(&newest) || *served.under.certificate() != newest {
        return;
    }
    for authority in &mut wanted.0 {
        let is_older = *authority.certificate() != newest && authority.key().is_some();
        if is_older && authority.validity().holds(known.now) {
            *authority = authority.without_key(known.now);
        }
    }
}

/// Under whom to serve, where that is another or a new leaf is due.
fn serve(known: &Known<'_>, keyring: &Keyring) -> Option<Step> {
    let able = || keyring.able(known.now);
    let settled = able().find(|authority| known.settled.contains(authority.certificate()));
    let alive = known.served.filter(|served| served.validity.holds(known.now));
    let chosen = match (settled, alive) {
        (Some(settled), _) => settled,
        (None, Some(alive)) => able().find(|authority| authority.certificate() == alive.under.certificate())?,
        // The oldest that is published is the most likely to be known everywhere. Without one there is nothing to lose.
        (None, None) => {
            let published = known.published?;
            let oldest = able().rev().find(|authority| published.contains(authority.certificate()));
            oldest.or_else(|| able().next())?
        }
    };
    let out_of_sight = known.now.duration_since(known.in_sight).unwrap_or_default();
    if out_of_sight > known.leaf * OUT_OF_SIGHT {
        // Others may be about to withdraw it, and we would not know.
        return None;
    }
    let stays = known.served.is_some_and(|served| {
        served.under.certificate() == chosen.certificate() && served.validity.is_fresh(known.now)
    });
    (!stays).then(|| Step::Serve(chosen.clone()))
}

#[cfg(test)]
mod tests;
#[cfg(test)]
mod world;
