//! Options of `explain`.

use std::path::PathBuf;

use clap::{ArgGroup, Args};

use crate::cli::{Cluster, OfflineFacts, parse};

/// Options of `explain`.
#[derive(Debug, Args)]
#[command(group(ArgGroup::new("what").args(["pod", "filename"]).required(true)), after_help = "\
Examples:
  dynamo-cache explain vllm-worker-0 -n inference
  dynamo-cache explain -f manifests/examples/vllm-worker.yaml
  dynamo-cache explain -f worker.yaml --claim model-cache=ReadWriteOnce

For a live pod, the command shows what the pod has and what it would get if it were recreated now. If the pod has no \
status annotation, the command shows why the webhook did not review it. With -f, no cluster is contacted.")]
pub struct Explain {
    /// The name of the pod, or pod/NAME.
    #[arg(value_name = "POD", conflicts_with = "known", value_parser = parse::pod)]
    pub pod: Option<String>,
    /// A file with pods or workloads instead, YAML or JSON; - for standard input.
    #[arg(short, long, value_name = "FILE", conflicts_with_all = ["kubeconfig", "context", "namespace"])]
    pub filename: Option<PathBuf>,
    /// The settings file; by default the webhook's own settings, or with -f the built-in settings.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// The cluster.
    #[command(flatten)]
    pub cluster: Cluster,
    /// The facts that a cluster would provide, for -f.
    #[command(flatten)]
    pub known: OfflineFacts,
}
