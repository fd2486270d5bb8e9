//! The models on a claim, in the layout of a Hugging Face hub.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::path::Path;

use crate::stage::folder::{Entry, Folder, Kind};
use crate::usage::contents::{Model, Revision, Size};
use crate::usage::first::{First, Largest};
use crate::usage::tree::Budget;

/// What the folder of a model begins with.
const MODELS: &str = "models--";

/// The most revisions of a model that are listed.
const MAX_REVISIONS: usize = 50;

/// The most revisions of a hub that are listed. With the longest names, they fit into the log that is read.
const ALL_REVISIONS: usize = 2_000;

/// The most files of a model by whose names revisions find them. The models of the hub have hundreds.
const MAX_FILES: usize = 100_000;

/// The most names that are listed of those that lead to a revision.
const MAX_REFS: usize = 5;

/// The longest name of them, in bytes.
const LONGEST_REF: usize = 200;

/// The most commits whose names are kept.
const MAX_NAMED: usize = 10_000;

/// The most bytes of a ref: it is a commit.
const MAX_REF: u64 = 200;

/// How deep the folders of a snapshot or of refs may be nested.
const MAX_DEPTH: usize = 50;

/// The files of a model, by their names in `blobs/`.
type Blobs = BTreeMap<OsString, Size>;

/// Measures the models of a hub, and adds them. `path` is its path from the root of the claim.
pub(super) fn models(hub: &Folder, path: &str, budget: &mut Budget, found: &mut Largest<Model>) {
    let mut left = ALL_REVISIONS;
    for name in hub.entries().into_iter().flatten().flatten() {
        let model = name.to_str().and_then(|name| name.strip_prefix(MODELS)).filter(|model| is_model(model));
        let (Some(model), Ok(folder)) = (model, hub.folder(&name)) else { continue };
        let (size, revisions) = measured(hub, &folder, budget);
        let (mut revisions, omitted) = revisions.into_parts();
        found.omit(omitted + revisions.len().saturating_sub(left) as u64);
        revisions.truncate(left);
        left -= revisions.len();
        found.push(Model { model: model.replacen("--", "/", 1), hub: path.to_owned(), size, revisions });
    }
}

/// Whether the rest of a folder's name can be that of a model: no other text is shown as one.
fn is_model(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
}

/// The revisions, the last used first.
type Revisions = First<Revision, Reverse<(i64, String)>>;

fn measured(hub: &Folder, model: &Folder, budget: &mut Budget) -> (Size, Revisions) {
    let mut blobs = Blobs::new();
    let mut size = Size { is_whole: true, ..Size::default() };
    if let Ok(folder) = model.folder(OsStr::new("blobs")) {
        for name in folder.entries().into_iter().flatten().flatten() {
            if !budget.take() {
                size.is_whole = false;
                break;
            }
            let Ok(entry) = folder.entry(&name) else { continue };
            let file = match entry.kind {
                Kind::Other => folder.link(&name).ok().and_then(|target| shared(hub, &target)),
                _ => file(&entry),
            };
            if let Some(file) = file {
                size = size.and(file);
                if blobs.len() < MAX_FILES {
                    blobs.insert(name, file);
                }
            }
        }
    }
    let refs = refs(model, budget);
    let mut revisions =
        Revisions::new(MAX_REVISIONS, |revision| Reverse((revision.size.last_use, revision.revision.clone())));
    if let Ok(snapshots) = model.folder(OsStr::new("snapshots")) {
        for name in snapshots.entries().into_iter().flatten().flatten() {
            let Some(commit) = name.to_str().filter(|name| is_commit(name)) else { continue };
            let Ok(folder) = snapshots.folder(&name) else { continue };
            let mut snapshot = Snapshot { links: BTreeSet::new(), own: Size { is_whole: true, ..Size::default() } };
            snapshot.add(&folder, budget, 0);
            // Where links are not supported, the snapshot has the files itself.
            size = size.and(snapshot.own);
            let linked = snapshot.links.iter().filter_map(|name| blobs.get(name));
            let mut whole = linked.fold(snapshot.own, |size, file| size.and(*file));
            whole.is_whole &= blobs.len() < MAX_FILES;
            let refs = refs.get(commit).cloned().unwrap_or_default();
            revisions.push(Revision { revision: commit.to_owned(), refs, size: whole });
        }
    }
    (size, revisions)
}

