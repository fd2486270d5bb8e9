//! Which compile caches of a claim are removed, and why the others stay.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::inspect::demand::{Demand, Users};
use crate::terminal::amount::age;
use crate::usage::contents::{Contents, Size};

/// A compile cache of a claim, and what is decided about it.
#[derive(Debug)]
pub(super) struct Cache<'c> {
    /// The claim.
    pub(super) claim: &'c str,
    /// Its path from the root of the claim.
    pub(super) path: &'c str,
    /// Its files.
    pub(super) size: Size,
    /// Whether it goes.
    pub(super) decision: Decision,
}

/// Whether a cache is removed.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Decision {
    /// No workload would get it, and it was not used for so many seconds.
    Remove(i64),
    /// It is what an interrupted removal has left.
    Finish,
    /// These would get it.
    Wanted(Users),
    /// The claim's storage is that of claims of other namespaces, too, whose workloads are not known.
    Shared(BTreeSet<String>),
    /// It was used so many seconds ago.
    Used(i64),
    /// Not all of its files could be looked at, so it is not known when it was last used.
    NotCounted,
    /// Its name is not that of a compile cache with a whole key.
    Foreign,
}

impl Cache<'_> {
    /// Whether it is removed.
    pub(super) fn is_removed(&self) -> bool {
        matches!(self.decision, Decision::Remove(_) | Decision::Finish)
    }
}

impl Decision {
    /// Why, for people.
    pub(super) fn why(&self) -> String {
        match self {
            Decision::Remove(seconds) => format!("no workload would get it; not used for {}", age(*seconds)),
            Decision::Finish => "left by an interrupted prune".to_owned(),
            Decision::Wanted(users) => {
                let users: Vec<_> = users.iter().cloned().collect();
                format!("used by {}", users.join(", "))
            }
            Decision::Shared(others) => {
                let others: Vec<_> = others.iter().cloned().collect();
                format!(
                    "the same storage is behind {}, whose workloads are not known here (--force)",
                    others.join(", ")
                )
            }
            Decision::Used(seconds) => format!("no workload would get it, but it was used {} ago", age(*seconds)),
            Decision::NotCounted => {
                "when it was last used is not known: there are too many files, or some cannot be read".to_owned()
            }
            Decision::Foreign => "its name is not that of a compile cache of dynamo-cache".to_owned(),
        }
    }
}

/// Decides about the caches of a claim, the largest first. `shared_with` are claims of other namespaces with the same storage. Archives of one key belong together, whatever the nodes are.
pub(super) fn decide<'c>(
    claim: &'c str,
    contents: &'c Contents,
    demand: &Demand,
    shared_with: &BTreeSet<String>,
    older_than: Duration,
) -> Vec<Cache<'c>> {
    let mut keys: BTreeMap<&str, Size> = BTreeMap::new();
    for archives in &contents.archives {
        keys.entry(&archives.path).and_modify(|size| *size = size.and(archives.size)).or_insert(archives.size);
    }
    let older_than = i64::try_from(older_than.as_secs()).unwrap_or(i64::MAX);
    let one = |path: &'c str, size: Size, is_known: bool| {
        let users = demand.users(claim, path);
        let unused = contents.now.saturating_sub(size.last_use);
        let decision = if !users.is_empty() {
            Decision::Wanted(users)
        } else if !is_known {
            Decision::Foreign
        } else if !size.is_whole {
            Decision::NotCounted
        } else if unused < older_than {
            Decision::Used(unused)
        } else if !shared_with.is_empty() {
            Decision::Shared(shared_with.clone())
        } else {
            Decision::Remove(unused)
        };
        Cache { claim, path, size, decision }
    };
    let folders = contents.folders.iter();
    let folders =
        folders.map(|folder| one(&folder.path, folder.size, crate::admission::plan::is_compile_folder(&folder.path)));
    let mut caches: Vec<_> = folders.chain(keys.into_iter().map(|(path, size)| one(path, size, true))).collect();
    caches.sort_by_key(|cache| std::cmp::Reverse(cache.size.bytes));
    let unfinished = contents.unfinished.iter();
    caches.extend(unfinished.map(|left| Cache {
        claim,
        path: &left.path,
        size: left.size,
        decision: Decision::Finish,
    }));
    caches
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::time::Duration;

    use super::{Decision, decide};
    use crate::inspect::demand::Demand;
    use crate::usage::contents::{Archives, Contents, Folder, Size};

    const DAY: i64 = 86400;
    const LONG: Duration = Duration::from_secs(30 * 86400);

    fn size(days: i64) -> Size {
        Size { bytes: 10, files: 1, last_use: 1000 * DAY - days * DAY, is_whole: true }
    }

    fn folder(path: &str, size: Size) -> Folder {
        Folder { path: path.to_owned(), user: 1000, size }
    }

    fn archives(path: &str, node: &str, days: i64) -> Archives {
        let (path, node) = (path.to_owned(), node.to_owned());
        Archives { path, node, user: 1000, size: size(days), generations: Vec::new() }
    }

    #[test]
    fn only_what_no_workload_wants_and_what_was_not_used_for_long_is_removed() {
        let half = Size { is_whole: false, ..size(90) };
        let contents = Contents {
            now: 1000 * DAY,
            folders: vec![
                folder("0123456789ab-any-000000000001", size(40)),
                folder("0123456789ab-any-000000000002", size(29)),
                folder("0123456789ab-any-000000000003", half),
                folder("by-hand", size(400)),
            ],
            archives: vec![
                archives("staged-v1/a", "1", 50),
                archives("staged-v1/a", "2", 3),
                archives("staged-v1/b", "1", 31),
            ],
            unfinished: vec![folder(".dynamo-cache-removed-1", half)],
            ..Contents::default()
        };
        let caches = decide("c", &contents, &Demand::default(), &BTreeSet::new(), LONG);
        let decision = |path: &str| &caches.iter().find(|cache| cache.path == path).unwrap().decision;
        assert_eq!(*decision("0123456789ab-any-000000000001"), Decision::Remove(40 * DAY));
        assert_eq!(*decision("0123456789ab-any-000000000002"), Decision::Used(29 * DAY));
        assert_eq!(*decision("0123456789ab-any-000000000003"), Decision::NotCounted);
        assert_eq!(*decision("by-hand"), Decision::Foreign);
        assert_eq!(*decision("staged-v1/a"), Decision::Used(3 * DAY), "one kind of node still starts from it");
        assert_eq!(*decision("staged-v1/b"), Decision::Remove(31 * DAY));
        assert_eq!(*decision(".dynamo-cache-removed-1"), Decision::Finish);
        assert_eq!(caches.iter().filter(|cache| cache.is_removed()).count(), 3);
        let others = ["theirs/c".to_owned()].into();
        let shared = decide("c", &contents, &Demand::default(), &others, LONG);
        assert_eq!(shared.iter().filter(|cache| cache.is_removed()).count(), 1, "but what was renamed is in no use");
    }
}
