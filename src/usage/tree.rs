//! A tree of files: measured up to a limit, and removed.

use std::ffi::OsStr;
use std::io::{self, ErrorKind};
use std::time::Instant;

use crate::stage::folder::{Folder, Kind};
use crate::usage::contents::Size;

/// How deep folders may be nested. Each level is an open file.
const MAX_DEPTH: usize = 200;

/// How many names of a folder are held at once while it is emptied.
const BATCH: usize = 1_000;

/// How often a folder is emptied again into which something is written meanwhile.
const ROUNDS: usize = 1_000_000;

/// What may still be counted.
#[derive(Debug)]
pub(super) struct Budget {
    /// Names.
    pub(super) names: u64,
    /// Until when.
    pub(super) until: Instant,
}

impl Budget {
    /// Takes one name; `false` if none is left.
    pub(super) fn take(&mut self) -> bool {
        // The clock is not asked for each name.
        if self.names.is_multiple_of(256) && Instant::now() >= self.until {
            self.names = 0;
        }
        let is_left = self.names > 0;
        self.names = self.names.saturating_sub(1);
        is_left
    }
}

/// Counts what a folder contains. What vanishes meanwhile does not count; what cannot be read makes the count incomplete.
pub(super) fn size(folder: &Folder, budget: &mut Budget) -> Size {
    let mut size = Size { is_whole: true, ..Size::default() };
    add(folder, &mut size, budget, 0);
    size
}

fn add(folder: &Folder, size: &mut Size, budget: &mut Budget, depth: usize) {
    let Ok(names) = folder.entries() else {
        size.is_whole = false;
        return;
    };
    for name in names {
        let (true, Ok(name)) = (depth < MAX_DEPTH && budget.take(), name) else {
            size.is_whole = false;
            return;
        };
        match folder.entry(&name) {
            Ok(entry) => match entry.kind {
                Kind::File(bytes) => {
                    let file = Size { bytes, files: 1, last_use: entry.last_use, is_whole: true };
                    *size = size.and(file);
                }
                Kind::Folder => match folder.folder(&name) {
                    Ok(inside) => add(&inside, size, budget, depth + 1),
                    Err(error) => size.is_whole &= error.kind() == ErrorKind::NotFound,
                },
                Kind::Other => {}
            },
            Err(error) => size.is_whole &= error.kind() == ErrorKind::NotFound,
        }
    }
}

/// The owner of a folder from which this process may not remove names, if there is one in the tree that has any.
///
/// # Errors
/// A folder cannot be read, or is nested too deep.
pub(super) fn locked(folder: &Folder, user: u32) -> io::Result<Option<u32>> {
    locked_below(folder, user, 0)
}

fn locked_below(folder: &Folder, user: u32, depth: usize) -> io::Result<Option<u32>> {
    check_depth(depth)?;
    for (index, name) in folder.entries()?.enumerate() {
        if index == 0 && !folder.is_writable() {
            return Ok(Some(user));
        }
        let name = name?;
        let Some(entry) = unless_gone(folder.entry(&name))?.filter(|entry| entry.kind == Kind::Folder) else {
            continue;
        };
        let inside = match folder.folder(&name) {
            Err(error) if error.kind() == ErrorKind::PermissionDenied => return Ok(Some(entry.user)),
            inside => unless_gone(inside)?,
        };
        let Some(inside) = inside else { continue };
        if let Some(owner) = locked_below(&inside, entry.user, depth + 1)? {
            return Ok(Some(owner));
        }
    }
    Ok(None)
}

/// Removes a folder of a folder with all that it contains; links are removed, not followed.
///
/// # Errors
/// Something cannot be removed, or is nested too deep. The rest is there still.
pub(super) fn remove(parent: &Folder, name: &OsStr) -> io::Result<()> {
    remove_below(parent, name, 0)
}

fn remove_below(parent: &Folder, name: &OsStr, depth: usize) -> io::Result<()> {
    check_depth(depth)?;
    let Some(folder) = unless_gone(parent.folder(name))? else { return Ok(()) };
    for _ in 0..ROUNDS {
        let names = folder.some_names(BATCH)?;
        for name in &names {
            match unless_gone(folder.entry(name))?.map(|entry| entry.kind) {
                Some(Kind::Folder) => remove_below(&folder, name, depth + 1)?,
                Some(_) => drop(unless_gone(folder.remove(name))?),
                None => {}
            }
        }
        match unless_gone(parent.remove_folder(name)) {
            // There was more than a batch, or an engine that still has the folder open writes to it.
            Err(error) if error.kind() == ErrorKind::DirectoryNotEmpty => {}
            result => return result.map(drop),
        }
    }
    Err(io::Error::other("it is written to faster than it can be removed"))
}

fn check_depth(depth: usize) -> io::Result<()> {
    if depth < MAX_DEPTH { Ok(()) } else { Err(io::Error::other(format!("it has more than {MAX_DEPTH} levels"))) }
}

/// The result of a step; `None` if what it was about does not exist.
pub(super) fn unless_gone<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}
