//! What the cluster knows of a claim, reduced to what decides.

// A length of time, which `core` has without a clock.
use core::time::Duration;
use std::collections::BTreeMap;

/// How long a claim of a StorageClass that binds at once may be `Pending` before it counts as one that gets no volume
/// (contract, section 3). A provisioner that works takes seconds, at most a few minutes.
pub const BINDING_TIMEOUT: Duration = Duration::from_secs(600);

/// The claims of a namespace that are known to exist, by name.
pub type Claims = BTreeMap<String, Claim>;

/// A PersistentVolumeClaim, as far as it decides whether its volume can be mounted.
///
/// The default is the claim that everything works with: bound or waiting to be, shared, a file system.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Claim {
    /// It has a deletion timestamp.
    pub terminating: bool,
    /// Its volume mode is `Block`.
    pub block: bool,
    /// The most that its access modes allow.
    pub access: Access,
    /// Whether it has a volume, or may get one.
    pub binding: Binding,
}

/// How a claim and its volume stand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Binding {
    /// It is bound, or waits for a volume that may come.
    #[default]
    Usable,
    /// Its phase is `Lost`: the volume is gone.
    Lost,
    /// It waits for a volume that does not come, as far as it tells: see [`is_unbindable`].
    Unbindable,
}

/// When a StorageClass binds a claim that names it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BindingMode {
    /// As soon as the claim is created.
    #[default]
    Immediate,
    /// As soon as a pod needs it.
    WaitForFirstConsumer,
}

impl BindingMode {
    /// A mode by its name in Kubernetes. `Immediate` is what the API server takes where none is given.
    pub fn named(name: Option<&str>) -> BindingMode {
        match name {
            Some("WaitForFirstConsumer") => BindingMode::WaitForFirstConsumer,
            _ => BindingMode::Immediate,
        }
    }
}

/// Whether a claim that has been `Pending` for longer than [`BINDING_TIMEOUT`] gets no volume, given the StorageClass that
/// it names and how that class binds (`None`: there is no such class).
///
/// A claim without a class may still be matched with a volume that somebody creates, and one whose class waits for the first
/// consumer waits for the very pod that is under review: both are used.
pub fn is_unbindable(class: Option<&str>, mode: impl FnOnce(&str) -> Option<BindingMode>) -> bool {
    let class = class.filter(|class| !class.is_empty());
    class.is_some_and(|class| mode(class) != Some(BindingMode::WaitForFirstConsumer))
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
            block: volume_mode == Some("Block"),
            access: Access::of_modes(access_modes),
            binding: if phase == Some("Lost") { Binding::Lost } else { Binding::Usable },
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
    use super::{Access, BindingMode, is_unbindable};

    #[test]
    fn only_a_class_that_is_missing_or_binds_at_once_leaves_a_claim_unbindable() {
        let mode = |class: &str| match class {
            "at-once" => Some(BindingMode::named(Some("Immediate"))),
            "by-default" => Some(BindingMode::named(None)),
            "with-the-pod" => Some(BindingMode::named(Some("WaitForFirstConsumer"))),
            _ => None,
        };
        for class in ["at-once", "by-default", "missing"] {
            assert!(is_unbindable(Some(class), mode), "{class}");
        }
        for class in [Some("with-the-pod"), Some(""), None] {
            assert!(!is_unbindable(class, mode), "{class:?}");
        }
    }

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
