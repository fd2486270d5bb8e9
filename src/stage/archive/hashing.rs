//! SHA-256 and length of what passes through a reader or a writer.

use std::io::{self, Read, Write};

use sha2::{Digest as _, Sha256};

use crate::stage::digest::Digest;

/// Passes bytes on, and counts and hashes them.
pub(super) struct Hashing<T> {
    inner: T,
    hash: Sha256,
    bytes: u64,
    /// Whether the inner reader or writer failed, rather than what is made of its bytes.
    failed: bool,
}

impl<T> Hashing<T> {
    pub(super) fn new(inner: T) -> Self {
        Hashing { inner, hash: Sha256::new(), bytes: 0, failed: false }
    }

    pub(super) fn has_failed(&self) -> bool {
        self.failed
    }

    /// The digest, and the number of bytes.
    pub(super) fn finish(self) -> (Digest, u64) {
        (Digest::new(&self.hash.finalize().into()), self.bytes)
    }

    fn add(&mut self, result: &io::Result<usize>, buffer: &[u8]) {
        match result {
            Ok(count) => {
                self.hash.update(buffer.get(..*count).unwrap_or_default());
                self.bytes += *count as u64;
            }
            Err(error) => self.failed |= error.kind() != io::ErrorKind::Interrupted,
        }
    }
}

impl<R: Read> Read for Hashing<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let result = self.inner.read(buffer);
        self.add(&result, buffer);
        result
    }
}

impl<W: Write> Write for Hashing<W> {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        let result = self.inner.write(buffer);
        self.add(&result, buffer);
        result
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}
