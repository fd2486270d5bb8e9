//! Reads small files completely and on the calling thread: a few kilobytes on a local disk.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::Path;

/// The largest file, which is the most that a ConfigMap or a Secret may hold.
pub const MAX_BYTES: u64 = 1024 * 1024;

/// Reads a regular file of at most `MAX_BYTES`.
///
/// # Errors
/// The file cannot be read, is larger than `MAX_BYTES`, or is not a regular file: reading a pipe would block, and
/// reading a device may never end.
pub fn read(path: &Path) -> io::Result<Vec<u8>> {
    if !fs::metadata(path)?.is_file() {
        return Err(io::Error::other("it is not a regular file"));
    }
    let mut content = Vec::new();
    File::open(path)?.take(MAX_BYTES + 1).read_to_end(&mut content)?;
    if content.len() as u64 > MAX_BYTES {
        return Err(io::Error::other("it is larger than 1 MiB"));
    }
    Ok(content)
}
