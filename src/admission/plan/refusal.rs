//! Why a cache is not put in place, with a fix that helps this pod where one is known.

use super::super::dns_name;
use super::super::reason::Reason;
use super::container::Mounted;
use super::volumes::Volumes;

/// Why a cache is not put in place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    pub reason: Reason,
    /// What to do about it in this pod; none: what the reason says in general.
    pub fix: Option<String>,
}

impl From<Reason> for Refusal {
    fn from(reason: Reason) -> Self {
        Refusal { reason, fix: None }
    }
}

impl Refusal {
    pub(super) fn with_fix(reason: Reason, fix: String) -> Self {
        Refusal { reason, fix: Some(fix) }
    }

    /// A mount of the user's is their cache. Where it is of a claim, a setting can name that.
    pub(super) fn user_cache(volumes: &Volumes<'_>, mount: &Mounted<'_>, setting: &str) -> Self {
        let claim = volumes.claim_of(&mount.volume).filter(|_| mount.sub_path.is_none());
        // The name is not validated yet, and is repeated for each container.
        let claim = claim.filter(|claim| dns_name::is_subdomain(claim));
        let path = &mount.path;
        let fix = match claim {
            Some(claim) => {
                format!("Unmount {path} to get the shared cache, or name it: dynamo-cache.io/{setting}: {claim}.")
            }
            None => format!("Unmount {path} to get the shared cache."),
        };
        Refusal::with_fix(Reason::UserCache, fix)
    }
}
