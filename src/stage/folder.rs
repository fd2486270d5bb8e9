//! An open folder: what is in it is reached by one name at a time, and no link is ever followed.

use std::ffi::{OsStr, OsString};
use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;

use rustix::fs::{Access, AtFlags, Dir, FileType, Mode, OFlags, Stat};

/// Files are readable for all, because pods of different users share a claim.
const FILE_MODE: u32 = 0o644;

/// Folders are writable for all, for the same reason.
const FOLDER_MODE: u32 = 0o777;

/// An open folder. No path is resolved below it, so replacing a folder by a link gains an attacker nothing.
#[derive(Debug)]
pub struct Folder(File);

/// What a name in a folder is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A plain file of this many bytes.
    File(u64),
    /// A folder.
    Folder,
    /// A link, a device, a pipe or a socket.
    Other,
}

/// What a name in a folder is, with its owner and its last use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// What it is.
    pub kind: Kind,
    /// The uid of its owner.
    pub user: u32,
    /// When it was last modified, in seconds since 1970.
    pub modified: i64,
    /// When it was last read or written, in seconds since 1970. Many file systems note a read at most once a day, or never.
    pub last_use: i64,
}

/// The time of the last modification: seconds since 1970 and nanoseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Modified {
    /// Whole seconds, negative before 1970.
    pub seconds: i64,
    /// Nanoseconds after that second.
    pub nanoseconds: u32,
}

/// What a replaced file survives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// The end of the process. Nothing waits for a disk.
    Process,
    /// A crash of the machine.
    Crash,
}

impl Folder {
    /// Opens a folder by its path, whose links are followed: it is the root of a mount.
    ///
    /// # Errors
    /// The path cannot be opened, or is no folder.
    pub fn open(path: &Path) -> io::Result<Self> {
        let flags = OFlags::DIRECTORY.bits().cast_signed();
        Ok(Folder(OpenOptions::new().read(true).custom_flags(flags).open(path)?))
    }

    /// Opens a folder in this one.
    ///
    /// # Errors
    /// It cannot be opened, or is a link or no folder.
    pub fn folder(&self, name: &OsStr) -> io::Result<Self> {
        self.open_at(name, OFlags::RDONLY | OFlags::DIRECTORY, 0).map(Folder)
    }

    /// Opens a folder in this one, and makes it first if it is missing. Everyone may write to it.
    ///
    /// # Errors
    /// It cannot be made or opened.
    pub fn make_folder(&self, name: &OsStr) -> io::Result<Self> {
        match rustix::fs::mkdirat(&self.0, single(name)?, Mode::from_raw_mode(FOLDER_MODE)) {
            Ok(()) => {
                let made = self.folder(name)?;
                // Some file systems know no modes, and what the mask took away is no reason to fail there.
                let _ = rustix::fs::fchmod(&made.0, Mode::from_raw_mode(FOLDER_MODE));
                Ok(made)
            }
            Err(rustix::io::Errno::EXIST) => self.folder(name),
            Err(error) => Err(error.into()),
        }
    }

    /// Opens a plain file for reading.
    ///
    /// # Errors
    /// It cannot be opened, or is no plain file.
    pub fn file(&self, name: &OsStr) -> io::Result<File> {
        // Opening a pipe would wait for its writer.
        let file = self.open_at(name, OFlags::RDONLY | OFlags::NONBLOCK, 0)?;
        if file.metadata()?.is_file() { Ok(file) } else { Err(invalid("it is not a plain file".to_owned())) }
    }

    /// Creates a file that does not exist yet, for writing.
    ///
    /// # Errors
    /// It exists, or cannot be created.
    pub fn create(&self, name: &OsStr, mode: u32) -> io::Result<File> {
        let file = self.open_at(name, OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL, mode)?;
        if file.metadata()?.mode() & 0o7777 != mode {
            let _ = rustix::fs::fchmod(&file, Mode::from_raw_mode(mode));
        }
        Ok(file)
    }

    /// Opens a file for reading and writing, and creates it if it is missing.
    ///
    /// # Errors
    /// It cannot be opened or created.
    pub fn open_or_create(&self, name: &OsStr) -> io::Result<File> {
        self.open_at(name, OFlags::RDWR | OFlags::CREATE | OFlags::NONBLOCK, 0o666)
    }

    /// Reads a file completely.
    ///
    /// # Errors
    /// It cannot be read, is no plain file, or has more than `limit` bytes.
    pub fn read(&self, name: &OsStr, limit: u64) -> io::Result<Vec<u8>> {
        let mut content = Vec::new();
        self.file(name)?.take(limit + 1).read_to_end(&mut content)?;
        if content.len() as u64 > limit {
            return Err(invalid(format!("it has more than {limit} bytes")));
        }
        Ok(content)
    }

    /// Replaces a file as a whole: a reader finds the old content or the new.
    ///
    /// # Errors
    /// The content cannot be written under `temporary`, or not be renamed; then `temporary` is removed.
    pub fn replace(&self, name: &OsStr, temporary: &OsStr, content: &[u8], durability: Durability) -> io::Result<()> {
        drop(self.remove(temporary));
        let write = || {
            let mut file = self.create(temporary, FILE_MODE)?;
            file.write_all(content)?;
            if durability == Durability::Crash {
                file.sync_all()?;
            }
            self.rename(temporary, self, name)
        };
        write().inspect_err(|_| drop(self.remove(temporary)))
    }

    /// Renames a file or folder, into another folder of the same file system as well.
    ///
    /// # Errors
    /// It cannot be renamed.
    pub fn rename(&self, from: &OsStr, into: &Folder, to: &OsStr) -> io::Result<()> {
        Ok(rustix::fs::renameat(&self.0, single(from)?, &into.0, single(to)?)?)
    }

