//! Options of `inject`.

use std::path::PathBuf;

use clap::{ArgGroup, Args, ValueEnum};

use crate::cli::{Files, OfflineFacts, parse};

/// Options of `inject`.
#[derive(Debug, Args)]
#[command(group(ArgGroup::new("input").args(["filename"]).required(true)), after_help = "\
Examples:
  # Apply a worker with its caches to a cluster without the webhook
  dynamo-cache inject -f worker.yaml | kubectl apply -f -

  # See what the webhook would change
  dynamo-cache inject -f worker.yaml -o diff

  # Read a folder and what kustomize renders
  kubectl kustomize overlay | dynamo-cache inject -R -f manifests -f -

  # Decide with the annotations and claims of a namespace
  kubectl get namespace inference -o yaml > namespace.yaml
  kubectl get persistentvolumeclaims -n inference -o yaml > claims.yaml
  dynamo-cache inject -f worker.yaml \\
    --namespace-file namespace.yaml --claims claims.yaml

  # Decide as if the only claim were one that a single node can mount
  dynamo-cache inject -f worker.yaml --claim model-cache=ReadWriteOnce

With -o yaml, comments and the text of everything that does not change stay. Where the additions do not fit into the text of \
a document, it is written again without its comments, and a line on standard error says so.
Namespaces and claims in the files count as facts, unless options say otherwise.
Skipped caches are reported on standard error, each with its reason code.
Exit codes: 0 success, 1 a file cannot be read or parsed (FILE:LINE:COLUMN: message), 2 wrong usage.")]
pub struct Inject {
    /// The files to read.
    #[command(flatten)]
    pub files: Files,
    /// The output format.
    #[arg(short, long, value_name = "FORMAT", default_value = "yaml")]
    pub output: InjectOutput,
    /// The settings file; without it, the built-in settings apply.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// The facts that a cluster would provide.
    #[command(flatten)]
    pub known: OfflineFacts,
    /// The JSON Pointer of a pod template, or of the spec of a pod, in objects of kinds that are not known; may be repeated.
    ///
    /// In /spec/tasks/*/template, the * stands for each part of a list or mapping.
    #[arg(long, value_name = "POINTER", value_parser = parse::pointer)]
    pub pod_template: Vec<String>,
}

/// Output formats of `inject`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum InjectOutput {
    /// A unified diff per document.
    Diff,
    /// The documents, one after another.
    Json,
    /// A JSON Patch per document.
    Patch,
    /// The documents.
    Yaml,
}
