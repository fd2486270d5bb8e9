//! Remove compile caches from a mounted claim, in the Job of `prune`.

use anyhow::Context as _;

use crate::cli::Remove;
use crate::terminal::print_exact;
use crate::usage::remove;

/// Runs `remove`. A cache that cannot be removed is reported, and no error.
///
/// # Errors
/// The claim cannot be opened.
pub(super) fn run(options: &Remove) -> anyhow::Result<()> {
    let Remove { claim, paths, unused_since, limit } = options;
    let removed = remove::remove(claim, paths, *unused_since, *limit, |removal| {
        print_exact(&format!("{}\n", serde_json::to_string(removal)?))
    });
    removed.with_context(|| format!("failed to remove from {}", claim.display()))
}
