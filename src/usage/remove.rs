//! Removes compile caches from a claim: each is renamed first, so that no engine finds a part of one.

use std::ffi::OsStr;
use std::io;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::stage::folder::{Folder, Kind};
use crate::stage::layout::VERSION;
use crate::usage::cache_path::{self, CachePath};
use crate::usage::contents::{Removal, Removed, Size};
use crate::usage::tree::{self, Budget};

/// The most names of a folder that are looked at to see whether it was used.
const MAX_NAMES: u64 = 5_000_000;

/// Removes the folders at these paths, unless one was used after `unused_since`, in seconds since 1970. A path that is not that of a
/// compile cache is not touched. Calls `report` for each as soon as it is done.
///
/// # Errors
/// The root of the claim cannot be opened, or `report` failed.
pub fn remove(
    claim: &Path,
    paths: &[String],
    unused_since: i64,
    limit: Duration,
    mut report: impl FnMut(&Removal) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let root = Folder::open(claim)?;
    let until = Instant::now() + limit;
    for path in paths {
        let (result, why) = match one(&root, path, unused_since, until) {
            Ok(result) => (result, String::new()),
            Err(error) => (Removed::Failed, error.to_string()),
        };
        report(&Removal { path: path.clone(), result, why })?;
    }
    Ok(())
}

fn one(root: &Folder, path: &str, unused_since: i64, until: Instant) -> io::Result<Removed> {
    let at = CachePath::parse(path).ok_or_else(|| io::Error::other("it is no compile cache of dynamo-cache"))?;
    let staged = if at.is_staged { Some(tree::unless_gone(root.folder(OsStr::new(VERSION)))?) } else { None };
    let parent = match &staged {
        None => root,
        Some(Some(folder)) => folder,
        Some(None) => return Ok(Removed::Gone),
    };
    let Some(entry) = tree::unless_gone(parent.entry(&at.name))? else { return Ok(Removed::Gone) };
    if entry.kind != Kind::Folder {
        return Err(io::Error::other("it is no folder"));
    }
    let Some(folder) = tree::unless_gone(parent.folder(&at.name))? else { return Ok(Removed::Gone) };
    if let Some(owner) = tree::locked(&folder, entry.user)? {
        return Err(locked(owner));
    }
    if cache_path::is_unfinished(&at.name) {
        tree::remove(parent, &at.name)?;
        return Ok(Removed::Removed);
    }
    let Size { last_use, is_whole, files, .. } = tree::size(&folder, &mut Budget { names: MAX_NAMES, until });
    let last_use = if files == 0 { entry.modified } else { last_use };
    if !is_whole {
        return Err(io::Error::other("whether it was used cannot be found out in time"));
    }
    if last_use > unused_since {
        return Ok(Removed::Used);
    }
    drop(folder);
    // Of two removals at the same time, one finds the folder gone.
    let number = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
    let name = cache_path::unfinished(number);
    if tree::unless_gone(parent.rename(&at.name, parent, &name))?.is_none() {
        return Ok(Removed::Gone);
    }
    tree::remove(parent, &name)?;
    Ok(Removed::Removed)
}

/// The error of a tree of which this process may not remove everything.
fn locked(owner: u32) -> io::Error {
    let user = rustix::process::geteuid().as_raw();
    io::Error::other(format!("user {user} may not remove what belongs to user {owner} (--user {owner})"))
}

#[cfg(test)]
mod tests;
