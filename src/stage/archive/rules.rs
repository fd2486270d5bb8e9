//! The names that no archive has: locks, files in progress, what belongs to one machine, and our own.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;

use crate::stage::folder::Kind;

/// What the rules say about a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rule {
    /// It belongs into the archive.
    Keep,
    /// It does not.
    Skip,
    /// It does not, and it shows that the engine is still writing.
    InProgress,
}

/// Folders with what belongs to one machine or one start, or what another cache keeps already.
const FOLDERS: [&[u8]; 6] = [b"locks", b"tmp", b"dummy_cache", b"ple", b"model_streamer", b"nv"];

/// Objects that a killed compiler left empty: loading one fails, and a missing one is built.
const OBJECTS: [&[u8]; 3] = [b".so", b".o", b".cubin"];

/// What happens to a name, which is one component of a path.
pub(super) fn rule(name: &OsStr, kind: Kind) -> Rule {
    let name = name.as_bytes();
    if is_in_progress(name) {
        return Rule::InProgress;
    }
    let skipped = match kind {
        Kind::Folder => FOLDERS.contains(&name),
        Kind::File(bytes) => bytes == 0 && OBJECTS.iter().any(|ending| name.ends_with(ending)),
        Kind::Other => true,
    };
    if skipped || is_ours(OsStr::from_bytes(name)) || is_lock(name) || is_of_one_machine(name) {
        Rule::Skip
    } else {
        Rule::Keep
    }
}

/// Whether the name is one of those by which stage and gate talk to each other.
pub fn is_ours(name: &OsStr) -> bool {
    let name = name.as_bytes();
    name.starts_with(b".dynamo-cache") || name.starts_with(b".restore-")
}

/// A name that its writer renames or removes when it is done. A `lock` is torch's: it waits for the process that made it,
/// and for ever if that was in another pod.
fn is_in_progress(name: &[u8]) -> bool {
    let endings: [&[u8]; 3] = [b".tmp", b".incomplete", b".partial"];
    let beginnings: [&[u8]; 2] = [b"tmp.pid_", b".staging"];
    name == b"lock"
        || endings.iter().any(|ending| name.ends_with(ending))
        || beginnings.iter().any(|beginning| name.starts_with(beginning))
}

/// Locks that stay when they are free.
fn is_lock(name: &[u8]) -> bool {
    name.ends_with(b".lock") || name.ends_with(b"_lock") || name.starts_with(b"lockfile")
}

fn is_of_one_machine(name: &[u8]) -> bool {
    let peer_access = name.starts_with(b"gpu_p2p_access_cache_for_") && name.ends_with(b".json");
    peer_access || name.ends_with(b".pid") || name.starts_with(b".nfs")
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;

    use super::{Rule, rule};
    use crate::stage::folder::Kind;

    #[test]
    fn a_name_is_kept_skipped_or_shows_that_the_engine_still_writes() {
        let file = |name: &str| rule(OsStr::new(name), Kind::File(1));
        for name in ["a.so", ".hidden", "lock.py", "locks", "tmp", "nv", "blocked", "a.pid.json", "tmp.py", "clock"] {
            assert_eq!(file(name), Rule::Keep, "{name}");
        }
        for name in ["lock", "x.tmp", ".x.tmp", "tmp.pid_7_a", ".staging-1", "x.incomplete", "x.partial"] {
            assert_eq!(file(name), Rule::InProgress, "{name}");
            assert_eq!(rule(OsStr::new(name), Kind::Folder), Rule::InProgress, "{name}");
        }
        let skipped = [
            ".lock",
            "a.lock",
            "lockfile",
            "lockfile.7",
            "build_lock",
            "a.pid",
            ".nfs0001",
            "gpu_p2p_access_cache_for_0,1.json",
            ".dynamo-cache-state.json",
            ".restore-7",
        ];
        for name in skipped {
            assert_eq!(file(name), Rule::Skip, "{name}");
        }
    }

    #[test]
    fn some_names_are_skipped_only_as_folders_and_objects_only_when_empty() {
        for name in ["locks", "tmp", "dummy_cache", "ple", "model_streamer", "nv"] {
            assert_eq!(rule(OsStr::new(name), Kind::Folder), Rule::Skip, "{name}");
            assert_eq!(rule(OsStr::new(name), Kind::File(0)), Rule::Keep, "{name}");
        }
        for name in ["a.so", "a.o", "a.cubin"] {
            assert_eq!(rule(OsStr::new(name), Kind::File(0)), Rule::Skip, "{name}");
            assert_eq!(rule(OsStr::new(name), Kind::File(1)), Rule::Keep, "{name}");
            assert_eq!(rule(OsStr::new(name), Kind::Folder), Rule::Keep, "{name}");
        }
        assert_eq!(rule(OsStr::new("empty.json"), Kind::File(0)), Rule::Keep);
        assert_eq!(rule(OsStr::new("link"), Kind::Other), Rule::Skip);
    }
}
