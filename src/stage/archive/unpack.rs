//! Unpacks an archive, whatever is in it: one thread reads, hashes and decompresses, the other writes the files.

use std::fs::File;
use std::io::{self, BufReader, PipeReader, PipeWriter, Read, Write as _};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use tar::{Archive, Entry, EntryType};
use zstd::stream::read::Decoder;

use super::hashing::Hashing;
use super::pax::{self, Records};
use super::{CHUNK, Error, PIPE};
use crate::stage::digest::Digest;
use crate::stage::folder::Folder;

mod target;

use target::Target;

/// The most memory that an archive may ask the decompressor for, as a power of two: 8 MiB. Ours ask for 2.
const MAX_WINDOW: u32 = 23;

/// The most bytes of pax records before an entry: a path and a time fit in a tenth of it.
const MAX_RECORDS: u64 = 64 << 10;

/// The most bytes after the end of the tar; `tar` programs pad to 10 KiB.
const MAX_PADDING: u64 = 1 << 20;

/// The most that an archive may have.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// The number of files.
    pub files: u64,
    /// The bytes of all files together.
    pub bytes: u64,
}

/// How far an archive is unpacked, for other threads to see, and a way for them to stop it.
#[derive(Debug, Default)]
pub struct Progress {
    /// The bytes of all files together, as soon as they are known.
    pub total: AtomicU64,
    /// The bytes that are written.
    pub written: AtomicU64,
    cancelled: AtomicBool,
}

/// What an archive had.
#[derive(Debug, PartialEq, Eq)]
pub struct Unpacked {
    /// The SHA-256 of the archive.
    pub digest: Digest,
    /// The size of the archive.
    pub archive_bytes: u64,
    /// The number of files.
    pub files: u64,
    /// The bytes of all files together.
    pub bytes: u64,
}

/// Unpacks an archive into an empty folder. After an error, what is there has no meaning.
///
/// # Errors
/// The archive is damaged, has something that is refused, has more than the limits, or cannot be read; the files cannot
/// be written; or it is cancelled.
pub fn unpack(archive: &File, into: &Folder, limits: Limits, progress: &Progress) -> Result<Unpacked, Error> {
    let (reader, writer) = io::pipe().map_err(Error::Local)?;
    // A pipe of the usual size works as well, with more switches between the threads.
    let _ = rustix::pipe::fcntl_setpipe_size(&writer, PIPE);
    thread::scope(|scope| {
        let tar = scope.spawn(|| read_tar(reader, into, limits, progress));
        let decompressed = decompress(archive, writer, progress);
        let written = tar.join().unwrap_or_else(|_| Err(Error::Damaged("unpacking panicked".to_owned())));
        match (decompressed, written) {
            (Ok((digest, archive_bytes)), Ok((files, bytes))) => Ok(Unpacked { digest, archive_bytes, files, bytes }),
            // A tar that ends too early is what follows from an archive that cannot be read.
            (Err(error), Ok(_) | Err(Error::Damaged(_))) | (_, Err(error)) => Err(error),
        }
    })
}

/// Decompresses the archive into the pipe. That the other end is closed is no error here: that end says why.
fn decompress(archive: &File, mut tar: PipeWriter, progress: &Progress) -> Result<(Digest, u64), Error> {
    let hashing = BufReader::with_capacity(CHUNK, Hashing::new(archive));
    let mut decoder = Decoder::with_buffer(hashing).map_err(Error::Claim)?;
    decoder.window_log_max(MAX_WINDOW).map_err(Error::Claim)?;
    let mut chunk = vec![0; CHUNK];
    loop {
        // The other end may be passing over what it does not write.
        if progress.is_cancelled() {
            return Err(Error::Cancelled);
        }
        let count = match decoder.read(&mut chunk) {
            Ok(0) => break,
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) if decoder.get_ref().get_ref().has_failed() => return Err(Error::Claim(error)),
            Err(error) => return Err(Error::Damaged(error.to_string())),
        };
        if tar.write_all(chunk.get(..count).unwrap_or_default()).is_err() {
            break;
        }
    }
    Ok(decoder.finish().into_inner().finish())
}

fn read_tar(tar: PipeReader, into: &Folder, limits: Limits, progress: &Progress) -> Result<(u64, u64), Error> {
    let mut target = Target::new(into, limits, progress);
    let mut archive = Archive::new(BufReader::with_capacity(CHUNK, tar));
    let mut records = None;
    let damaged = |error: io::Error| Error::Damaged(error.to_string());
    // Raw: otherwise the crate reads the records of an entry into memory, however long they are.
    for entry in archive.entries().map_err(damaged)?.raw(true) {
        let mut entry = entry.map_err(damaged)?;
        match entry.header().entry_type() {
            EntryType::XHeader => {
                if records.replace(read_records(&mut entry)?).is_some() {
                    return Err(Error::Refused("pax records without an entry".to_owned()));
                }
            }
            kind @ (EntryType::Regular | EntryType::Directory) => {
                let records = records.take().unwrap_or_default();
                let path = records.path.unwrap_or_else(|| entry.path_bytes().into_owned());
                let modified = records.modified.unwrap_or_default();
                if kind == EntryType::Directory {
                    // The crate would read all of it to pass over it.
                    if entry.size() > 0 {
                        return Err(Error::Refused("a folder with a size".to_owned()));
                    }
                    target.folder(&path, modified)?;
                } else {
                    target.file(&path, modified, entry.size(), &mut entry)?;
                }
            }
            other => return Err(Error::Refused(format!("an entry of type {other:?}"))),
        }
    }
    let mut rest = archive.into_inner().take(MAX_PADDING + 1);
    if io::copy(&mut rest, &mut io::sink()).map_err(damaged)? > MAX_PADDING {
        return Err(Error::Damaged("something follows its end".to_owned()));
    }
    Ok(target.finish())
}

fn read_records(entry: &mut Entry<'_, impl Read>) -> Result<Records, Error> {
    if entry.size() > MAX_RECORDS {
        return Err(Error::Refused("oversized pax records".to_owned()));
    }
    let mut bytes = Vec::new();
    entry.read_to_end(&mut bytes).map_err(|error| Error::Damaged(error.to_string()))?;
    pax::parse(&bytes).map_err(|what| Error::Refused(what.to_owned()))
}

impl Progress {
    /// Asks the threads to stop at the next chunk.
    pub fn cancel(&self) {
        self.cancelled.store(true, Ordering::Release);
    }

    /// Whether they were asked to.
    pub fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Acquire)
    }
}
