//! Options of `remove`.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use crate::cli::parse;

/// Options of `remove`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  dynamo-cache remove /claim --unused-since 1764460800 \\
    staged-v1/4f1c-any-92ab

The Job of dynamo-cache prune --yes runs this command. It removes compile caches from a mounted claim, and prints a line of JSON for each. Another path is refused, and a cache that was used since stays.")]
pub struct Remove {
    /// The folder where the claim is mounted.
    #[arg(value_name = "DIR")]
    pub claim: PathBuf,
    /// The compile caches, each by its path from the root of the claim.
    #[arg(value_name = "PATH", required = true)]
    pub paths: Vec<String>,
    /// Keep a cache of which a file was read or written after this time, in seconds since 1970.
    #[arg(long, value_name = "SECONDS")]
    pub unused_since: i64,
    /// After this time, a cache that is not looked at yet stays.
    #[arg(long, value_name = "TIME", default_value = "5m", value_parser = parse::long_time)]
    pub limit: Duration,
}