fn file(entry: &Entry) -> Option<Size> {
    match entry.kind {
        Kind::File(bytes) => Some(Size { bytes, files: 1, last_use: entry.last_use, is_whole: true }),
        _ => None,
    }
}

/// The file of the hub's own store to which a blob is a link: `../../blobs/XX/HASH`. No other target counts.
fn shared(hub: &Folder, target: &OsStr) -> Option<Size> {
    let mut parts = Path::new(target.to_str()?.strip_prefix("../../blobs/")?).iter();
    let (group, name) = (parts.next()?, parts.next()?);
    if parts.next().is_some() {
        return None;
    }
    let store = hub.folder(OsStr::new("blobs")).ok()?;
    file(&store.folder(group).ok()?.entry(name).ok()?)
}

/// What a revision has.
struct Snapshot {
    /// The names in `blobs/` that its links lead to.
    links: BTreeSet<OsString>,
    /// The files that are no links.
    own: Size,
}

impl Snapshot {
    fn add(&mut self, folder: &Folder, budget: &mut Budget, depth: usize) {
        for name in folder.entries().into_iter().flatten().flatten() {
            if depth == MAX_DEPTH || self.links.len() == MAX_FILES || !budget.take() {
                self.own.is_whole = false;
                return;
            }
            let Ok(entry) = folder.entry(&name) else { continue };
            match entry.kind {
                Kind::File(_) => self.own = file(&entry).map_or(self.own, |file| self.own.and(file)),
                Kind::Folder => {
                    if let Ok(inside) = folder.folder(&name) {
                        self.add(&inside, budget, depth + 1);
                    }
                }
                Kind::Other => {
                    let target = folder.link(&name).unwrap_or_default();
                    let target = Path::new(&target);
                    let is_blob = target.parent().and_then(Path::file_name).is_some_and(|parent| parent == "blobs");
                    self.links.extend(target.file_name().filter(|_| is_blob).map(OsStr::to_owned));
                }
            }
        }
    }
}

/// The first names that lead to each commit.
type Refs = BTreeMap<String, First<String, String>>;

/// The names that lead to each commit.
fn refs(model: &Folder, budget: &mut Budget) -> BTreeMap<String, Vec<String>> {
    let mut found = Refs::new();
    if let Ok(folder) = model.folder(OsStr::new("refs")) {
        add_refs(&folder, "", &mut found, budget, 0);
    }
    found.into_iter().map(|(commit, names)| (commit, names.into_parts().0)).collect()
}

fn add_refs(folder: &Folder, path: &str, found: &mut Refs, budget: &mut Budget, depth: usize) {
    for name in folder.entries().into_iter().flatten().flatten() {
        if depth == MAX_DEPTH || !budget.take() {
            return;
        }
        let Some(text) = name.to_str().filter(|name| !name.starts_with('.')) else { continue };
        let path = if path.is_empty() { text.to_owned() } else { format!("{path}/{text}") };
        match folder.entry(&name).map(|entry| entry.kind) {
            Ok(Kind::Folder) => {
                if let Ok(inside) = folder.folder(&name) {
                    add_refs(&inside, &path, found, budget, depth + 1);
                }
            }
            Ok(Kind::File(_)) => {
                let content = folder.read(&name, MAX_REF).ok().and_then(|content| String::from_utf8(content).ok());
                let Some(commit) = content.as_deref().map(str::trim).filter(|commit| is_commit(commit)) else {
                    continue;
                };
                if path.len() <= LONGEST_REF && (found.len() < MAX_NAMED || found.contains_key(commit)) {
                    let names = found.entry(commit.to_owned());
                    names.or_insert_with(|| First::new(MAX_REFS, String::clone)).push(path);
                }
            }
            _ => {}
        }
    }
}

/// Whether a name can be that of a commit.
fn is_commit(name: &str) -> bool {
    (1..=64).contains(&name.len()) && name.bytes().all(|byte| byte.is_ascii_alphanumeric())
}
