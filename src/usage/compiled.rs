//! The compile caches on a claim: folders of mode `direct`, and archives of mode `staged`.

use std::ffi::OsStr;
use std::path::Path;

use crate::admission::plan;
use crate::stage::folder;
use crate::stage::folder::Kind;
use crate::stage::layout::{Location, Store, VERSION};
use crate::stage::strikes;
use crate::usage::cache_path;
use crate::usage::contents::{Archives, Folder, Generation, Size};
use crate::usage::first::Largest;
use crate::usage::tree::{self, Budget};

/// The most generations of one key and node that are listed. There are two, unless somebody else wrote the pointer.
const MAX_GENERATIONS: usize = 10;

/// Adds the compile caches of mode `direct`: those that their names show, and `others` by their paths; and what an interrupted
/// removal has left, in the root and with the archives.
pub(super) fn folders(
    root: &folder::Folder,
    others: &[String],
    budget: &mut Budget,
    folders: &mut Largest<Folder>,
    unfinished: &mut Largest<Folder>,
) {
    for name in root.entries().into_iter().flatten().flatten() {
        let Some(text) = name.to_str() else { continue };
        if cache_path::is_unfinished(&name) {
            unfinished.extend(measured(root, text, text, budget));
        } else if plan::is_compile_folder(text) {
            folders.extend(measured(root, text, text, budget));
        }
    }
    for path in others.iter().filter(|path| !plan::is_compile_folder(path)) {
        folders.extend(measured_below(root, path, path, budget));
    }
    if let Ok(staged) = root.folder(OsStr::new(VERSION)) {
        for name in staged.entries().into_iter().flatten().flatten().filter(|name| cache_path::is_unfinished(name)) {
            let Some(text) = name.to_str() else { continue };
            unfinished.extend(measured(&staged, text, &format!("{VERSION}/{text}"), budget));
        }
    }
}

/// Measures the folder at a path below another one; `None` if there is none.
fn measured_below(parent: &folder::Folder, below: &str, path: &str, budget: &mut Budget) -> Option<Folder> {
    match below.split_once('/') {
        None => measured(parent, below, path, budget),
        Some((name, rest)) => measured_below(&parent.folder(OsStr::new(name)).ok()?, rest, path, budget),
    }
}

/// Measures a folder; `None` if there is none of this name.
fn measured(parent: &folder::Folder, name: &str, path: &str, budget: &mut Budget) -> Option<Folder> {
    let entry = parent.entry(OsStr::new(name)).ok().filter(|entry| entry.kind == Kind::Folder)?;
    let size = size(parent, OsStr::new(name), entry.modified, budget);
    Some(Folder { path: path.to_owned(), user: entry.user, size })
}

/// The size of a folder. One without files was last used when it was last changed.
fn size(parent: &folder::Folder, name: &OsStr, modified: i64, budget: &mut Budget) -> Size {
    let size = parent.folder(name).map(|folder| tree::size(&folder, budget)).unwrap_or_default();
    if size.files == 0 { Size { last_use: modified, ..size } } else { size }
}

/// Adds the archives of mode `staged`. `claim` is the folder where the claim is mounted.
pub(super) fn archives(root: &folder::Folder, claim: &Path, budget: &mut Budget, archives: &mut Largest<Archives>) {
    let Ok(keys) = root.folder(OsStr::new(VERSION)) else { return };
    for key in keys.entries().into_iter().flatten().flatten().filter(|key| !cache_path::is_unfinished(key)) {
        let (Some(text), Ok(nodes)) = (key.to_str(), keys.folder(&key)) else { continue };
        let names = nodes.entries().into_iter().flatten().flatten();
        archives.extend(names.filter_map(|node| {
            let entry = nodes.entry(&node).ok().filter(|entry| entry.kind == Kind::Folder)?;
            let location = Location {
                claim: claim.to_owned(),
                key: text.to_owned(),
                node: node.to_str()?.to_owned(),
                pod_uid: String::new(),
            };
            Some(Archives {
                path: format!("{VERSION}/{text}"),
                size: size(&nodes, &node, entry.modified, budget),
                user: entry.user,
                generations: generations(&location),
                node: location.node,
            })
        }));
    }
}

/// The generations that pods may take, or could if they were not struck.
fn generations(location: &Location) -> Vec<Generation> {
    let Ok(store) = Store::open(location) else { return Vec::new() };
    let (Ok(pointer), strikes) = (store.pointer(), strikes::read(&store)) else { return Vec::new() };
    let generation = |digest| {
        let manifest = store.manifest(digest).ok();
        Generation {
            digest: digest.to_string(),
            bytes: manifest.as_ref().map(|manifest| manifest.archive_bytes),
            created: manifest.map(|manifest| manifest.created.chars().take(40).collect()),
            strikes: strikes.get(digest).map_or(0, std::collections::BTreeSet::len),
        }
    };
    pointer.generations.iter().take(MAX_GENERATIONS).map(generation).collect()
}
