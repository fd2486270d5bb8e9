//! Measure what the caches on a mounted claim take, in a Job of `usage`.

use anyhow::Context as _;

use crate::cli::Measure;
use crate::terminal::print_exact;
use crate::usage::measure;

/// Runs `measure`.
///
/// # Errors
/// The claim cannot be read.
pub(super) fn run(options: &Measure) -> anyhow::Result<()> {
    let Measure { claim, also, limit } = options;
    let contents = measure::measure(claim, also, *limit);
    let contents = contents.with_context(|| format!("failed to read {}", claim.display()))?;
    print_exact(&format!("{}\n", serde_json::to_string(&contents)?))
}