    /// Removes a file or a link.
    ///
    /// # Errors
    /// It cannot be removed; also if it does not exist.
    pub fn remove(&self, name: &OsStr) -> io::Result<()> {
        Ok(rustix::fs::unlinkat(&self.0, single(name)?, AtFlags::empty())?)
    }

    /// Removes an empty folder.
    ///
    /// # Errors
    /// It cannot be removed; also if it does not exist, or has anything in it.
    pub fn remove_folder(&self, name: &OsStr) -> io::Result<()> {
        Ok(rustix::fs::unlinkat(&self.0, single(name)?, AtFlags::REMOVEDIR)?)
    }

    /// The names in the folder, in no order, up to a limit.
    ///
    /// # Errors
    /// The folder cannot be read, or has more names.
    pub fn names(&self, limit: usize) -> io::Result<Vec<OsString>> {
        let mut names = Vec::new();
        for name in self.entries()? {
            if names.len() == limit {
                return Err(io::Error::other(format!("a folder has more than {limit} names")));
            }
            names.push(name?);
        }
        Ok(names)
    }

    /// The names in the folder, in no order, up to a limit; the rest is left for another call.
    ///
    /// # Errors
    /// The folder cannot be read.
    pub fn some_names(&self, limit: usize) -> io::Result<Vec<OsString>> {
        let names = self.entries()?.take(limit);
        names.collect()
    }

    /// The names in the folder, in no order, one by one.
    ///
    /// # Errors
    /// The folder cannot be read.
    pub fn entries(&self) -> io::Result<impl Iterator<Item = io::Result<OsString>> + use<>> {
        Ok(Dir::read_from(&self.0)?.filter_map(|entry| match entry {
            Ok(entry) => {
                let name = OsStr::from_bytes(entry.file_name().to_bytes());
                (name != "." && name != "..").then(|| Ok(name.to_owned()))
            }
            Err(error) => Some(Err(error.into())),
        }))
    }

    /// What a name is, with its owner and its last use.
    ///
    /// # Errors
    /// There is nothing of this name, or it cannot be examined.
    pub fn entry(&self, name: &OsStr) -> io::Result<Entry> {
        let found = rustix::fs::statat(&self.0, single(name)?, AtFlags::SYMLINK_NOFOLLOW)?;
        let last_use = found.st_mtime.max(found.st_atime);
        Ok(Entry { kind: kind(&found), user: found.st_uid, modified: found.st_mtime, last_use })
    }

    /// Where a link leads, as it says itself; it is not followed.
    ///
    /// # Errors
    /// It is no link, or cannot be read.
    pub fn link(&self, name: &OsStr) -> io::Result<OsString> {
        let target = rustix::fs::readlinkat(&self.0, single(name)?, Vec::new())?;
        Ok(OsStr::from_bytes(target.to_bytes()).to_owned())
    }

    /// Whether this process may remove names from the folder, by its mode; in one with a sticky bit, only its own.
    pub fn is_writable(&self) -> bool {
        rustix::fs::accessat(&self.0, ".", Access::WRITE_OK | Access::EXEC_OK, AtFlags::empty()).is_ok()
    }

    /// What a name is, and when it was modified.
    ///
    /// # Errors
    /// There is nothing of this name, or it cannot be examined.
    pub fn examine(&self, name: &OsStr) -> io::Result<(Kind, Modified)> {
        let found = rustix::fs::statat(&self.0, single(name)?, AtFlags::SYMLINK_NOFOLLOW)?;
        let nanoseconds = u32::try_from(found.st_mtime_nsec).unwrap_or_default();
        Ok((kind(&found), Modified { seconds: found.st_mtime, nanoseconds }))
    }

    /// The bytes that an unprivileged user may still write to the file system.
    ///
    /// # Errors
    /// The file system does not answer.
    pub fn free_bytes(&self) -> io::Result<u64> {
        Ok(self.space()?.0)
    }

    /// The same, and the bytes that the file system has.
    ///
    /// # Errors
    /// The file system does not answer.
    pub fn space(&self) -> io::Result<(u64, u64)> {
        let system = rustix::fs::fstatvfs(&self.0)?;
        let bytes = |blocks: u64| blocks.saturating_mul(system.f_frsize);
        Ok((bytes(system.f_bavail), bytes(system.f_blocks)))
    }

    /// Writes the folder's names to the disk. Not every file system can, so a failure is not reported.
    pub fn sync(&self) {
        drop(self.0.sync_all());
    }

    /// The folder as a file, for its times.
    pub(super) fn as_file(&self) -> &File {
        &self.0
    }

    fn open_at(&self, name: &OsStr, flags: OFlags, mode: u32) -> io::Result<File> {
        let flags = flags | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        match rustix::fs::openat(&self.0, single(name)?, flags, Mode::from_raw_mode(mode)) {
            Ok(opened) => Ok(opened.into()),
            Err(rustix::io::Errno::LOOP) => Err(invalid("it is a link".to_owned())),
            Err(error) => Err(error.into()),
        }
    }
}

fn kind(found: &Stat) -> Kind {
    match FileType::from_raw_mode(found.st_mode) {
        FileType::RegularFile => Kind::File(u64::try_from(found.st_size).unwrap_or_default()),
        FileType::Directory => Kind::Folder,
        _ => Kind::Other,
    }
}

/// The error of a name that is not what it should be, rather than of a file system that fails.
fn invalid(what: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

/// A name that cannot lead out of a folder.
fn single(name: &OsStr) -> io::Result<&OsStr> {
    let leads_out = name.is_empty() || name == "." || name == ".." || name.as_bytes().contains(&b'/');
    if leads_out { Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a single name")) } else { Ok(name) }
}

#[cfg(test)]
mod tests;
