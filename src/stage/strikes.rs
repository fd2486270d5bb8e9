//! Strikes against generations: one file for each pod whose engine died on it twice.

use std::ffi::OsStr;
use std::io;

use crate::stage::digest::Digest;
use crate::stage::folder::Durability;
use crate::stage::generation::Strikes;
use crate::stage::layout::Store;
use crate::stage::record::Record;

const FOLDER: &str = "strikes";

/// The most strikes that are read. A start that becomes ready removes those of its generation.
const MAX_NAMES: usize = 10_000;

/// Reads all strikes; none if they cannot be read, since that is no reason to start cold.
pub fn read(store: &Store) -> Strikes {
    let names = store.folder(FOLDER).and_then(|folder| folder.names(MAX_NAMES)).unwrap_or_default();
    let mut strikes = Strikes::new();
    for (digest, pod_uid) in names.iter().filter_map(|name| parse(name)) {
        strikes.entry(digest).or_default().insert(pod_uid);
    }
    strikes
}

/// Adds the strike of a pod, with the reason as its content.
///
/// # Errors
/// The claim cannot be written.
pub fn add(store: &Store, digest: &Digest, pod_uid: &str, why: &Record) -> io::Result<()> {
    let name = format!("{digest}-{pod_uid}");
    let temporary = format!(".{name}");
    store.make_folder(FOLDER)?.replace(
        OsStr::new(&name),
        OsStr::new(&temporary),
        &serde_json::to_vec(why)?,
        Durability::Crash,
    )
}

/// Removes the strikes against a generation.
pub fn clear(store: &Store, digest: &Digest) {
    let Ok(folder) = store.folder(FOLDER) else { return };
    let names = folder.names(MAX_NAMES).unwrap_or_default();
    for name in names.iter().filter(|name| parse(name).is_some_and(|(struck, _)| struck == *digest)) {
        // Two starts may clear the same one.
        drop(folder.remove(name));
    }
}

/// The generation and the pod of a strike's name.
fn parse(name: &OsStr) -> Option<(Digest, String)> {
    let (digest, pod_uid) = name.to_str()?.split_once('-')?;
    Some((Digest::try_from(digest.to_owned()).ok()?, pod_uid.to_owned()))
}
