//! What a person may type; types only.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::admission::claim::Access;

mod value;

/// Gives every NVIDIA Dynamo pod its model cache, compile cache and Model Express address.
#[derive(Debug, Parser)]
#[command(name = "dynamo-cache", version, about, max_term_width = 100)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands, in the order of their help.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the webhook.
    Serve(Serve),
    /// Change pods in files as the webhook would change them in the cluster.
    Inject(Inject),
    /// See the webhook at work on this machine, without a cluster.
    Try(Try),
    /// Print, check or describe the settings file.
    #[command(subcommand)]
    Config(Config),
}

/// Options of `serve`.
#[derive(Debug, Args)]
pub struct Serve {
    /// The settings file; the built-in settings apply without it.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Where the API server calls: POST /mutate, over TLS.
    #[arg(long, value_name = "ADDRESS", default_value = "0.0.0.0:10250")]
    pub listen: SocketAddr,
    /// Where probes and metrics are served: /livez, /readyz, /metrics, over plain HTTP.
    #[arg(long, value_name = "ADDRESS", default_value = "0.0.0.0:8080")]
    pub admin_listen: SocketAddr,
    /// The certificate to show, the leaf first, in PEM.
    #[arg(long, value_name = "FILE", requires = "key_file")]
    pub cert_file: Option<PathBuf>,
    /// Its key, in PEM.
    #[arg(long, value_name = "FILE", requires = "cert_file")]
    pub key_file: Option<PathBuf>,
    /// How to reach the cluster from outside; inside a pod its ServiceAccount is used.
    #[arg(long, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
    /// Run without a cluster: a certificate minted for localhost and 127.0.0.1, every claim taken as present.
    #[arg(long, conflicts_with_all = ["kubeconfig", "cert_file"])]
    pub standalone: bool,
    /// Where --standalone writes the certificate of its CA, in PEM.
    #[arg(long, value_name = "FILE", requires = "standalone")]
    pub write_ca: Option<PathBuf>,
    /// How log lines are written.
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub log_format: LogFormat,
}

/// How log lines are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// One JSON object a line.
    Json,
    /// For people.
    Text,
}

/// Options of `inject`.
#[derive(Debug, Args)]
#[command(after_help = INJECT_EXAMPLES)]
pub struct Inject {
    /// The file to read, YAML or JSON, with any number of documents; - for standard input.
    #[arg(short, long, value_name = "FILE")]
    pub filename: PathBuf,
    /// What to print.
    #[arg(short, long, value_name = "FORMAT", default_value = "yaml")]
    pub output: InjectOutput,
    /// The settings file; the built-in settings apply without it.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// The pods' namespace as `kubectl get namespace NAME -o yaml` prints it, for its annotations.
    #[arg(long, value_name = "FILE")]
    pub namespace_file: Option<PathBuf>,
    /// An annotation of the pods' namespace, such as dynamo-cache.io/model-claim=models; wins over --namespace-file.
    #[arg(long, value_name = "KEY=VALUE", value_parser = value::annotation)]
    pub namespace_annotation: Vec<(String, String)>,
    /// The claims of the pods' namespace as `kubectl get persistentvolumeclaims -o yaml` prints them; no others exist.
    #[arg(long, value_name = "FILE")]
    pub claims: Option<PathBuf>,
    /// A claim that exists, and its access mode, `ReadWriteMany` by default; no others exist.
    ///
    /// Without --claim and --claims every claim exists.
    #[arg(long, value_name = "NAME[=MODE]", value_parser = value::claim)]
    pub claim: Vec<(String, Access)>,
    /// Where a kind that is not known has its pod template, as a JSON Pointer such as /spec/template.
    #[arg(long, value_name = "POINTER", value_parser = value::pointer)]
    pub pod_template: Vec<String>,
}

/// What `inject` prints.
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

/// Options of `try`.
#[derive(Debug, Args)]
pub struct Try {
    /// A pod or workload to try instead of the example worker; - for standard input.
    #[arg(short, long, value_name = "FILE")]
    pub filename: Option<PathBuf>,
}

/// What to do with the settings file.
#[derive(Debug, Subcommand)]
#[command(after_help = CONFIG_EXAMPLES)]
pub enum Config {
    /// Check a settings file and print every mistake with its line and column.
    Check {
        /// The file; - for standard input.
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
    /// Print the default settings file, with comments.
    Default,
    /// Print a JSON Schema of the settings file, for editors.
    Schema,
}

const INJECT_EXAMPLES: &str = "\
Examples:
  # Apply a worker with its caches to a cluster that has no webhook
  dynamo-cache inject -f worker.yaml | kubectl apply -f -

  # See what the webhook would change
  dynamo-cache inject -f worker.yaml -o diff

  # The same with what a cluster knows
  kubectl get namespace inference -o yaml > namespace.yaml
  kubectl get persistentvolumeclaims -n inference -o yaml > claims.yaml
  dynamo-cache inject -f worker.yaml --namespace-file namespace.yaml --claims claims.yaml

  # One claim exists, and only one node can mount it
  dynamo-cache inject -f worker.yaml --claim model-cache=ReadWriteOnce

What is left out is told on standard error, with its reason code.
Exit codes: 0 done, 1 something cannot be read (FILE:LINE:COLUMN: message), 2 wrong usage.";

const CONFIG_EXAMPLES: &str = "\
Examples:
  dynamo-cache config default > config.yaml
  dynamo-cache config check config.yaml
  dynamo-cache config schema > config.schema.json";
