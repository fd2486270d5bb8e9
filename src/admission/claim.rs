//! What the cluster knows of a claim, reduced to what decides.

use std::collections::BTreeMap;

/// The claims of a namespace that are known to exist, by name.
pub type Claims = BTreeMap<String, Claim>;

/// A PersistentVolumeClaim, as far as it decides whether its volume can be mounted.
///
/// The default is the claim that everything works with: bound or waiting to be, shared, a file system.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Claim {
    /// It has a deletion timestamp.
    pub terminating: bool,
    /// Its phase is `Lost`.
    pub lost: bool,
    /// Its volume mode is `Block`.
    pub block: bool,
    /// The most that its access modes allow.
    pub access: Access,
}

/// The most that a claim's access modes allow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Access {
    /// Many nodes read and write.
    #[default]
    ReadWriteMany,
    /// One node reads and writes.
    ReadWriteOnce,
    /// Many nodes read.
    ReadOnlyMany,
    /// One pod reads and writes.
    ReadWriteOncePod,
}

impl Claim {
    /// What decides of a claim: whether it has a deletion timestamp, its phase, volume mode and access modes.
    pub fn of<'a>(
        deleted: bool,
        phase: Option<&str>,
        volume_mode: Option<&str>,
        access_modes: impl IntoIterator<Item = &'a str>,
    ) -> Self {
        Claim {
            terminating: deleted,
            lost: phase == Some("Lost"),
            block: volume_mode == Some("Block"),
            access: Access::of_modes(access_modes),
        }
    }
}

impl Access {
    /// An access mode by its name in Kubernetes.
    pub fn named(name: &str) -> Option<Access> {
        match name {
            "ReadOnlyMany" => Some(Access::ReadOnlyMany),
            "ReadWriteMany" => Some(Access::ReadWriteMany),
            "ReadWriteOnce" => Some(Access::ReadWriteOnce),
            "ReadWriteOncePod" => Some(Access::ReadWriteOncePod),
            _ => None,
        }
    }

    /// What several modes allow together; modes that we do not know, and no modes at all, hold nothing back.
    fn of_modes<'a>(modes: impl IntoIterator<Item = &'a str>) -> Access {
        let rank = |access: &Access| match access {
            Access::ReadWriteMany => 0,
            Access::ReadWriteOnce => 1,
            Access::ReadOnlyMany => 2,
            Access::ReadWriteOncePod => 3,
        };
        modes.into_iter().filter_map(Access::named).min_by_key(rank).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::Access;

    #[test]
    fn the_widest_access_mode_that_writes_counts() {
        let of = |modes: &[&str]| Access::of_modes(modes.iter().copied());
        assert_eq!(of(&["ReadWriteOnce", "ReadWriteMany"]), Access::ReadWriteMany);
        assert_eq!(of(&["ReadOnlyMany", "ReadWriteOnce"]), Access::ReadWriteOnce);
        assert_eq!(of(&["ReadOnlyMany"]), Access::ReadOnlyMany);
        assert_eq!(of(&["ReadWriteOncePod"]), Access::ReadWriteOncePod);
        assert_eq!(of(&["FromTheFuture"]), Access::ReadWriteMany);
    }
}
