//! What to do next about our authorities and our leaf: from what is known now to steps, as data.
//!
//! A new authority comes in beside the old one, in the Secret that the replicas share. Its certificate is published
//! beside the old one's. Each replica serves under it once it has seen it published everywhere, for long enough that
//! every API server knows it too; then the old key goes. The old certificate stays in Secret and bundle until its time
//! is over. That is the one moment from which no replica can serve under it whatever it has missed, for no leaf outlives
//! its authority: a replica that lost the cluster for months would else be pruned away while it is still called.

use std::time::SystemTime;

use rustls::pki_types::CertificateDer;

use super::authority::Authority;
use super::keyring::Keyring;
use super::validity::Validity;

/// What is in the Secret.
#[derive(Clone, Debug)]
pub enum Content {
    /// It is not there.
    Absent,
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
    /// What we serve.
    pub served: Option<Served<'k>>,
    /// The CAs that every entry of the webhook configuration has; none: we have not seen it yet.
    pub published: Option<&'k [CertificateDer<'static>]>,
    /// Those of them that every API server knows by now.
    pub settled: &'k [CertificateDer<'static>],
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

/// What the Secret should hold of what there is; none where we have not seen it.
fn wanted(known: &Known<'_>) -> Option<Keyring> {
    let held = match known.content {
        Content::NotSeen => return None,
        // Who has it in memory brings it back, and nothing is rotated for it.
        Content::Absent | Content::Unreadable => return Some(known.memory.pruned(known.now)),
        Content::Holds(held) => held,
    };
    let mut wanted = held.pruned(known.now);
    if let Some(served) = known.served {
        if !wanted.holds(served.under.certificate()) && known.now < served.under.validity().until {
            // Others have started anew without ours, which has to stay published while it is served.
            wanted.0.push(served.under.retired());
        }
        // Who serves under the newest, known everywhere, needs no older key; nor does who starts from now on.
        let newest = wanted.able(known.now).next().map(Authority::certificate);
        let settled = newest.is_some_and(|newest| known.settled.contains(newest));
        if let Some(newest) = newest.cloned()
            && settled
            && *served.under.certificate() == newest
        {
            for authority in &mut wanted.0 {
                if *authority.certificate() != newest && authority.validity().holds(known.now) {
                    *authority = authority.retired();
                }
            }
        }
    }
    Some(wanted)
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
    let stays = known.served.is_some_and(|served| {
        served.under.certificate() == chosen.certificate() && served.validity.is_fresh(known.now)
    });
    (!stays).then(|| Step::Serve(chosen.clone()))
}

#[cfg(test)]
mod tests;
