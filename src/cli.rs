//! What a person may type; types only.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, CommandFactory as _, FromArgMatches as _, Parser, Subcommand, ValueEnum};

use crate::admission::claim::Access;

mod check;
mod download;
mod explain;
mod uninstall;
mod parse;

pub use check::{Check, CheckOutput, Probe};
pub use download::Download;
pub use explain::{Cluster, Explain, Preview, PreviewOutput, Status};
pub use uninstall::{Completion, CompletionShell, Uninstall};

/// The image of the Jobs that commands create: bash, and Python with pip. By its digest, since a tag can be moved; it is that
/// of an index, for amd64 and arm64. `skopeo inspect --format "{{.Digest}}" docker://IMAGE` has that of a newer one.
const IMAGE: &str = "docker.io/library/python:3.13.15-slim-trixie@sha256:7c61056e61ac89e852de05f3dc6fa51a6dd2181797bceed46aa725dd7cb2cd3b";

/// Gives every NVIDIA Dynamo pod its model cache, compile cache and Model Express address.
#[derive(Debug, Parser)]
#[command(name = "dynamo-cache", version, about, max_term_width = 100)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The name by which kubectl finds us as `kubectl dynamo-cache`.
const PLUGIN: &str = "kubectl-dynamo_cache";

impl Cli {
    /// Reads the command line, the program's own name first; that of a plugin of kubectl shows in its help.
    ///
    /// # Errors
    /// What is wrong with it, or the help that was asked for.
    pub fn read(arguments: &[OsString]) -> Result<Cli, clap::Error> {
        let program = arguments.first().map(Path::new).and_then(Path::file_stem);
        let mut command = Cli::command();
        if program.is_some_and(|program| program == PLUGIN) {
            command = command.bin_name("kubectl dynamo-cache");
        }
        Cli::from_arg_matches(&command.try_get_matches_from_mut(arguments)?)
    }
}

/// The commands, in the order of their help.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the webhook.
    Serve(Box<Serve>),
    /// Change pods in files as the webhook would change them in the cluster.
    Inject(Inject),
    /// See the webhook at work on this machine, without a cluster.
    Try(Try),
    /// Check an installation, line by line.
    Check(Check),
    /// Tell why a pod got what it got.
    Explain(Explain),
    /// Show what a namespace would get before it is labelled.
    Preview(Preview),
    /// List the Dynamo components and what each got.
    Status(Status),
    /// Print or create the Job that fills the model cache.
    Download(Download),
    /// Print, check or describe the settings file.
    #[command(subcommand)]
    Config(Config),
    /// Print what a shell needs to complete this command line.
    Completion(Completion),
    /// Remove the webhook from the API server, and say how the rest goes.
    Uninstall(Uninstall),
}

/// Options of `serve`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  dynamo-cache serve --standalone --write-ca ca.crt \\
    --listen 127.0.0.1:10250 --admin-listen 127.0.0.1:8080
  dynamo-cache serve --kubeconfig ~/.kube/config \\
    --cert-file tls.crt --key-file tls.key
  dynamo-cache serve --config config.yaml --service dynamo-cache  # in a pod

