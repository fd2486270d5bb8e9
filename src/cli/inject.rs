//! Options of `inject`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use crate::cli::{OfflineFacts, parse};

/// Options of `inject`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  # Apply a worker with its caches to a cluster without the webhook
  dynamo-cache inject -f worker.yaml | kubectl apply -f -

  # See what the webhook would change
  dynamo-cache inject -f worker.yaml -o diff

  # Decide with the annotations and claims of a namespace
  kubectl get namespace inference -o yaml > namespace.yaml
  kubectl get persistentvolumeclaims -n inference -o yaml > claims.yaml
  dynamo-cache inject -f worker.yaml \\
    --namespace-file namespace.yaml --claims claims.yaml

  # Decide as if the only claim were one that a single node can mount
  dynamo-cache inject -f worker.yaml --claim model-cache=ReadWriteOnce

Skipped caches are reported on standard error, each with its reason code.
Exit codes: 0 success, 1 a file cannot be read or parsed (FILE:LINE:COLUMN: message), 2 wrong usage.")]
pub struct Inject {
    /// The file to read, YAML or JSON with any number of documents; - for standard input.
    #[arg(short, long, value_name = "FILE")]
    pub filename: PathBuf,
    /// The output format.
    #[arg(short, long, value_name = "FORMAT", default_value = "yaml")]
    pub output: InjectOutput,
    /// The settings file; without it, the built-in settings apply.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// The facts that a cluster would provide.
    #[command(flatten)]
    pub known: OfflineFacts,
    /// The JSON Pointer of the pod template in objects of unknown kinds, such as /spec/template; may be repeated.
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
