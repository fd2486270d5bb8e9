//! Options of `prune`.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use crate::cli::usage::{ClaimJobs, UsageOutput};
use crate::cli::{Cluster, IMAGE, parse};

/// Options of `prune`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  dynamo-cache prune -n inference
  dynamo-cache prune -n inference --older-than 90d --yes
  dynamo-cache prune -n inference --model Qwen/Qwen3-0.6B
  dynamo-cache prune -n inference --model Qwen/Qwen3-0.6B --yes \\
    --revision c1899de289a04d12100db370d81485cdf75e47ca

Without --yes, the command only prints what it would remove, and why: compile caches that no workload of the namespace would get, and of which no file was used for --older-than. Nothing else on the claim is touched.
Models are removed only by name, with the client that downloads them, and never while a download Job runs. A model that a pod or a workload names stays, unless --force is set.
What claims of other namespaces have on the same storage stays, too, unless --force is set; to see that, you need the right to list persistentvolumes.
A folder whose files belong to another user needs --user: 0 for those of root.")]
pub struct Prune {
    /// Remove it, instead of printing what would be removed.
    #[arg(long)]
    pub yes: bool,
    /// How long a compile cache must not have been used, such as 30d or 12h.
    #[arg(long, value_name = "TIME", default_value = "30d", value_parser = parse::age, conflicts_with = "model")]
    pub older_than: Duration,
    /// Remove this model instead of compile caches.
    #[arg(long, value_name = "MODEL", value_parser = parse::model)]
    pub model: Option<String>,
    /// Remove this revision of the model only, by its commit or the first digits of it.
    #[arg(long, value_name = "COMMIT", requires = "model", value_parser = parse::commit)]
    pub revision: Option<String>,
    /// Remove a model although a pod or a workload names it; and anything although claims of other namespaces have the same storage.
    #[arg(long)]
    pub force: bool,
    /// The image of the Job that removes a model, with bash and either hf or Python with pip.
    #[arg(long, value_name = "IMAGE", default_value = IMAGE, requires = "model")]
    pub client_image: String,
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
