//! Options of `status`.

use std::path::PathBuf;

use clap::Args;

use crate::cli::Cluster;

/// Options of `status`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  dynamo-cache status -n inference
  dynamo-cache status -A

The command prints a row per container of every Dynamo component, a summary per namespace, and the commands that recreate \
pods which could have more caches now than when they started.")]
pub struct Status {
    /// All namespaces.
    #[arg(short = 'A', long, conflicts_with = "namespace")]
    pub all_namespaces: bool,
    /// The settings file; by default the webhook's own settings.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// The cluster.
    #[command(flatten)]
    pub cluster: Cluster,
}