RUST_LOG selects what is logged, for example RUST_LOG=debug. SIGTERM drains and stops, a second one aborts.")]
pub struct Serve {
    /// The settings file; without it the built-in settings apply.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// The address that the API server calls: POST /mutate, over TLS.
    #[arg(long, value_name = "ADDRESS", default_value = "0.0.0.0:10250")]
    pub listen: SocketAddr,
    /// The address for probes and metrics: /livez, /readyz, /metrics, over plain HTTP.
    #[arg(long, value_name = "ADDRESS", default_value = "0.0.0.0:8080")]
    pub admin_listen: SocketAddr,
    /// The serving certificate in PEM, the leaf first.
    #[arg(long, value_name = "FILE", requires = "key_file")]
    pub cert_file: Option<PathBuf>,
    /// The key of the certificate, in PEM.
    #[arg(long, value_name = "FILE", requires = "cert_file")]
    pub key_file: Option<PathBuf>,
    /// The CAs to publish in caBundle, in PEM; without it another tool publishes them, such as cert-manager.
    #[arg(long, value_name = "FILE", requires = "cert_file", requires = "service")]
    pub ca_file: Option<PathBuf>,
    /// The CAs of clients, in PEM. A TLS handshake then requires a client certificate signed by one of them.
    #[arg(long, value_name = "FILE")]
    pub client_ca_file: Option<PathBuf>,
    /// The Service of the webhook.
    #[command(flatten)]
    pub service: ServiceOptions,
    /// The kubeconfig of the cluster; without it the pod's ServiceAccount is used.
    #[arg(long, value_name = "FILE", conflicts_with = "known")]
    pub kubeconfig: Option<PathBuf>,
    /// Run without a cluster, with a certificate issued for localhost and 127.0.0.1. The options below replace the
    /// facts of a cluster; without them every claim counts as present.
    #[arg(long, conflicts_with_all = ["kubeconfig", "cert_file", "service"])]
    pub standalone: bool,
    /// The file to which --standalone writes its CA certificate, in PEM.
    #[arg(long, value_name = "FILE", requires = "standalone")]
    pub write_ca: Option<PathBuf>,
    /// Facts for --standalone.
    #[command(flatten)]
    pub known: Known,
    /// The label selector of the namespaces whose annotations are watched and whose pods are counted; it has to match
    /// the webhook configuration.
    #[arg(long, value_name = "SELECTOR", default_value = "dynamo-cache.io/inject=enabled")]
    pub namespace_selector: String,
    /// Do not count the component pods without a status annotation; counting them requires permission to list pods.
    #[arg(long)]
    pub no_pod_count: bool,
    /// The format of log lines.
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub log_format: LogFormat,
    /// Timeouts, intervals and lifetimes.
    #[command(flatten)]
    pub timing: Timing,
}

/// The Service by which the API server calls the webhook.
#[derive(Clone, Debug, Args)]
pub struct ServiceOptions {
    /// The Service by which the API server calls. The webhook then maintains its caBundle; unless --cert-file is given
    /// it also issues its own certificate, from a CA that the replicas share in a Secret.
    #[arg(long, value_name = "NAME", value_parser = parse::label)]
    pub service: Option<String>,
    /// The namespace of the Service; without it that of the pod or of the kubeconfig.
    #[arg(long, value_name = "NAME", requires = "service", value_parser = parse::label)]
    pub namespace: Option<String>,
    /// The MutatingWebhookConfiguration that references the Service; without it the one of the same name.
    #[arg(long, value_name = "NAME", requires = "service", value_parser = parse::object_name)]
    pub webhook_configuration: Option<String>,
    /// The Secret of the CA; without it the name of the Service and -ca.
    #[arg(long, value_name = "NAME", requires = "service", conflicts_with = "cert_file", value_parser = parse::object_name)]
    pub secret: Option<String>,
    /// An additional DNS name in the issued certificate; may be given several times.
    #[arg(long, value_name = "NAME", requires = "service", conflicts_with = "cert_file", value_parser = parse::dns_name)]
    pub dns_name: Vec<String>,
    /// The DNS domain of the cluster, for the long name of the Service.
    #[arg(long, value_name = "NAME", default_value = "cluster.local", value_parser = parse::dns_name)]
    pub cluster_domain: String,
}

