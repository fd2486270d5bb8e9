//! Restores the newest usable generation: unpacked beside its place, verified, and only then put in place.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::fmt::Display;
use std::io;
use std::sync::atomic::Ordering;

use crate::stage::archive::{self, Progress, unpack};
use crate::stage::digest::Digest;
use crate::stage::generation::{FORMAT, Manifest};
use crate::stage::handover::{Handover, Restored};
use crate::stage::layout::{Store, is_damaged};
use crate::stage::record::Reason;
use crate::stage::strikes;

/// What stays free on the local disk besides the cache, at least: below it, a kubelet evicts pods.
const SPARE: u64 = 1 << 30;

/// Why nothing was restored.
#[derive(Debug)]
pub struct NotRestored {
    /// For machines.
    pub reason: Reason,
    /// For people.
    pub detail: String,
    /// The generation that is to blame, if one is: this pod takes it for nothing any more.
    pub to_blame: Option<Digest>,
}

impl NotRestored {
    /// A reason that blames no generation.
    pub fn new(reason: Reason, detail: impl Display) -> Self {
        NotRestored { reason, detail: detail.to_string(), to_blame: None }
    }

    fn blaming(self, digest: &Digest) -> Self {
        let blames = matches!(self.reason, Reason::Damaged | Reason::TooLarge);
        NotRestored { to_blame: blames.then(|| digest.clone()), ..self }
    }
}

/// What is in place.
#[derive(Debug)]
pub struct InPlace {
    /// The generation, as the handover has it.
    pub restored: Restored,
    /// Its manifest.
    pub manifest: Manifest,
    /// Why no newer generation is in place, if there is one.
    pub newer: Option<NotRestored>,
}

/// Restores the newest usable generation of a store. One that is damaged is put aside, and the one before it is taken. `limit`
/// is the container's limit of ephemeral storage.
///
/// # Errors
/// Why nothing is in place.
pub fn restore(
    store: &Store,
    handover: &Handover,
    pod_uid: &str,
    limit: Option<u64>,
    progress: &Progress,
) -> Result<InPlace, NotRestored> {
    let pointer = store.pointer().map_err(claim)?;
    let (strikes, mut put_aside, mut newer) = (strikes::read(store), BTreeSet::new(), None);
    while let Some(digest) = pointer.usable(&strikes, &put_aside) {
        match restore_generation(store, digest, handover, pod_uid, limit, progress) {
            Ok((restored, manifest)) => return Ok(InPlace { restored, manifest, newer }),
            Err(not_restored) => {
                let not_restored = not_restored.blaming(digest);
                if not_restored.to_blame.is_none() {
                    return Err(not_restored);
                }
                put_aside.insert(digest.clone());
                // Without a note, a second stage of this pod would only try it again.
                drop(handover.put_aside(digest));
                newer.get_or_insert(not_restored);
            }
        }
    }
    Err(newer.unwrap_or_else(|| {
        let struck = format!("{} generations, all put aside by two pods", pointer.generations.len());
        let detail = if pointer.generations.is_empty() { "nothing is published yet".to_owned() } else { struck };
        NotRestored::new(Reason::NoneUsable, detail)
    }))
}

fn restore_generation(
    store: &Store,
    digest: &Digest,
    handover: &Handover,
    pod_uid: &str,
    limit: Option<u64>,
    progress: &Progress,
) -> Result<(Restored, Manifest), NotRestored> {
    let manifest = store.manifest(digest).map_err(published)?;
    if manifest.format != FORMAT {
        let detail = format!("the newest generation has format {}, and this version knows {FORMAT}", manifest.format);
        return Err(NotRestored::new(Reason::NoneUsable, detail));
    }
    if manifest.digest != *digest {
        return Err(NotRestored::new(Reason::Damaged, "the manifest is that of another archive"));
    }
    let Some(limits) = manifest.limits() else {
        let detail = format!("{} files with {} bytes", manifest.files, manifest.bytes);
        return Err(NotRestored::new(Reason::TooLarge, detail));
    };
    let local = &handover.local;
    check_room(manifest.bytes, local.folder.free_bytes().map_err(disk)?, limit)?;
    if !local.names().map_err(disk)?.is_empty() {
        return Err(NotRestored::new(Reason::NotEmpty, "the local cache has files already"));
    }
    progress.total.store(manifest.bytes, Ordering::Relaxed);
    let archive = store.archive(digest).map_err(published)?;

    let name = OsString::from(format!(".restore-{pod_uid}"));
    let unpack_and_place = || {
        local.remove(&name).map_err(disk)?;
        let folder = local.folder.make_folder(&name).map_err(disk)?;
        let unpacked = unpack(&archive, &folder, limits, progress).map_err(unpacking)?;
        let found = (&unpacked.digest, unpacked.archive_bytes, unpacked.files, unpacked.bytes);
        if found != (digest, manifest.archive_bytes, manifest.files, manifest.bytes) {
            return Err(NotRestored::new(Reason::Damaged, "digest, size or count differ from the manifest"));
        }
        // The engine may run, though a disk that failed has no note of it.
        if progress.is_cancelled() {
            return Err(NotRestored::new(Reason::TooLate, "the engine did not wait longer"));
        }
        let restored = Restored { generation: digest.clone(), files: manifest.files };
        let names = folder.names(usize::MAX).map_err(disk)?;
        let rename = || names.iter().try_for_each(|name| folder.rename(name, &local.folder, name));
        match handover.place(&restored, rename) {
            Ok(true) => Ok(restored),
            Ok(false) => Err(NotRestored::new(Reason::TooLate, "the engine did not wait longer")),
            Err(error) => Err(disk(error)),
        }
    };
    let restored = unpack_and_place();
    // A folder that is left is no cache of anyone: its name keeps it out of archives.
    drop(local.remove(&name));
    restored.map(|restored| (restored, manifest))
}

