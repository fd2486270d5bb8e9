//! Options of `explain`.

use std::path::PathBuf;

use clap::{ArgGroup, Args};

use crate::cli::{Cluster, Files, OfflineFacts, parse};

/// Options of `explain`.
#[derive(Debug, Args)]
#[command(group(ArgGroup::new("what").args(["pod", "filename"]).required(true)), after_help = "\
Examples:
  dynamo-cache explain vllm-worker-0 -n inference
  dynamo-cache explain -f manifests/examples/vllm-worker.yaml
  dynamo-cache explain -f worker.yaml --claim model-cache=ReadWriteOnce
  dynamo-cache explain -f graph.yaml # the pods that a graph describes

For a live pod, the command shows what the pod has and what it would get if it were recreated now. If the pod has no \
status annotation, the command shows why the webhook did not review it. It also shows what keeps the pod from using the volumes of \
its claims: a missing annotation, other nodes, or an fsGroup without effect. With -f, no cluster is contacted, and -n is the namespace of objects that name none.")]
pub struct Explain {
    /// The name of the pod, or pod/NAME.
    #[arg(value_name = "POD", conflicts_with_all = ["known", "files", "pod_template"], value_parser = parse::pod)]
    pub pod: Option<String>,
    /// Files instead of a live pod.
    #[command(flatten)]
    pub files: Files,
    /// The settings file; by default the webhook's own settings, or with -f the built-in settings.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// The cluster.
    #[command(flatten)]
    pub cluster: Cluster,
    /// The facts that a cluster would provide, for -f.
    #[command(flatten)]
    pub known: OfflineFacts,
    /// The JSON Pointer of a pod template, or of the spec of a pod, in objects of kinds that are not known; may be repeated.
    ///
    /// In /spec/tasks/*/template, the * stands for each part of a list or mapping.
    #[arg(long, value_name = "POINTER", value_parser = parse::pointer)]
    pub pod_template: Vec<String>,
}
