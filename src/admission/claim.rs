//! A claim, reduced to the facts that decide whether its volume can be mounted.

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
/// The default is the claim that everything works with: bound or waiting to be, shared, a file system, writable for everybody.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Claim {
    /// It has a deletion timestamp.
    pub terminating: bool,
    /// Its volume mode is `Block`.
    pub block: bool,
    /// The most that its access modes allow.
    pub access: Access,
    /// Whether it has a volume, or may get one.
    pub binding: Binding,
    /// Who has been able to write to it.
    pub writable: Writable,
}

/// For whom a claim is proven to be writable: the annotation [`WRITABLE`] of the claim.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Writable {
    /// Every user: `true`.
    #[default]
    Everybody,
    /// No user, as a probe found: `false`.
    No,
    /// Nothing is known.
    Unproven,
    /// These users, such as `1000,0`.
    Users(Box<[u32]>),
}

/// The annotation of a claim that says who can write to it.
pub const WRITABLE: &str = "dynamo-cache.io/writable";

/// The most users of a claim that are remembered, more than any claim has; those beyond count as unproven.
pub const MOST_USERS: usize = 64;

impl Writable {
    /// Reads the annotation. Text that does not parse proves nothing: a user is written in digits alone.
    pub fn read(annotation: Option<&str>) -> Writable {
        match annotation.map(str::trim) {
            None => Writable::Unproven,
            Some("true") => Writable::Everybody,
            Some("false") => Writable::No,
            Some(list) => {
                let users = list.split(',').take(MOST_USERS).map(|user| uid(user.trim()));
                users.collect::<Option<_>>().map_or(Writable::Unproven, Writable::Users)
            }
        }
    }

    /// Whether the claim is proven for a user.
    pub fn is_proven_for(&self, user: i64) -> bool {
        match self {
            Writable::Everybody => true,
            Writable::No | Writable::Unproven => false,
            Writable::Users(users) => users.iter().any(|proven| i64::from(*proven) == user),
        }
    }
}

/// A uid in digits; `parse` alone takes `+5` too.
pub fn uid(text: &str) -> Option<u32> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?
}

/// How a claim and its volume stand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Binding {
    /// It is bound, or waits for a volume that may come.
    #[default]
    Usable,
    /// Its phase is `Lost`: the volume is gone.
    Lost,
    /// It waits for a volume that nothing provides, as far as the claim shows: see [`Wait::binding`].
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

/// What a claim that has no volume yet waits for.
#[derive(Clone, Copy, Debug)]
pub struct Wait<'a> {
    /// The StorageClass that it names; a claim without one may still be matched with a volume that somebody creates.
    pub class: &'a str,
    /// How long it has been `Pending`.
    pub waited: Duration,
}

impl Wait<'_> {
    /// How a claim stands that has waited for so long, given how its StorageClass binds (`None`: there is no such class).
    ///
    /// One whose class waits for the first consumer waits for the very pod that is under review: it is used.
    pub fn binding(self, timeout: Duration, mode: impl FnOnce(&str) -> Option<BindingMode>) -> Binding {
        let waits_in_vain = self.waited > timeout
            && !self.class.is_empty()
            && mode(self.class) != Some(BindingMode::WaitForFirstConsumer);
        if waits_in_vain { Binding::Unbindable } else { Binding::Usable }
    }
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
    /// What decides of a claim: whether it has a deletion timestamp, its phase, volume mode and access modes, and its annotation
    /// [`WRITABLE`].
    pub fn new<'a>(
        deleted: bool,
        phase: Option<&str>,
        volume_mode: Option<&str>,
        access_modes: impl IntoIterator<Item = &'a str>,
        writable: Option<&str>,
    ) -> Self {
        Claim {
            terminating: deleted,
            block: volume_mode == Some("Block"),
            access: Access::of_modes(access_modes),
            binding: if phase == Some("Lost") { Binding::Lost } else { Binding::Usable },
            writable: Writable::read(writable),
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
    use core::time::Duration;

    use super::{Access, BINDING_TIMEOUT, Binding, BindingMode, Wait, Writable};

    #[test]
    fn only_a_class_that_is_missing_or_binds_at_once_leaves_a_claim_unbindable() {
        let mode = |class: &str| match class {
            "at-once" => Some(BindingMode::named(Some("Immediate"))),
            "by-default" => Some(BindingMode::named(None)),
            "with-the-pod" => Some(BindingMode::named(Some("WaitForFirstConsumer"))),
            _ => None,
        };
        let binding = |class, waited| Wait { class, waited }.binding(BINDING_TIMEOUT, mode);
        let long = BINDING_TIMEOUT + Duration::from_secs(1);
        for class in ["at-once", "by-default", "missing"] {
            assert_eq!(binding(class, long), Binding::Unbindable, "{class}");
            assert_eq!(binding(class, BINDING_TIMEOUT), Binding::Usable, "{class}");
        }
        for class in ["with-the-pod", ""] {
            assert_eq!(binding(class, long), Binding::Usable, "{class:?}");
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

    #[test]
    fn a_claim_is_proven_for_those_that_its_annotation_names() {
        let proven = |annotation, user| Writable::read(annotation).is_proven_for(user);
        for (annotation, user) in [("true", 7), (" true ", 0), ("1000", 1000), (" 0 , 1000", 1000), ("0,1000", 0)] {
            assert!(proven(Some(annotation), user), "{annotation} {user}");
        }
        let unproven = [
            (None, 0),
            (Some("false"), 0),
            (Some(""), 0),
            (Some("yes"), 0),
            (Some("1000"), 0),
            (Some("1000,x"), 1000),
            (Some("+1000"), 1000),
            (Some("1000,"), 1000),
            (Some("-1"), -1),
        ];
        for (annotation, user) in unproven {
            assert!(!proven(annotation, user), "{annotation:?} {user}");
        }
        let many = (0..1000).map(|user: u32| user.to_string()).collect::<Vec<_>>().join(",");
        assert!(proven(Some(&many), 63) && !proven(Some(&many), 64));
    }
}
