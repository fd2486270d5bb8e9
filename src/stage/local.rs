//! The local cache: the folder P in which the engine works, and may move things at any time.

use std::ffi::{OsStr, OsString};
use std::io;
use std::path::Path;

use crate::stage::archive::is_ours;
use crate::stage::folder::{Folder, Kind};

/// The most names in one folder.
const MAX_NAMES: usize = 100_000;

/// The most folders in one another. Each is open while what is in it is removed.
const MAX_DEPTH: usize = 200;

/// The local cache.
#[derive(Debug)]
pub struct Local {
    /// The folder.
    pub folder: Folder,
}

impl Local {
    /// Opens the cache.
    ///
    /// # Errors
    /// It cannot be opened.
    pub fn open(path: &Path) -> io::Result<Self> {
        Ok(Local { folder: Folder::open(path)? })
    }

    /// The names of the engine directly in the cache.
    ///
    /// # Errors
    /// The cache cannot be read.
    pub fn names(&self) -> io::Result<Vec<OsString>> {
        let mut names = self.folder.names(MAX_NAMES)?;
        names.retain(|name| !is_ours(name));
        Ok(names)
    }

    /// Removes all that is the engine's.
    ///
    /// # Errors
    /// Something cannot be removed; the rest is.
    pub fn empty(&self) -> io::Result<()> {
        for_each(&self.names()?, |name| self.remove(name))
    }

    /// The same, but for the folders, which are empty then: one of them may be mounted into the engine by itself (`subPath`), and
    /// what the engine writes to a removed one is lost.
    ///
    /// # Errors
    /// Something cannot be removed; the rest is.
    pub fn remove_files(&self) -> io::Result<()> {
        for_each(&self.names()?, |name| remove(&self.folder, name, Folders::Keep, 0))
    }

    /// Removes a file, a link or a folder with all that is in it.
    ///
    /// # Errors
    /// It cannot be removed.
    pub fn remove(&self, name: &OsStr) -> io::Result<()> {
        match remove(&self.folder, name, Folders::Remove, 0) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            result => result,
        }
    }
}

/// Whether folders stay when what is in them is removed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Folders {
    Keep,
    Remove,
}

/// Removes a name below an open folder, and no link on the way is followed: the engine could lead a path to the claim.
fn remove(parent: &Folder, name: &OsStr, folders: Folders, depth: usize) -> io::Result<()> {
    if parent.examine(name)?.0 != Kind::Folder {
        return parent.remove(name);
    }
    if depth == MAX_DEPTH {
        return Err(io::Error::other(format!("a folder is more than {MAX_DEPTH} levels deep")));
    }
    let folder = parent.folder(name)?;
    for_each(&folder.names(MAX_NAMES)?, |name| remove(&folder, name, folders, depth + 1))?;
    if folders == Folders::Remove { parent.remove_folder(name) } else { Ok(()) }
}

/// Calls a function for each name, and returns the first error after the last call.
fn for_each(names: &[OsString], remove: impl Fn(&OsStr) -> io::Result<()>) -> io::Result<()> {
    let removed: Vec<_> = names.iter().map(|name| remove(name)).collect();
    removed.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;
    use std::path::PathBuf;

    use super::Local;

    /// An empty folder for a test.
    fn folder(name: &str) -> PathBuf {
        let folder = std::env::temp_dir().join(format!("dynamo-cache-local-{name}-{}", std::process::id()));
        drop(fs::remove_dir_all(&folder));
        fs::create_dir(&folder).unwrap();
        folder
    }

    #[test]
    fn nothing_that_a_link_leads_to_is_removed() {
        let root = folder("links");
        fs::create_dir_all(root.join("claim/staged-v1")).unwrap();
        fs::write(root.join("claim/staged-v1/archive"), "x").unwrap();
        let cache = root.join("cache");
        for empty in [Local::empty, Local::remove_files] {
            fs::create_dir_all(cache.join("folder/inside")).unwrap();
            for link in ["link", "folder/link", "folder/inside/link"] {
                drop(fs::remove_file(cache.join(link)));
                symlink("../claim", cache.join(link)).unwrap();
            }
            empty(&Local::open(&cache).unwrap()).unwrap();
            assert!(!cache.join("link").is_symlink() && !cache.join("folder/inside/link").is_symlink());
            assert_eq!(fs::read(root.join("claim/staged-v1/archive")).unwrap(), b"x");
        }
        fs::remove_dir_all(root).unwrap();
    }

    #[test]
    fn files_are_removed_at_any_depth_and_folders_stay_where_they_are_asked_to() {
        let root = folder("depth");
        fs::create_dir_all(root.join("sglang/triton/a")).unwrap();
        for file in [".dynamo-cache-lock", "file", "sglang/file", "sglang/triton/file", "sglang/triton/a/file"] {
            fs::write(root.join(file), "x").unwrap();
        }
        let cache = Local::open(&root).unwrap();
        cache.remove_files().unwrap();
        assert!(root.join("sglang/triton/a").is_dir() && root.join(".dynamo-cache-lock").is_file());
        for file in ["file", "sglang/file", "sglang/triton/file", "sglang/triton/a/file"] {
            assert!(!root.join(file).exists(), "{file}");
        }
        cache.empty().unwrap();
        assert!(!root.join("sglang").exists() && root.join(".dynamo-cache-lock").is_file());
        fs::remove_dir_all(root).unwrap();
    }
}
