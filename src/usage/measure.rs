//! Measures a claim.

use std::cmp::Reverse;
use std::ffi::OsStr;
use std::io;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::stage::folder::Folder;
use crate::usage::compiled;
use crate::usage::contents::{self, Archives, Contents, Model};
use crate::usage::first::First;
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
    let mut archives = First::new(MAX_LISTED, |one: &Archives| (Reverse(one.size.bytes), one.path.clone()));
    compiled::archives(&root, claim, &mut budget, &mut archives);
    let [mut folders, mut unfinished] =
        [(); 2].map(|()| First::new(MAX_LISTED, |one: &contents::Folder| (Reverse(one.size.bytes), one.path.clone())));
    compiled::folders(&root, others, &mut budget, &mut folders, &mut unfinished);
    let mut all = First::new(MAX_LISTED, |one: &Model| (Reverse(one.size.bytes), one.model.clone()));
    models::models(&root, "", &mut budget, &mut all);
    if let Ok(hub) = root.folder(OsStr::new(HUB)) {
        models::models(&hub, HUB, &mut budget, &mut all);
    }
    let ((models, more_models), (folders, more_folders)) = (all.into_parts(), folders.into_parts());
    let ((archives, more_archives), (unfinished, more_unfinished)) = (archives.into_parts(), unfinished.into_parts());
    let omitted = more_models + more_folders + more_archives + more_unfinished;
    Ok(Contents { now: now(), free_bytes, capacity_bytes, models, folders, archives, unfinished, omitted })
}

/// Seconds since 1970.
fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;