/// Whether a cache fits: a twentieth of its bytes, and at least a gigabyte, stay free on the disk, and it takes at most half
/// of what the container may write.
fn check_room(bytes: u64, free: u64, limit: Option<u64>) -> Result<(), NotRestored> {
    let needed = bytes.saturating_add((bytes / 20).max(SPARE));
    if free < needed {
        let detail = format!("the local disk has {free} bytes free, and {needed} are needed");
        return Err(NotRestored::new(Reason::NoSpace, detail));
    }
    match limit {
        Some(limit) if bytes > limit / 2 => {
            let detail = format!("{bytes} bytes are more than half of the limit of ephemeral storage, {limit}");
            Err(NotRestored::new(Reason::NoSpace, detail))
        }
        _ => Ok(()),
    }
}

fn unpacking(error: archive::Error) -> NotRestored {
    let reason = match &error {
        archive::Error::Damaged(_) | archive::Error::Refused(_) | archive::Error::Changed(_) => Reason::Damaged,
        archive::Error::TooLarge => Reason::TooLarge,
        archive::Error::Cancelled => Reason::TooLate,
        archive::Error::Claim(_) => Reason::ClaimFailed,
        archive::Error::Local(error) if is_full(error) => Reason::NoSpace,
        archive::Error::Local(_) => Reason::DiskFailed,
    };
    NotRestored::new(reason, error)
}

fn disk(error: io::Error) -> NotRestored {
    let reason = if is_full(&error) { Reason::NoSpace } else { Reason::DiskFailed };
    NotRestored::new(reason, error)
}

/// A pointer or manifest of other content blames the generation, and an error of the file system does not.
fn claim(error: io::Error) -> NotRestored {
    NotRestored::new(if is_damaged(&error) { Reason::Damaged } else { Reason::ClaimFailed }, error)
}

/// The same for what the pointer leads to, which has to exist.
fn published(error: io::Error) -> NotRestored {
    if error.kind() == io::ErrorKind::NotFound {
        return NotRestored::new(Reason::Damaged, "the pointer leads to nothing");
    }
    claim(error)
}

/// Whether the file system has no space or no files left, or its user no quota.
pub fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// Removes what an interrupted restore left.
pub fn clean(handover: &Handover, pod_uid: &str) {
    drop(handover.local.remove(OsStr::new(&format!(".restore-{pod_uid}"))));
}

#[cfg(test)]
mod tests {
    use super::{SPARE, check_room};
    use crate::stage::record::Reason;

    #[test]
    fn a_gigabyte_or_a_twentieth_stays_free_and_half_of_the_limit() {
        const GIB: u64 = 1 << 30;
        let refused = |bytes, free, limit| check_room(bytes, free, limit).err().map(|error| error.reason);
        assert_eq!(refused(GIB, GIB + SPARE, None), None);
        assert_eq!(refused(GIB, GIB + SPARE - 1, None), Some(Reason::NoSpace));
        assert_eq!(refused(100 * GIB, 105 * GIB, None), None);
        assert_eq!(refused(100 * GIB, 105 * GIB - 1, None), Some(Reason::NoSpace));
        assert_eq!(refused(GIB, 10 * GIB, Some(2 * GIB)), None);
        assert_eq!(refused(GIB, 10 * GIB, Some(2 * GIB - 1)), Some(Reason::NoSpace));
        assert_eq!(refused(u64::MAX, u64::MAX - 1, None), Some(Reason::NoSpace));
    }
}
