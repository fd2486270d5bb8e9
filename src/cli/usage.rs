//! Options of `usage`.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};

use crate::cli::{Cluster, parse};

/// Options of `usage`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  dynamo-cache usage -n inference
  dynamo-cache usage -n inference -o json | jq '.[].models[].model'

The command runs a Job for each claim of the namespace's caches, which mounts it read-only, as the workers' user. It lists models with their revisions, and compile caches of both modes, with the workloads that name them or would get them, and removes the Jobs again, also after Ctrl-C.
The last use is as good as the storage: many file systems note a read at most once a day, and some never.
You need the right to create, get and delete Jobs, and to list pods and read their logs.")]
pub struct Usage {
    /// The output format.
    #[arg(short, long, value_name = "FORMAT", default_value = "table")]
    pub output: UsageOutput,
    /// The Jobs.
    #[command(flatten)]
    pub jobs: ClaimJobs,
    /// The settings file; by default the webhook's own settings.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// The cluster.
    #[command(flatten)]
    pub cluster: Cluster,
}

/// Options of the Jobs that look at claims.
#[derive(Debug, Args)]
#[group(skip)]
pub struct ClaimJobs {
    /// The image that has dynamo-cache; by default staging.image of the settings, which the chart sets to its own.
    #[arg(long, value_name = "IMAGE")]
    pub image: Option<String>,
    /// The user of the Jobs, with group 0; none leaves the choice to the cluster. By default that of the running components if
    /// they have the same, else 1000.
    #[arg(long, value_name = "UID", value_parser = parse::id)]
    pub user: Option<parse::Id>,
    /// The fsGroup of the Jobs; none leaves it out. By default that of the running components if they have the same, else that
    /// of the settings.
    #[arg(long, value_name = "GROUP", value_parser = parse::id)]
    pub fs_group: Option<parse::Id>,
    /// How long the Jobs may take, such as 90s or 5m.
    #[arg(long, value_name = "TIME", default_value = "5m", value_parser = parse::long_time)]
    pub timeout: Duration,
}

/// Output formats of `usage` and `prune`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum UsageOutput {
    /// A list of objects.
    Json,
    /// Tables.
    Table,
}
