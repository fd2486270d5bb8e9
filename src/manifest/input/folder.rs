//! The files of a folder, as kubectl finds them.

use std::fs::{self, DirEntry};
use std::io;
use std::path::{Path, PathBuf};

use anyhow::Context;

/// The files with objects in a folder, in the order of their names; with those of the folders below it if `recursive`. Like
/// kubectl, it does not follow links to folders: they may lead back.
///
/// # Errors
/// A folder cannot be read, or there is no such file.
pub(super) fn files(folder: &Path, recursive: bool) -> anyhow::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    add(folder, recursive, &mut found)?;
    let below = if recursive { "" } else { "; -R reads the folders below it" };
    anyhow::ensure!(!found.is_empty(), "{}: no file ends in .yaml, .yml or .json{below}", folder.display());
    Ok(found)
}

fn add(folder: &Path, recursive: bool, found: &mut Vec<PathBuf>) -> anyhow::Result<()> {
    let read = || format!("failed to read {}", folder.display());
    let entries = fs::read_dir(folder).with_context(read)?;
    let mut entries = entries.collect::<io::Result<Vec<_>>>().with_context(read)?;
    entries.sort_by_key(DirEntry::path);
    for entry in entries {
        let (path, kind) = (entry.path(), entry.file_type().with_context(read)?);
        let is_object = path.extension().is_some_and(|end| end == "yaml" || end == "yml" || end == "json");
        if kind.is_dir() {
            if recursive {
                add(&path, recursive, found)?;
            }
        } else if is_object && !(kind.is_symlink() && path.is_dir()) {
            found.push(path);
        }
    }
    Ok(())
}
