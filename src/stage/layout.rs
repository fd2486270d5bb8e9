//! The claim below `staged-v1/<key>/<node>/`: archives and manifests, the pointer to the newest, strikes and starts.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::path::PathBuf;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::stage::digest::Digest;
use crate::stage::folder::{Durability, Folder, Kind};
use crate::stage::generation::{Manifest, Pointer};

/// The layout's version: a folder of its own, so that an old pod never reads what a newer one wrote.
pub const VERSION: &str = "staged-v1";
const POINTER: &str = "current.json";

/// The most bytes of a pointer or a manifest.
const MAX_JSON: u64 = 256 << 10;

/// The most files in `generations/`, which has two of each.
const MAX_NAMES: usize = 10_000;

/// Where the caches of a pod are.
#[derive(Clone, Debug)]
pub struct Location {
    /// The folder where the claim is mounted.
    pub claim: PathBuf,
    /// Image, GPU and command line, as parts of the cache's key.
    pub key: String,
    /// The digits of the node.
    pub node: String,
    /// The UID of the pod, which is in the names of its temporary files.
    pub pod_uid: String,
}

/// The caches of one key on one kind of node.
#[derive(Debug)]
pub struct Store {
    folder: Folder,
    generations: Folder,
    /// Temporary files have it in their names: two pods never write the same one.
    pod_uid: String,
}

impl Store {
    /// Opens the store, if there is one.
    ///
    /// # Errors
    /// The claim does not have it (`NotFound`), or cannot be read.
    pub fn open(location: &Location) -> io::Result<Self> {
        Store::enter(location, Folder::folder)
    }

    /// Opens the store, and makes its folders if they are missing.
    ///
    /// # Errors
    /// The claim cannot be written.
    pub fn create(location: &Location) -> io::Result<Self> {
        Store::enter(location, Folder::make_folder)
    }

    fn enter(location: &Location, step: fn(&Folder, &OsStr) -> io::Result<Folder>) -> io::Result<Self> {
        let mut folder = Folder::open(&location.claim)?;
        for name in [VERSION, &location.key, &location.node] {
            folder = step(&folder, OsStr::new(name))?;
        }
        let generations = step(&folder, OsStr::new("generations"))?;
        Ok(Store { folder, generations, pod_uid: location.pod_uid.clone() })
    }

    /// The folder of `strikes/` or `starts/`, made if it is missing.
    ///
    /// # Errors
    /// The claim cannot be written.
    pub fn make_folder(&self, name: &str) -> io::Result<Folder> {
        self.folder.make_folder(OsStr::new(name))
    }

    /// The folder of `strikes/` or `starts/`.
    ///
    /// # Errors
    /// It does not exist, or cannot be opened.
    pub fn folder(&self, name: &str) -> io::Result<Folder> {
        self.folder.folder(OsStr::new(name))
    }

    /// The pointer; an empty one if nothing was published yet.
    ///
    /// # Errors
    /// It cannot be read, or is no pointer (`InvalidData`).
    pub fn pointer(&self) -> io::Result<Pointer> {
        match read(&self.folder, OsStr::new(POINTER)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Pointer::default()),
            result => result,
        }
    }

    /// Replaces the pointer.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn point(&self, pointer: &Pointer) -> io::Result<()> {
        let temporary = format!(".current-{}", self.pod_uid);
        self.folder.replace(OsStr::new(POINTER), OsStr::new(&temporary), &json(pointer)?, Durability::Crash)?;
        self.folder.sync();
        Ok(())
    }

    /// The manifest of a generation.
    ///
    /// # Errors
    /// It cannot be read, or is no manifest (`InvalidData`).
    pub fn manifest(&self, digest: &Digest) -> io::Result<Manifest> {
        read(&self.generations, &manifest_name(digest))
    }

    /// The archive of a generation.
    ///
    /// # Errors
    /// It cannot be opened.
    pub fn archive(&self, digest: &Digest) -> io::Result<File> {
        self.generations.file(&archive_name(digest))
    }

    /// An empty file for an archive.
    ///
    /// # Errors
    /// It cannot be created.
    pub fn begin(&self) -> io::Result<File> {
        self.abandon();
        self.generations.create(&self.partial(), 0o644)
    }

    /// Removes the file that `begin` created, if it is still there.
    pub fn abandon(&self) {
        drop(self.generations.remove(&self.partial()));
    }

    /// Gives that file and its manifest the names of a generation. No pointer leads to it yet.
    ///
    /// # Errors
    /// The claim cannot be written; then neither is there.
    pub fn keep(&self, manifest: &Manifest) -> io::Result<()> {
        let temporary = OsString::from(format!(".manifest-{}", self.pod_uid));
        let keep = || {
            self.generations.replace(
                &manifest_name(&manifest.digest),
                &temporary,
                &json(manifest)?,
                Durability::Crash,
            )?;
            self.generations.rename(&self.partial(), &self.generations, &archive_name(&manifest.digest))
        };
        keep().inspect_err(|_| self.remove(&manifest.digest))?;
        self.generations.sync();
        Ok(())
    }

    /// Removes a generation; what is missing of it is removed already.
    pub fn remove(&self, digest: &Digest) {
        drop(self.generations.remove(&archive_name(digest)));
        drop(self.generations.remove(&manifest_name(digest)));
    }

    /// Removes a leftover.
    pub fn remove_leftover(&self, name: &str) {
        drop(self.generations.remove(OsStr::new(name)));
    }

    /// The files that belong to none of the generations, with their sizes.
    ///
    /// # Errors
    /// The claim cannot be read.
    pub fn leftovers(&self, generations: &[Digest]) -> io::Result<BTreeMap<String, u64>> {
        let known: Vec<_> =
            generations.iter().flat_map(|digest| [archive_name(digest), manifest_name(digest)]).collect();
        let mut leftovers = BTreeMap::new();
        for name in self.generations.names(MAX_NAMES)? {
            if known.contains(&name) {
                continue;
            }
            // One that another pod has just removed or renamed is none.
            if let (Ok((Kind::File(bytes), _)), Ok(name)) = (self.generations.examine(&name), name.into_string()) {
                leftovers.insert(name, bytes);
            }
        }
        Ok(leftovers)
    }

    fn partial(&self) -> OsString {
        format!(".partial-{}", self.pod_uid).into()
    }
}

fn archive_name(digest: &Digest) -> OsString {
    format!("{digest}.tar.zst").into()
}

fn manifest_name(digest: &Digest) -> OsString {
    format!("{digest}.json").into()
}

fn read<T: DeserializeOwned>(folder: &Folder, name: &OsStr) -> io::Result<T> {
    let content = folder.read(name, MAX_JSON).and_then(|content| Ok(serde_json::from_slice(&content)?));
    content.map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", name.display())))
}

fn json(value: &impl Serialize) -> io::Result<Vec<u8>> {
    let mut text = serde_json::to_vec_pretty(value)?;
    text.push(b'\n');
    Ok(text)
}

/// Whether a pointer or a manifest is not what it should be, rather than the claim being out of order.
pub fn is_damaged(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof)
}
