//! What a person may type to look at what is there: `explain`, `preview` and `status`; and at which cluster.

use std::path::PathBuf;

use clap::{ArgGroup, Args, ValueEnum};

use crate::cli::{Known, parse};

/// Which cluster is asked, and which namespace is meant.
#[derive(Clone, Debug, Default, Args)]
#[group(skip)]
pub struct Cluster {
    /// How to reach the cluster; KUBECONFIG, then ~/.kube/config by default, inside a pod its ServiceAccount.
    #[arg(long, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
    /// The context of the kubeconfig; its current one by default.
    #[arg(long, value_name = "NAME")]
    pub context: Option<String>,
    /// The namespace; that of the context by default.
    #[arg(short, long, value_name = "NAME")]
    pub namespace: Option<String>,
}

/// Options of `explain`.
#[derive(Debug, Args)]
#[command(group(ArgGroup::new("what").args(["pod", "filename"]).required(true)), after_help = "\
Examples:
  dynamo-cache explain vllm-worker-0 -n inference
  dynamo-cache explain -f manifests/examples/vllm-worker.yaml
  dynamo-cache explain -f worker.yaml --claim model-cache=ReadWriteOnce

A live pod is explained as it stands, with what the cluster knows now; a pod without the status annotation: why the \
webhook was not asked. With -f no cluster is asked.")]
pub struct Explain {
    /// The pod, by its name or as pod/NAME.
    #[arg(value_name = "POD", conflicts_with = "known", value_parser = parse::pod)]
    pub pod: Option<String>,
    /// A file with pods or workloads instead, YAML or JSON; - for standard input.
    #[arg(short, long, value_name = "FILE", conflicts_with_all = ["kubeconfig", "context", "namespace"])]
    pub filename: Option<PathBuf>,
    /// The settings file; by default the webhook's own, with -f the built-in settings.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Which cluster.
    #[command(flatten)]
    pub cluster: Cluster,
    /// What a cluster would know, for -f.
    #[command(flatten)]
    pub known: Known,
}

/// Options of `preview`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  dynamo-cache preview -n inference
  dynamo-cache preview -n inference -o diff
  dynamo-cache preview -n inference --config config.yaml

Nothing is changed. It shows what the pods would get if they were created in the labelled namespace now: the live \
workloads, and the pods that none of these has made.")]
pub struct Preview {
    /// What to print.
    #[arg(short, long, value_name = "FORMAT", default_value = "table")]
    pub output: PreviewOutput,
    /// The settings file; the webhook's own by default.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Which cluster.
    #[command(flatten)]
    pub cluster: Cluster,
}

/// What `preview` prints.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum PreviewOutput {
    /// A unified diff per object.
    Diff,
    /// A row per container.
    Table,
}

/// Options of `status`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  dynamo-cache status -n inference
  dynamo-cache status -A

A row per container of every Dynamo component, a summary per namespace, and advice where a pod started without what it \
could have now.")]
pub struct Status {
    /// All namespaces.
    #[arg(short = 'A', long, conflicts_with = "namespace")]
    pub all_namespaces: bool,
    /// The settings file; the webhook's own by default.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Which cluster.
    #[command(flatten)]
    pub cluster: Cluster,
}
