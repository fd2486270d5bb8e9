//! Measures a claim.

use std::cmp::Reverse;
use std::ffi::OsStr;
use std::io;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::stage::folder::Folder;
use crate::usage::compiled;
use crate::usage::contents::Contents;
use crate::usage::models;
use crate::usage::tree::Budget;

/// The most names that are looked at.
const MAX_NAMES: u64 = 5_000_000;

/// The most models, folders and archives that are listed.
const MAX_LISTED: usize = 500;

/// The hub of the layout `home`, from the root of the claim.
const HUB: &str = "hub";

/// Measures the claim that is mounted at a path. `others` are the paths of folders that are compile caches although their names do not
/// show it. After `limit`, what is not counted yet is incomplete.
///
/// # Errors
/// The root of the claim cannot be read.
pub fn measure(claim: &Path, others: &[String], limit: Duration) -> io::Result<Contents> {
    let root = Folder::open(claim)?;
    // Without an error here, an unreadable claim would look like an empty one.
    drop(root.entries()?);
    let (free_bytes, capacity_bytes) = root.space()?;
    let mut budget = Budget { names: MAX_NAMES, until: Instant::now() + limit };
    let archives = compiled::archives(&root, claim, &mut budget);
    let (folders, unfinished) = compiled::folders(&root, others, &mut budget);
    let mut all = models::models(&root, "", &mut budget);
    if let Ok(hub) = root.folder(OsStr::new(HUB)) {
        all.extend(models::models(&hub, HUB, &mut budget));
    }
    let mut contents =
        Contents { now: now(), free_bytes, capacity_bytes, models: all, folders, archives, unfinished, omitted: 0 };
    contents.models.sort_by_key(|model| Reverse((model.size.bytes, Reverse(model.model.clone()))));
    contents.folders.sort_by_key(|folder| Reverse((folder.size.bytes, Reverse(folder.path.clone()))));
    contents.archives.sort_by_key(|archives| Reverse((archives.size.bytes, Reverse(archives.path.clone()))));
    contents.omitted = cut(&mut contents.models)
        + cut(&mut contents.folders)
        + cut(&mut contents.archives)
        + cut(&mut contents.unfinished);
    Ok(contents)
}

/// Drops what is not listed, and counts it.
fn cut<T>(list: &mut Vec<T>) -> u64 {
    let omitted = list.len().saturating_sub(MAX_LISTED);
    list.truncate(MAX_LISTED);
    omitted as u64
}

/// Seconds since 1970.
fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;
