//! Files that are read whole, on the thread that asks: a few kilobytes on a local disk.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::Path;

/// The most that is read, which is what a ConfigMap or a Secret may hold.
pub const MOST: u64 = 1024 * 1024;

/// Reads a file.
///
/// # Errors
/// It cannot be read, has more than `MOST` bytes, or is no regular file: a pipe would be waited for, and a device never end.
pub fn read(path: &Path) -> io::Result<Vec<u8>> {
    if !fs::metadata(path)?.is_file() {
        return Err(io::Error::other("it is no regular file"));
    }
    let mut content = Vec::new();
    File::open(path)?.take(MOST + 1).read_to_end(&mut content)?;
    if content.len() as u64 > MOST {
        return Err(io::Error::other("it has more than 1 MiB"));
    }
    Ok(content)
}
