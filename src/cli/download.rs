//! Options of `download`.

use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgGroup, Args};

use crate::cli::{Cluster, Files, IMAGE, parse};

/// Options of `download`.
#[derive(Debug, Args)]
#[command(group(ArgGroup::new("what").args(["model", "workloads", "from", "filename"]).required(true)), after_help = "\
Examples:
  dynamo-cache download Qwen/Qwen3-0.6B -n inference --apply --wait \\
    --create-claim 500Gi --storage-class shared-files
  dynamo-cache download Qwen/Qwen3-0.6B -n inference --apply --wait \\
    --revision c1899de289a04d12100db370d81485cdf75e47ca
  dynamo-cache download --from -n inference --apply --wait
  dynamo-cache download --for deployment/worker -n inference
  dynamo-cache download -f graph.yaml --offline > download-jobs.yaml
  dynamo-cache download meta-llama/Llama-3.1-8B -n inference \\
    --exclude 'original/*' | kubectl apply -f -

--from, --for and -f read which models workloads name: in flags, variables and scripts, for the weights, the draft of speculative \
decoding, adapters and the tokenizer. Each revision of a model is a Job, which is not repeated once it has completed.
The Job runs as the workers' user and writes the layout in which the webhook mounts the claim. Run it before the workers \
start: workers that download into the same empty claim at the same time interfere with each other.
The Job writes a file to the hub's folder and to the root of the compile claim, and removes both. --wait then marks the claims as writable for the Job's user, \
as check --write-probe does; without that, pods get no compile cache.
On OpenShift, add --fs-group none --user none: OpenShift assigns both.")]
#[expect(clippy::struct_excessive_bools, reason = "each is an option by itself")]
pub struct Download {
    /// The model as on the hub: owner/name; a few models have no owner.
    #[arg(value_name = "MODEL", value_parser = parse::model)]
    pub model: Option<String>,
    /// Download what a workload names, such as deployment/worker or pod/worker-0; may be repeated.
    #[arg(long = "for", value_name = "KIND/NAME", conflicts_with = "offline", value_parser = parse::workload)]
    pub workloads: Vec<(String, String)>,
    /// Download what the workloads and pods of the namespace name.
    #[arg(long, conflicts_with = "offline")]
    pub from: bool,
    /// Download what the objects in files name.
    #[command(flatten)]
    pub files: Files,
    /// The commit to download; a branch or tag can move, and then workers read different files.
    #[arg(long, value_name = "COMMIT", default_value = "main", conflicts_with_all = ["workloads", "from", "filename"])]
    pub revision: String,
    /// Create the Job in the cluster instead of printing it.
    #[arg(long, conflicts_with = "offline")]
    pub apply: bool,
    /// Follow the Job until it ends, and mark the claims that it wrote to; if it fails, fail with its error.
    #[arg(long, requires = "apply")]
    pub wait: bool,
    /// How long --wait waits, such as 30s, 90m or 4h.
    #[arg(long, value_name = "TIME", default_value = "4h", value_parser = parse::long_time)]
    pub timeout: Duration,
    /// The name of the Job; by default it follows from model and revision.
    #[arg(long, value_name = "NAME", conflicts_with_all = ["workloads", "from", "filename"], value_parser = parse::label)]
    pub name: Option<String>,
    /// Delete an existing download Job first, and download again; of several models, only where the Job has failed.
    #[arg(long, requires = "apply")]
    pub replace: bool,
    /// Contact no cluster: use the built-in settings or --config, and assume that both claims exist.
    #[arg(long, conflicts_with_all = ["kubeconfig", "context"])]
    pub offline: bool,
    /// Create missing claims too; the model claim gets this size.
    #[arg(long, value_name = "SIZE", value_parser = parse::size)]
    pub create_claim: Option<String>,
    /// The size of the compile claim that --create-claim creates.
    #[arg(long, value_name = "SIZE", default_value = "50Gi", requires = "create_claim", value_parser = parse::size)]
    pub compile_size: String,
    /// The StorageClass of these claims, which must support ReadWriteMany; by default the cluster's default class.
    #[arg(long, value_name = "NAME", requires = "create_claim", value_parser = parse::object_name)]
    pub storage_class: Option<String>,
    /// The Secret with the key HF_TOKEN; by default hf-token-secret, if it exists.
    #[arg(long, value_name = "NAME", value_parser = parse::object_name)]
    pub token_secret: Option<String>,
    /// Download only files that match; may be repeated.
    #[arg(long, value_name = "GLOB")]
    pub include: Vec<String>,
    /// Do not download files that match; may be repeated.
    #[arg(long, value_name = "GLOB")]
    pub exclude: Vec<String>,
    /// The image, with bash and either hf or Python with pip.
    #[arg(long, value_name = "IMAGE", default_value = IMAGE)]
    pub image: String,
    /// Download as fast as the client can; it then asks for 64Gi of memory and 8 processors.
    #[arg(long, conflicts_with = "no_xet")]
    pub fast: bool,
    /// Download by plain HTTP, without the Xet protocol; for proxies that do not let it pass.
    #[arg(long)]
    pub no_xet: bool,
    /// The memory of the Job; by default 8Gi, with --fast 64Gi.
    #[arg(long, value_name = "SIZE", value_parser = parse::size)]
    pub memory: Option<String>,
    /// The processors of the Job; by default 2, with --fast 8.
    #[arg(long, value_name = "COUNT", value_parser = parse::processors)]
    pub cpu: Option<String>,
    /// How long the Job tries again while the hub is away or allows no requests, such as 90s, 30m or 4h.
    #[arg(long, value_name = "TIME", default_value = "30m", value_parser = parse::long_time)]
    pub retry_for: Duration,
    /// The URL of a hub other than huggingface.co.
    #[arg(long, value_name = "URL")]
    pub endpoint: Option<String>,
    /// The group that may write to the claims' roots; none leaves the choice to the cluster.
    #[arg(long, value_name = "GID", default_value = "0", value_parser = parse::id)]
    pub fs_group: parse::Id,
    /// The user of the Job, with group 0; none leaves the choice to the cluster.
    #[arg(long, value_name = "UID", default_value = "1000", value_parser = parse::id)]
    pub user: parse::Id,
    /// The settings file; by default the webhook's own settings, or with --offline the built-in settings.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// The cluster.
    #[command(flatten)]
    pub cluster: Cluster,
}
