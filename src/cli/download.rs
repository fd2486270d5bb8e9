//! What a person may type after `download`.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::{Cluster, IMAGE};
use crate::cli::parse;

/// Options of `download`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  dynamo-cache download Qwen/Qwen3-0.6B -n inference --apply --wait \\
    --revision c1899de289a04d12100db370d81485cdf75e47ca
  dynamo-cache download Qwen/Qwen3-0.6B -n inference --apply \\
    --create-claim 500Gi --storage-class shared-files
  dynamo-cache download Qwen/Qwen3-0.6B --offline > download-job.yaml
  dynamo-cache download meta-llama/Llama-3.1-8B -n inference \\
    --exclude 'original/*' | kubectl apply -f -

The Job runs as the workers' user and writes in the layout in which the webhook mounts the claim. Run it before the \
workers start: workers that download together into an empty claim get into each other's way.
On OpenShift: --fs-group none --user none, it picks both by itself.")]
#[expect(clippy::struct_excessive_bools, reason = "each is an option by itself")]
pub struct Download {
    /// The model, as on the hub: owner/name; a few have no owner.
    #[arg(value_name = "MODEL", value_parser = parse::model)]
    pub model: String,
    /// The commit to download; a branch or tag moves, and then workers do not all read the same files.
    #[arg(long, value_name = "COMMIT", default_value = "main")]
    pub revision: String,
    /// Create it in the cluster, instead of printing it.
    #[arg(long, conflicts_with = "offline")]
    pub apply: bool,
    /// Follow it to its end; fails with the Job's own error.
    #[arg(long, requires = "apply")]
    pub wait: bool,
    /// How long --wait waits, as 30s, 90m or 4h.
    #[arg(long, value_name = "TIME", default_value = "4h", value_parser = parse::long_time)]
    pub timeout: Duration,
    /// The Job's name; without it download- and the last part of the model's.
    #[arg(long, value_name = "NAME", value_parser = parse::label)]
    pub name: Option<String>,
    /// Delete a Job of the same name first.
    #[arg(long, requires = "apply")]
    pub replace: bool,
    /// Ask no cluster: the settings are the built-in ones or those of --config, and both claims are there.
    #[arg(long, conflicts_with_all = ["kubeconfig", "context"])]
    pub offline: bool,
    /// Create the claims too where they are not there, the model cache of this size.
    #[arg(long, value_name = "SIZE", value_parser = parse::size)]
    pub create_claim: Option<String>,
    /// The size of the compile cache that --create-claim creates.
    #[arg(long, value_name = "SIZE", default_value = "50Gi", requires = "create_claim", value_parser = parse::size)]
    pub compile_size: String,
    /// The storage class of these claims, one that can do `ReadWriteMany`; the cluster's default without it.
    #[arg(long, value_name = "NAME", requires = "create_claim")]
    pub storage_class: Option<String>,
    /// The Secret with `HF_TOKEN`; hf-token-secret by default, if it is there.
    #[arg(long, value_name = "NAME")]
    pub token_secret: Option<String>,
    /// Only files like this; may be repeated.
    #[arg(long, value_name = "GLOB")]
    pub include: Vec<String>,
    /// No files like this; may be repeated.
    #[arg(long, value_name = "GLOB")]
    pub exclude: Vec<String>,
    /// The image: bash, and hf or else Python with pip.
    #[arg(long, value_name = "IMAGE", default_value = IMAGE)]
    pub image: String,
    /// Another hub than huggingface.co, as <http://host:port>.
    #[arg(long, value_name = "URL")]
    pub endpoint: Option<String>,
    /// The group to which the claims' roots are opened, or none.
    #[arg(long, value_name = "GID", default_value = "0", value_parser = parse::id)]
    pub fs_group: parse::Id,
    /// The user, with group 0, or none.
    #[arg(long, value_name = "UID", default_value = "1000", value_parser = parse::id)]
    pub user: parse::Id,
    /// The settings file; the webhook's own by default, with --offline the built-in settings.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Which cluster.
    #[command(flatten)]
    pub cluster: Cluster,
}
