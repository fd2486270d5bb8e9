//! Publishes the local cache: packed straight to the claim, verified, named, and only then pointed to.

use std::collections::BTreeSet;
use std::io;

use k8s_openapi::jiff::Timestamp;

use crate::stage::archive::{self, Inventory, Packed, inventory, pack};
use crate::stage::digest::Digest;
use crate::stage::folder::Folder;
use crate::stage::generation::{FORMAT, Manifest, Pointer};
use crate::stage::layout::{Store, is_damaged};
use crate::stage::record::Reason;
use crate::stage::restore::is_full;
use crate::stage::strikes;

/// What the manifest says besides what is packed.
#[derive(Clone, Debug)]
pub struct Origin {
    /// Image, GPU and command line, as parts of the cache's key.
    pub key: String,
    /// The engine.
    pub engine: String,
    /// The engine's image.
    pub image: String,
    /// The node in words.
    pub node: Vec<String>,
    /// The pod, as NAMESPACE/NAME.
    pub pod: String,
    /// The seconds until the engine was ready.
    pub seconds_to_ready: Option<u64>,
}

/// Why nothing was published.
#[derive(Debug)]
pub struct NotPublished {
    /// For machines.
    pub reason: Reason,
    /// For people.
    pub detail: Option<String>,
}

impl NotPublished {
    fn new(reason: Reason) -> Self {
        NotPublished { reason, detail: None }
    }
}

/// Counts the cache, if it has files that were not restored.
fn count_added(local: &Folder, restored_files: u64) -> Result<Inventory, NotPublished> {
    let found = inventory(local).map_err(packing)?;
    if found.files > restored_files { Ok(found) } else { Err(NotPublished::new(Reason::NothingAdded)) }
}

/// Publishes the cache as a generation of the store. Generations that are `put_aside` count as if they did not exist.
///
/// # Errors
/// Why it is not published; then the claim is as before.
pub fn publish(
    store: &Store,
    local: &Folder,
    restored_files: u64,
    put_aside: &BTreeSet<Digest>,
    origin: &Origin,
) -> Result<Manifest, NotPublished> {
    let before = count_added(local, restored_files)?;
    check_uncovered(store, put_aside, &before)?;
    let published = pack_and_point(store, local, &before, put_aside, origin);
    store.abandon();
    published
}

fn pack_and_point(
    store: &Store,
    local: &Folder,
    before: &Inventory,
    put_aside: &BTreeSet<Digest>,
    origin: &Origin,
) -> Result<Manifest, NotPublished> {
    let archive = store.begin().map_err(|error| claim(&error))?;
    let packed = pack(local, &archive).map_err(packing)?;
    if packed.inventory != *before || inventory(local).map_err(packing)? != *before {
        return Err(NotPublished::new(Reason::Changed));
    }
    let manifest = manifest(&packed, origin);
    // The same bytes are a generation already, which a failure further down would remove.
    if complete(store, &manifest.digest).is_some() {
        return Err(NotPublished::new(Reason::AlreadyPublished));
    }
    store.keep(&manifest).map_err(|error| claim(&error))?;
    point(store, &manifest, before, put_aside).inspect_err(|_| store.remove(&manifest.digest))?;
    Ok(manifest)
}

/// Points to a generation, and removes what the pointer no longer leads to.
fn point(
    store: &Store,
    manifest: &Manifest,
    inventory: &Inventory,
    put_aside: &BTreeSet<Digest>,
) -> Result<(), NotPublished> {
    // Another pod may have been faster. Packing took its time, so the pointer is read again.
    check_uncovered(store, put_aside, inventory)?;
    let (mut pointer, strikes) = (store.pointer().unwrap_or_default(), strikes::read(store));
    pointer.generations.retain(|digest| complete(store, digest).is_some());
    let (next, retired) = pointer.with(&manifest.digest, &strikes);
    let known = [next.generations.clone(), retired.clone()].concat();
    let sizes = store.leftovers(&known).map_err(|error| claim(&error))?;
    let (leftovers, abandoned) = pointer.sort_leftovers(sizes);
    store.point(&Pointer { leftovers, ..next }).map_err(|error| claim(&error))?;
    for digest in retired {
        store.remove(&digest);
        strikes::clear(store, &digest);
    }
    for name in abandoned {
        store.remove_leftover(&name);
    }
    Ok(())
}

/// Checks that no generation has as much already.
fn check_uncovered(store: &Store, put_aside: &BTreeSet<Digest>, inventory: &Inventory) -> Result<(), NotPublished> {
    // A pointer that is damaged or leads to nothing is replaced by one that does not.
    let pointer = match store.pointer() {
        Err(error) if !is_damaged(&error) => return Err(claim(&error)),
        pointer => pointer.unwrap_or_default(),
    };
    let newest = pointer.usable(&strikes::read(store), put_aside);
    match newest.and_then(|digest| complete(store, digest)) {
        Some(manifest) if manifest.covers(inventory) => Err(NotPublished::new(Reason::AlreadyPublished)),
        _ => Ok(()),
    }
}

/// The manifest of a generation, unless a part of the generation is missing.
fn complete(store: &Store, digest: &Digest) -> Option<Manifest> {
    let manifest = store.manifest(digest).ok().filter(|manifest| manifest.format == FORMAT)?;
    let archive = store.archive(digest).and_then(|archive| archive.metadata()).ok()?;
    (archive.len() == manifest.archive_bytes).then_some(manifest)
}

fn manifest(packed: &Packed, origin: &Origin) -> Manifest {
    let Origin { key, engine, image, node, pod, seconds_to_ready } = origin.clone();
    Manifest {
        format: FORMAT,
        digest: packed.digest.clone(),
        archive_bytes: packed.archive_bytes,
        files: packed.inventory.files,
        bytes: packed.inventory.bytes,
        key,
        engine,
        image,
        node,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        created: Timestamp::now().to_string(),
        pod,
        seconds_to_ready,
    }
}

fn packing(error: archive::Error) -> NotPublished {
    match error {
        archive::Error::Claim(error) => claim(&error),
        archive::Error::Changed(_) => NotPublished { reason: Reason::Changed, detail: Some(error.to_string()) },
        archive::Error::TooLarge => NotPublished { reason: Reason::TooLarge, detail: Some(error.to_string()) },
        error => NotPublished { reason: Reason::DiskFailed, detail: Some(error.to_string()) },
    }
}

/// Why the claim cannot be written.
pub fn claim(error: &io::Error) -> NotPublished {
    let reason = match error.kind() {
        _ if is_full(error) => Reason::ClaimFull,
        io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::PermissionDenied => Reason::ClaimNotWritable,
        _ => Reason::ClaimFailed,
    };
    NotPublished { reason, detail: Some(error.to_string()) }
}
