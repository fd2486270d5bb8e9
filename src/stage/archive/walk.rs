//! The files and folders of a cache, and their count.

use std::collections::hash_map::DefaultHasher;
use std::ffi::OsStr;
use std::hash::{Hash as _, Hasher as _};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use super::rules::{Rule, rule};
use super::{Error, MAX_BYTES, MAX_DEPTH, MAX_FILES};
use crate::stage::folder::{Folder, Kind, Modified};

/// The most names in one folder, skipped ones included.
const MAX_NAMES: usize = 2 * 200_000;

/// What a cache has that belongs into an archive.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Inventory {
    /// The number of files.
    pub files: u64,
    /// The number of folders.
    pub folders: u64,
    /// The bytes of all files together.
    pub bytes: u64,
    /// The newest modification.
    pub newest: Modified,
    /// A hash of the names in progress and their state; `None` if there are none.
    pub in_progress: Option<u64>,
}

/// A file or folder on the way through a cache.
pub(super) struct Found<'a> {
    pub(super) parent: &'a Folder,
    pub(super) name: &'a OsStr,
    /// The path from the root of the cache.
    pub(super) path: &'a Path,
    pub(super) kind: Kind,
    pub(super) modified: Modified,
}

/// Counts what a cache has.
///
/// # Errors
/// The cache is too large, or cannot be read.
pub fn inventory(root: &Folder) -> Result<Inventory, Error> {
    walk(root, &mut |_| Ok(()))
}

/// Calls `visit` for each file and folder, a folder after what is in it, so that its time can be set last when the
/// archive is unpacked. Names that vanish meanwhile are passed by: the engine is at work.
pub(super) fn walk(root: &Folder, visit: &mut dyn FnMut(&Found<'_>) -> Result<(), Error>) -> Result<Inventory, Error> {
    let mut walk = Walk { visit, inventory: Inventory::default(), path: PathBuf::new() };
    walk.folder(root, 0)?;
    Ok(walk.inventory)
}

struct Walk<'a> {
    visit: &'a mut dyn FnMut(&Found<'_>) -> Result<(), Error>,
    inventory: Inventory,
    path: PathBuf,
}

impl Walk<'_> {
    fn folder(&mut self, folder: &Folder, depth: usize) -> Result<(), Error> {
        let mut names = folder.names(MAX_NAMES).map_err(Error::Local)?;
        // The same tree is the same archive, wherever it was made.
        names.sort_unstable();
        for name in names {
            let Some((kind, modified)) = unless_gone(folder.examine(&name))? else { continue };
            match rule(&name, kind) {
                Rule::Keep => {
                    self.path.push(&name);
                    self.keep(&Found { parent: folder, name: &name, path: &self.path.clone(), kind, modified }, depth)?;
                    self.path.pop();
                }
                Rule::Skip => {}
                Rule::InProgress => self.note_in_progress(&name, kind, modified),
            }
        }
        Ok(())
    }

    fn keep(&mut self, found: &Found<'_>, depth: usize) -> Result<(), Error> {
        // Part of a cache would count as all of it.
        if depth == MAX_DEPTH {
            return Err(Error::TooLarge);
        }
        match found.kind {
            Kind::File(bytes) => {
                self.inventory.files += 1;
                self.inventory.bytes = self.inventory.bytes.saturating_add(bytes);
            }
            Kind::Folder => {
                let Some(inside) = unless_gone(found.parent.folder(found.name))? else { return Ok(()) };
                self.folder(&inside, depth + 1)?;
                self.inventory.folders += 1;
            }
            Kind::Other => return Ok(()),
        }
        let Inventory { files, folders, bytes, .. } = self.inventory;
        if files > MAX_FILES || folders > MAX_FILES || bytes > MAX_BYTES {
            return Err(Error::TooLarge);
        }
        self.inventory.newest = self.inventory.newest.max(found.modified);
        (self.visit)(found)
    }

    fn note_in_progress(&mut self, name: &OsStr, kind: Kind, modified: Modified) {
        let mut hasher = DefaultHasher::new();
        let bytes = if let Kind::File(bytes) = kind { bytes } else { 0 };
        (self.inventory.in_progress, &self.path, name).hash(&mut hasher);
        (bytes, modified.seconds, modified.nanoseconds).hash(&mut hasher);
        self.inventory.in_progress = Some(hasher.finish());
    }
}

fn unless_gone<T>(result: io::Result<T>) -> Result<Option<T>, Error> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::Local(error)),
    }
}