/// Timeouts, intervals and lifetimes that tests shorten. They are hidden, because the defaults suit every cluster.
#[derive(Clone, Copy, Debug, Args)]
pub struct Timing {
    /// The lifetime of a CA; its successor is issued after two thirds of it.
    #[arg(long, value_name = "TIME", hide = true, default_value = "365d", value_parser = parse::time)]
    pub ca_lifetime: Duration,
    /// How long a claim may be Pending before its StorageClass decides whether it will ever get a volume.
    #[arg(long, value_name = "TIME", hide = true, default_value = "600s", value_parser = parse::time)]
    pub binding_timeout: Duration,
    /// The interval at which the clock is checked for certificates that are due for renewal.
    #[arg(long, value_name = "TIME", hide = true, default_value = "60s", value_parser = parse::interval)]
    pub renewal_check_interval: Duration,
    /// The average interval between two counts of the pods without a status annotation; it varies, so that replicas
    /// spread out.
    #[arg(long, value_name = "TIME", hide = true, default_value = "300s", value_parser = parse::interval)]
    pub pod_count_interval: Duration,
    /// The number of pods per page of a count. The webhook holds one pod at a time, but the API server holds a page.
    #[arg(long, value_name = "NUMBER", hide = true, default_value = "50", value_parser = clap::value_parser!(u32).range(1..))]
    pub pod_count_page_size: u32,
    /// The time from the first signal until the webhook stops accepting connections. A cluster needs about 15 s to send
    /// its calls elsewhere; --standalone does not wait.
    #[arg(long, value_name = "TIME", hide = true, default_value = "15s", default_value_if("standalone", "true", "0s"), value_parser = parse::time)]
    pub shutdown_delay: Duration,
    /// The time to complete requests in flight after that, first of the webhook and then of the admin server. Twice
    /// this and --shutdown-delay stay below the 30 s that a kubelet waits.
    #[arg(long, value_name = "TIME", hide = true, default_value = "7s", value_parser = parse::time)]
    pub drain_timeout: Duration,
    /// The time between two requests on a connection. The API server keeps idle connections for 90 s, and loses a call
    /// if the webhook closes one first.
    #[arg(long, value_name = "TIME", hide = true, default_value = "120s", value_parser = parse::time)]
    pub keep_alive_timeout: Duration,
    /// The lifetime of the serving certificate; its successor is issued after two thirds of it.
    #[arg(long, value_name = "TIME", hide = true, default_value = "7d", value_parser = parse::time)]
    pub leaf_lifetime: Duration,
    /// The interval at which the settings file and the certificate files are reloaded.
    #[arg(long, value_name = "TIME", hide = true, default_value = "5s", value_parser = parse::interval)]
    pub reload_interval: Duration,
    /// The time from the publication of a CA to its first certificate: every API server learns of the CA by a watch of
    /// its own.
    #[arg(long, value_name = "TIME", hide = true, default_value = "60s", value_parser = parse::time)]
    pub propagation_delay: Duration,
    /// The time for a TLS handshake, for the first byte after it, and for the head of a request.
    #[arg(long, value_name = "TIME", hide = true, default_value = "10s", value_parser = parse::time)]
    pub handshake_timeout: Duration,
}

/// The format of log lines.
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
    /// What the cluster would know.
    #[command(flatten)]
    pub known: Known,
    /// Where a kind that is not known has its pod template, as a JSON Pointer such as /spec/template.
    #[arg(long, value_name = "POINTER", value_parser = parse::pointer)]
    pub pod_template: Vec<String>,
}

/// What a cluster would know, from files or in short.
#[derive(Clone, Debug, Default, Args)]
#[group(id = "known", multiple = true)]
pub struct Known {
    /// The pods' namespace as `kubectl get namespace NAME -o yaml` prints it, for its annotations.
    #[arg(long, value_name = "FILE")]
    pub namespace_file: Option<PathBuf>,
    /// An annotation of the pods' namespace, such as dynamo-cache.io/model-claim=models; wins over --namespace-file.
    #[arg(long, value_name = "KEY=VALUE", value_parser = parse::annotation)]
    pub namespace_annotation: Vec<(String, String)>,
    /// The claims of the pods' namespace as `kubectl get persistentvolumeclaims -o yaml` prints them; no others exist.
    ///
    /// StorageClasses in the same file tell which claims wait for a volume that does not come.
    #[arg(long, value_name = "FILE")]
    pub claims: Option<PathBuf>,
    /// A claim that exists, and its access mode, `ReadWriteMany` by default; no others exist.
    ///
    /// Without --claim and --claims every claim exists.
    #[arg(long, value_name = "NAME[=MODE]", value_parser = parse::claim)]
    pub claim: Vec<(String, Access)>,
}

impl Known {
    /// Whether any of it was given.
    pub fn says_something(&self) -> bool {
        let Known { namespace_file, namespace_annotation, claims, claim } = self;
        namespace_file.is_some() || claims.is_some() || !namespace_annotation.is_empty() || !claim.is_empty()
    }
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
#[command(after_help = "\
Examples:
  dynamo-cache try
  dynamo-cache try -f manifests/examples/rolebasedgroup-sglang.yaml

It starts `serve --standalone` on a free port of this machine, and sends it over HTTPS the review that an API \
server would send. Nothing is sent anywhere else, and nothing stays behind.")]
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
  dynamo-cache inject -f worker.yaml \\
    --namespace-file namespace.yaml --claims claims.yaml

  # One claim exists, and only one node can mount it
  dynamo-cache inject -f worker.yaml --claim model-cache=ReadWriteOnce

What is left out is told on standard error, with its reason code.
Exit codes: 0 done, 1 something cannot be read (FILE:LINE:COLUMN: message), 2 wrong usage.";

const CONFIG_EXAMPLES: &str = "\
Examples:
  dynamo-cache config default > config.yaml
  dynamo-cache config check config.yaml
  dynamo-cache config schema > config.schema.json";
