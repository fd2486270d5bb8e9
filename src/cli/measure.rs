//! Options of `measure`.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use crate::cli::parse;

/// Options of `measure`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  dynamo-cache measure /claim --limit 90s

The Jobs of dynamo-cache usage and prune run this command. It prints what the caches on a mounted claim take, as one line of JSON, and changes nothing.")]
pub struct Measure {
    /// The folder where the claim is mounted.
    #[arg(value_name = "DIR")]
    pub claim: PathBuf,
    /// A folder that is a compile cache too, from the root of the claim; may be repeated.
    #[arg(long, value_name = "PATH")]
    pub also: Vec<String>,
    /// After this time, what is not counted yet is incomplete.
    #[arg(long, value_name = "TIME", default_value = "5m", value_parser = parse::long_time)]
    pub limit: Duration,
}
