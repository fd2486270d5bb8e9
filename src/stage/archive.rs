//! An archive of a cache: a pax tar, compressed by zstd, with nanosecond times and nothing but plain files and folders.

mod hashing;
mod pack;
mod pax;
mod rules;
mod unpack;
mod walk;

pub use pack::{Packed, pack};
pub use rules::is_ours;
pub use unpack::{Limits, Progress, Unpacked, unpack};
pub use walk::{Inventory, inventory};

/// The most files that an archive may have, and the most folders.
pub const MAX_FILES: u64 = 200_000;

/// The most bytes that its files may have together: 20 GiB.
pub const MAX_BYTES: u64 = 20 << 30;

/// How deep folders may be nested. Each level is an open file while an archive is packed or unpacked.
const MAX_DEPTH: usize = 100;

/// The bytes that go from one thread to the other at once.
const CHUNK: usize = 256 << 10;

/// The bytes that wait between the two threads: the most that Linux gives an unprivileged user.
const PIPE: usize = 1 << 20;

/// Why an archive was not packed or unpacked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The archive is not what it should be; no retry helps.
    #[error("the archive is damaged: {0}")]
    Damaged(String),
    /// The archive has something that no archive of ours has.
    #[error("the archive has {0}, which is refused")]
    Refused(String),
    /// More than an archive may have, or deeper.
    #[error("there are more than {MAX_FILES} files, {MAX_FILES} folders, {MAX_DEPTH} levels or {} GiB", MAX_BYTES >> 30)]
    TooLarge,
    /// A file changed while it was packed.
    #[error("{0} changed meanwhile")]
    Changed(String),
    /// The pod no longer waits for the archive.
    #[error("the pod no longer waits for it")]
    Cancelled,
    /// The archive itself cannot be read or written.
    #[error("the claim failed: {0}")]
    Claim(#[source] std::io::Error),
    /// The files cannot be read or written.
    #[error("the local disk failed: {0}")]
    Local(#[source] std::io::Error),
}
