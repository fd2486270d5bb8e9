//! Generations: the archives of one key and node, which of them a pod takes, and which stay when another is published.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::stage::archive::{Inventory, Limits, MAX_BYTES, MAX_FILES};
use crate::stage::digest::Digest;

/// The layout of archive and manifest. A pod ignores generations of another.
pub const FORMAT: u32 = 1;

/// The generations that stay on the claim.
const KEPT: usize = 2;

/// How many pointers must have seen a leftover unchanged before it counts as that of an interrupted pod. One alone may have seen
/// an archive that is just written to the disk, or not yet pointed to, which takes time without growing.
const POINTERS: u32 = 3;

/// The pods whose engines must have died on a generation before no pod takes it any more. One alone may have died of
/// something else.
const STRIKES: usize = 2;

/// `current.json`: the generations, newest first. Their order is that of the list, never that of times: the clocks of nodes differ.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Pointer {
    /// The generations that pods may take, newest first.
    pub generations: Vec<Digest>,
    /// Files that no generation has: what an interrupted pod may have left, or what another is writing now.
    #[serde(default)]
    pub leftovers: BTreeMap<String, Leftover>,
}

/// A file that no generation has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Leftover {
    /// Its size.
    pub bytes: u64,
    /// How many pointers in a row have seen it with this size.
    pub pointers: u32,
}

/// `<digest>.json`: what an archive has, and where it comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Manifest {
    /// [`FORMAT`].
    pub format: u32,
    /// The SHA-256 of the archive.
    pub digest: Digest,
    /// The size of the archive.
    pub archive_bytes: u64,
    /// The number of files.
    pub files: u64,
    /// The bytes of all files together.
    pub bytes: u64,
    /// Image, GPU and command line, as parts of the cache's key.
    pub key: String,
    /// The engine.
    pub engine: String,
    /// The engine's image.
    pub image: String,
    /// What the node has that compiled code depends on, in words.
    pub node: Vec<String>,
    /// The version of the program that packed it.
    pub version: String,
    /// When it was packed, by the clock of that node.
    pub created: String,
    /// The pod, as NAMESPACE/NAME.
    pub pod: String,
    /// The seconds from the start of that pod's stage until its engine was ready.
    pub seconds_to_ready: Option<u64>,
}

/// The pods whose engines died on a generation, by generation.
pub type Strikes = BTreeMap<Digest, BTreeSet<String>>;

impl Pointer {
    /// The newest generation that a pod may take: none of those that two pods have put aside, or that this one has.
    pub fn usable(&self, strikes: &Strikes, put_aside: &BTreeSet<Digest>) -> Option<&Digest> {
        self.generations.iter().find(|digest| !put_aside.contains(*digest) && !is_struck(digest, strikes))
    }

    /// The pointer after another generation, and the generations that it no longer has.
    pub fn with(&self, digest: &Digest, strikes: &Strikes) -> (Pointer, Vec<Digest>) {
        let older = self.generations.iter().filter(|older| *older != digest);
        let (struck, older): (Vec<_>, Vec<_>) = older.cloned().partition(|older| is_struck(older, strikes));
        let mut generations = [vec![digest.clone()], older].concat();
        let retired = [generations.split_off(generations.len().min(KEPT)), struck].concat();
        (Pointer { generations, leftovers: BTreeMap::new() }, retired)
    }

    /// Takes the sizes of all leftovers into account: the leftovers of the next pointer, and the names of those that have been
    /// unchanged for so long that no pod is writing them.
    pub fn sort_leftovers(&self, sizes: BTreeMap<String, u64>) -> (BTreeMap<String, Leftover>, Vec<String>) {
        let (mut leftovers, mut abandoned) = (BTreeMap::new(), Vec::new());
        for (name, bytes) in sizes {
            let before = self.leftovers.get(&name).filter(|before| before.bytes == bytes);
            let pointers = before.map_or(0, |before| before.pointers);
            if pointers >= POINTERS {
                abandoned.push(name);
            } else {
                leftovers.insert(name, Leftover { bytes, pointers: pointers + 1 });
            }
        }
        (leftovers, abandoned)
    }
}

