//! Options of `report`.

use clap::{Args, ValueEnum};

use crate::cli::Cluster;

/// Options of `report`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  dynamo-cache report -n inference
  dynamo-cache report -A
  dynamo-cache report -n inference -o json

The command prints, per owner, how many engines started with a compile cache, with an empty one (cold) and without one, and the \
median time from a pod's scheduling until it was ready. Pods that have restarted since count, but their time does not.

Only a pod in mode staged is ever `cold`: what another found on its claim is not known. The compile cache of a staged pod is `with` if an archive was restored, `cold` if not, and `unknown` if that cannot be \
read: it is in the log of the pod's container dynamo-cache-stage, for which you need the right to get pods/log.")]
pub struct Report {
    /// All namespaces.
    #[arg(short = 'A', long, conflicts_with = "namespace")]
    pub all_namespaces: bool,
    /// The output format.
    #[arg(short, long, value_name = "FORMAT", default_value = "table")]
    pub output: ReportOutput,
    /// The cluster.
    #[command(flatten)]
    pub cluster: Cluster,
}

/// Output formats of `report`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ReportOutput {
    /// A list of objects, one per row of the table.
    Json,
    /// A row per owner and compile cache.
    Table,
}
