//! Packs a cache: one thread reads the files and writes the tar, one compresses it, and one hashes and writes the archive.

use std::fs::File;
use std::io::{self, BufWriter, PipeReader, PipeWriter, Read as _, Write};
use std::os::unix::ffi::OsStrExt as _;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use tar::{Builder, EntryType, Header};
use zstd::stream::write::Encoder;

use super::hashing::Hashing;
use super::pax::format_time;
use super::walk::{Found, Inventory, walk};
use super::{CHUNK, Error, PIPE};
use crate::stage::digest::Digest;
use crate::stage::folder::{Folder, Kind};

/// The compression level: a higher one takes several times as long for a tenth less.
const LEVEL: i32 = 3;

/// The first 100 bytes of a path are in the header; `tar` programs that know no pax read no more.
const SHORT_PATH: usize = 100;

/// The size to which a tar pads each file.
const BLOCK: u64 = 512;

/// How many pieces of the archive, of 128 KiB at most, wait to be written.
const WAITING: usize = 8;

/// A complete archive.
#[derive(Debug)]
pub struct Packed {
    /// The SHA-256 of the archive.
    pub digest: Digest,
    /// The size of the archive.
    pub archive_bytes: u64,
    /// What is in it.
    pub inventory: Inventory,
}

/// Packs the cache below `root` into `archive`, and writes it to the disk.
///
/// # Errors
/// The cache is too large, changed meanwhile, or cannot be read; or the archive cannot be written.
pub fn pack(root: &Folder, archive: &File) -> Result<Packed, Error> {
    let (reader, writer) = io::pipe().map_err(Error::Local)?;
    // A pipe of the usual size works as well, with more switches between the threads.
    let _ = rustix::pipe::fcntl_setpipe_size(&writer, PIPE);
    thread::scope(|scope| {
        let tar = scope.spawn(|| write_tar(root, writer));
        let compressed = compress(reader, archive);
        // If the archive failed, the tar could not be written either, and that says nothing.
        let (digest, archive_bytes) = match compressed {
            Err(error) => return Err(Error::Claim(error)),
            Ok(compressed) => compressed,
        };
        let inventory = tar.join().unwrap_or_else(|_| Err(Error::Damaged("packing panicked".to_owned())))?;
        Ok(Packed { digest, archive_bytes, inventory })
    })
}

fn compress(mut tar: PipeReader, archive: &File) -> io::Result<(Digest, u64)> {
    let (sender, receiver) = sync_channel(WAITING);
    thread::scope(|scope| {
        let written = scope.spawn(move || write_archive(receiver, archive));
        let mut encoder = Encoder::new(Compressed(sender), LEVEL)?;
        let mut chunk = vec![0; CHUNK];
        let mut encode = || loop {
            let count = tar.read(&mut chunk)?;
            if count == 0 {
                return Ok(());
            }
            encoder.write_all(chunk.get(..count).unwrap_or_default())?;
        };
        let result: io::Result<()> = encode();
        let result = result.and_then(|()| encoder.finish().map(drop));
        // If the archive could not be written, no more could be encoded, and that says nothing.
        let written = written.join().unwrap_or_else(|_| Err(io::Error::other("writing the archive panicked")))?;
        result.map(|()| written)
    })
}

/// Compressed bytes on their way to the thread that writes them.
struct Compressed(SyncSender<Vec<u8>>);

impl Write for Compressed {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.send(bytes.to_vec()).map_err(|_| io::ErrorKind::BrokenPipe)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn write_archive(compressed: Receiver<Vec<u8>>, archive: &File) -> io::Result<(Digest, u64)> {
    let mut archive_hash = Hashing::new(archive);
    for bytes in compressed {
        archive_hash.write_all(&bytes)?;
    }
    archive.sync_all()?;
    Ok(archive_hash.finish())
}

fn write_tar(root: &Folder, writer: PipeWriter) -> Result<Inventory, Error> {
    let mut tar = Tar { builder: Builder::new(BufWriter::with_capacity(CHUNK, writer)), chunk: vec![0; CHUNK] };
    let inventory = walk(root, &mut |found| tar.append(found))?;
    tar.builder.into_inner().and_then(|mut writer| writer.flush()).map_err(Error::Local)?;
    Ok(inventory)
}

/// A tar that is written.
struct Tar<W: Write> {
    builder: Builder<W>,
    chunk: Vec<u8>,
}

impl<W: Write> Tar<W> {
    fn append(&mut self, found: &Found<'_>) -> Result<(), Error> {
        let path = found.path.as_os_str().as_bytes();
        let time = format_time(found.modified);
        let mut records = vec![("mtime", time.as_bytes())];
        if path.len() > SHORT_PATH {
            records.push(("path", path));
        }
        self.builder.append_pax_extensions(records).map_err(Error::Local)?;

        let mut header = Header::new_ustar();
        // A longer path is in the records, where a reader looks first.
        if let Some(name) = header.as_ustar_mut().map(|header| &mut header.name) {
            for (to, from) in name.iter_mut().zip(path) {
                *to = *from;
            }
        }
        header.set_mtime(u64::try_from(found.modified.seconds).unwrap_or_default());
        match found.kind {
            Kind::File(bytes) => {
                header.set_entry_type(EntryType::Regular);
                header.set_mode(0o666);
                header.set_size(bytes);
                header.set_cksum();
                self.append_file(&header, found, bytes)
            }
            Kind::Folder | Kind::Other => {
                header.set_entry_type(EntryType::Directory);
                header.set_mode(0o777);
                header.set_size(0);
                header.set_cksum();
                self.builder.append(&header, io::empty()).map_err(Error::Local)
            }
        }
    }

    /// Appends a file by large reads; the crate would read 8 kB at a time.
    fn append_file(&mut self, header: &Header, found: &Found<'_>, bytes: u64) -> Result<(), Error> {
        let changed = || Error::Changed(found.path.display().to_string());
        let mut file = match found.parent.file(found.name) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(changed()),
            Err(error) => {
                let named = format!("{}: {error}", found.path.display());
                return Err(Error::Local(io::Error::new(error.kind(), named)));
            }
        };
        let tar = self.builder.get_mut();
        tar.write_all(header.as_bytes()).map_err(Error::Local)?;
        let mut left = bytes;
        while left > 0 {
            let most = usize::try_from(left).unwrap_or(CHUNK).min(CHUNK);
            let chunk = self.chunk.get_mut(..most).unwrap_or_default();
            let count = file.read(chunk).map_err(Error::Local)?;
            if count == 0 {
                return Err(changed());
            }
            tar.write_all(chunk.get(..count).unwrap_or_default()).map_err(Error::Local)?;
            left -= count as u64;
        }
        let padding = bytes.next_multiple_of(BLOCK) - bytes;
        io::copy(&mut io::repeat(0).take(padding), tar).map_err(Error::Local)?;
        Ok(())
    }
}