impl Manifest {
    /// Whether the generation has as much as a pod could publish.
    pub fn covers(&self, inventory: &Inventory) -> bool {
        self.files >= inventory.files
    }

    /// What may be unpacked; `None` if it is more than any archive may have.
    pub fn limits(&self) -> Option<Limits> {
        let fits = self.files <= MAX_FILES && self.bytes <= MAX_BYTES;
        fits.then_some(Limits { files: self.files, bytes: self.bytes })
    }
}

fn is_struck(digest: &Digest, strikes: &Strikes) -> bool {
    strikes.get(digest).is_some_and(|pods| pods.len() >= STRIKES)
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::{Digest, Pointer, Strikes};

    fn digest(digit: char) -> Digest {
        Digest::try_from(digit.to_string().repeat(64)).unwrap()
    }

    fn pointer(digits: &str) -> Pointer {
        Pointer { generations: digits.chars().map(digest).collect(), ..Pointer::default() }
    }

    fn struck(digit: char, pods: &[&str]) -> Strikes {
        Strikes::from([(digest(digit), pods.iter().map(|pod| (*pod).to_owned()).collect())])
    }

    #[test]
    fn the_newest_generation_is_taken_unless_two_pods_or_this_one_put_it_aside() {
        let none = BTreeSet::new();
        assert_eq!(pointer("ba").usable(&Strikes::new(), &none), Some(&digest('b')));
        assert_eq!(pointer("ba").usable(&struck('b', &["1"]), &none), Some(&digest('b')));
        assert_eq!(pointer("ba").usable(&struck('b', &["1", "2"]), &none), Some(&digest('a')));
        assert_eq!(pointer("ba").usable(&struck('b', &["1"]), &BTreeSet::from([digest('b')])), Some(&digest('a')));
        assert_eq!(pointer("b").usable(&struck('b', &["1", "2"]), &none), None);
        assert_eq!(pointer("").usable(&Strikes::new(), &none), None);
    }

    #[test]
    fn two_generations_stay_and_none_that_two_pods_put_aside() {
        let next = |pointer: &Pointer, strikes: &Strikes| {
            let (next, retired) = pointer.with(&digest('c'), strikes);
            (next.generations, retired)
        };
        let list = |digits: &str| digits.chars().map(digest).collect::<Vec<_>>();
        assert_eq!(next(&pointer(""), &Strikes::new()), (list("c"), list("")));
        assert_eq!(next(&pointer("ba"), &Strikes::new()), (list("cb"), list("a")));
        assert_eq!(next(&pointer("ba"), &struck('b', &["1", "2"])), (list("ca"), list("b")));
        assert_eq!(next(&pointer("cb"), &Strikes::new()), (list("cb"), list("")));
    }

    #[test]
    fn a_leftover_is_abandoned_once_three_pointers_have_seen_it_unchanged() {
        let mut pointer = pointer("a");
        let mut look = |sizes: &[(&str, u64)]| {
            let sizes = sizes.iter().map(|(name, bytes)| ((*name).to_owned(), *bytes)).collect();
            let (leftovers, abandoned) = pointer.sort_leftovers(sizes);
            pointer.leftovers = leftovers;
            abandoned
        };
        let none = Vec::<String>::new();
        assert_eq!(look(&[("grows", 1), ("x", 5)]), none);
        assert_eq!(look(&[("grows", 2), ("x", 5), ("late", 1)]), none);
        assert_eq!(look(&[("grows", 2), ("x", 5), ("late", 1)]), none);
        assert_eq!(look(&[("grows", 2), ("x", 5), ("late", 1)]), ["x"]);
        assert_eq!(look(&[("grows", 3), ("late", 1)]), ["late"]);
        assert_eq!(look(&[("grows", 3), ("late", 1)]), none, "it came back");
        assert_eq!(look(&[]), none);
        assert_eq!(pointer.leftovers, BTreeMap::new());
    }
}
