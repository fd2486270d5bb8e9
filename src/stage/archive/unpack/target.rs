//! The folder that an archive is unpacked into: each path is taken apart, and its folders stay open for the next.

use std::ffi::{OsStr, OsString};
use std::fs::FileTimes;
use std::io::{self, ErrorKind, Read, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime};

use super::{Limits, Progress};
use crate::stage::archive::rules::{Rule, rule};
use crate::stage::archive::{CHUNK, Error, MAX_DEPTH, MAX_FILES};
use crate::stage::folder::{Folder, Kind, Modified};

/// The longest name that Linux knows.
const MAX_NAME: usize = 255;

/// Restored files are on the local disk of one pod, whose containers may have different users.
const FILE_MODE: u32 = 0o666;

/// Where an archive is unpacked to.
pub(super) struct Target<'a> {
    root: &'a Folder,
    limits: Limits,
    progress: &'a Progress,
    /// The folders on the way to the last path.
    open: Vec<(OsString, Folder)>,
    files: u64,
    folders: u64,
    bytes: u64,
    chunk: Vec<u8>,
}

impl<'a> Target<'a> {
    pub(super) fn new(root: &'a Folder, limits: Limits, progress: &'a Progress) -> Self {
        Target { root, limits, progress, open: Vec::new(), files: 0, folders: 0, bytes: 0, chunk: vec![0; CHUNK] }
    }

    /// The number of files, and the bytes of all of them.
    pub(super) fn finish(self) -> (u64, u64) {
        (self.files, self.bytes)
    }

    /// Makes a folder, or sets the time of one that is there because of what is in it.
    pub(super) fn folder(&mut self, path: &[u8], modified: Modified) -> Result<(), Error> {
        let path = components(path.strip_suffix(b"/").unwrap_or(path))?;
        let folder = self.enter(&path)?;
        folder.as_file().set_times(times(modified)?).map_err(Error::Local)
    }

    /// Writes a file.
    pub(super) fn file(
        &mut self,
        path: &[u8],
        modified: Modified,
        size: u64,
        content: &mut dyn Read,
    ) -> Result<(), Error> {
        let path = components(path)?;
        let (name, folders) = path.split_last().ok_or_else(|| refused_path(path.join(OsStr::new("/")).as_bytes()))?;
        allow(name, Kind::File(size))?;
        // Before a byte is written, since the disk may be small.
        if self.files == self.limits.files || size > self.limits.bytes.saturating_sub(self.bytes) {
            return Err(Error::Damaged("it has more than its manifest says".to_owned()));
        }
        self.files += 1;
        let mut chunk = std::mem::take(&mut self.chunk);
        let mut file = self.enter(folders)?.create(name, FILE_MODE).map_err(exists)?;
        let mut left = size;
        while left > 0 {
            let count = match content.read(&mut chunk) {
                Ok(0) => return Err(Error::Damaged("it ends in the middle of a file".to_owned())),
                Ok(count) => count,
                Err(error) => return Err(Error::Damaged(error.to_string())),
            };
            file.write_all(chunk.get(..count).unwrap_or_default()).map_err(Error::Local)?;
            left = left.saturating_sub(count as u64);
            self.bytes += count as u64;
            self.progress.written.store(self.bytes, Ordering::Relaxed);
            self.check_cancelled()?;
        }
        self.chunk = chunk;
        file.set_times(times(modified)?).map_err(Error::Local)
    }

    /// The folder at a path, made with those above it if they are missing.
    fn enter(&mut self, path: &[&OsStr]) -> Result<&Folder, Error> {
        self.check_cancelled()?;
        let common = self.open.iter().zip(path).take_while(|((open, _), name)| open == *name).count();
        self.open.truncate(common);
        for name in path.iter().skip(common) {
            allow(name, Kind::Folder)?;
            self.folders += 1;
            if self.folders > 2 * MAX_FILES {
                return Err(Error::TooLarge);
            }
            let inside = self.innermost().make_folder(name).map_err(exists)?;
            self.open.push(((*name).to_owned(), inside));
        }
        Ok(self.innermost())
    }

    fn innermost(&self) -> &Folder {
        self.open.last().map_or(self.root, |(_, folder)| folder)
    }

    fn check_cancelled(&self) -> Result<(), Error> {
        if self.progress.is_cancelled() { Err(Error::Cancelled) } else { Ok(()) }
    }
}

/// The components of a path that stays below its root.
fn components(path: &[u8]) -> Result<Vec<&OsStr>, Error> {
    let components: Vec<_> = path.split(|byte| *byte == b'/').collect();
    let is_name = |name: &&[u8]| {
        !name.is_empty() && *name != b"." && *name != b".." && name.len() <= MAX_NAME && !name.contains(&0)
    };
    if components.len() > MAX_DEPTH || !components.iter().all(is_name) {
        return Err(refused_path(path));
    }
    Ok(components.into_iter().map(OsStr::from_bytes).collect())
}

/// Refuses the names that no archive has.
fn allow(name: &OsStr, kind: Kind) -> Result<(), Error> {
    if rule(name, kind) == Rule::Keep { Ok(()) } else { Err(refused_path(name.as_bytes())) }
}

fn refused_path(path: &[u8]) -> Error {
    let begin: String = String::from_utf8_lossy(path).chars().take(100).collect();
    Error::Refused(format!("the path {begin:?}"))
}

/// The folder was empty, so a name that exists is in the archive twice.
fn exists(error: io::Error) -> Error {
    match error.kind() {
        ErrorKind::AlreadyExists | ErrorKind::NotADirectory => Error::Damaged("it has a path twice".to_owned()),
        _ => Error::Local(error),
    }
}

fn times(modified: Modified) -> Result<FileTimes, Error> {
    let seconds = Duration::from_secs(modified.seconds.unsigned_abs());
    let whole = if modified.seconds < 0 {
        SystemTime::UNIX_EPOCH.checked_sub(seconds)
    } else {
        SystemTime::UNIX_EPOCH.checked_add(seconds)
    };
    let time = whole.and_then(|whole| whole.checked_add(Duration::from_nanos(modified.nanoseconds.into())));
    Ok(FileTimes::new().set_modified(time.ok_or_else(|| Error::Damaged("a time is out of range".to_owned()))?))
}
