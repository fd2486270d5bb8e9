//! Options of `preview`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use crate::cli::Cluster;

/// Options of `preview`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  dynamo-cache preview -n inference
  dynamo-cache preview -n inference -o diff
  dynamo-cache preview -n inference --config config.yaml

The command shows what pods would get if they were created in the labelled namespace now: those of each live workload, \
and each pod without one. Of a graph without workloads, it shows what the graph describes. It changes nothing.")]
pub struct Preview {
    /// The output format.
    #[arg(short, long, value_name = "FORMAT", default_value = "table")]
    pub output: PreviewOutput,
    /// The settings file; by default the webhook's own settings.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// The cluster.
    #[command(flatten)]
    pub cluster: Cluster,
}

/// Output formats of `preview`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum PreviewOutput {
    /// A unified diff per object.
    Diff,
    /// A row per container.
    Table,
}
