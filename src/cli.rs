//! The command line; types only.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, CommandFactory as _, FromArgMatches as _, Parser, Subcommand, ValueEnum};

mod check;
mod cluster;
mod completion;
mod config;
mod download;
mod explain;
mod inject;
mod offline_facts;
mod parse;
mod preview;
mod status;
mod try_it;
mod uninstall;

pub use check::{Check, CheckOutput, Probe};
pub use cluster::Cluster;
pub use completion::{Completion, CompletionShell};
pub use config::Config;
pub use download::Download;
pub use explain::Explain;
pub use inject::{Inject, InjectOutput};
pub use offline_facts::OfflineFacts;
pub use preview::{Preview, PreviewOutput};
pub use status::Status;
pub use try_it::Try;
pub use uninstall::Uninstall;

/// The default image of the Jobs that commands create: bash, and Python with pip. It is pinned by the digest of an index for
/// amd64 and arm64, because a tag can be moved. `skopeo inspect --format "{{.Digest}}" docker://IMAGE` prints the digest of a
/// newer image.
const IMAGE: &str = "docker.io/library/python:3.13.15-slim-trixie@sha256:7c61056e61ac89e852de05f3dc6fa51a6dd2181797bceed46aa725dd7cb2cd3b";

/// Gives every NVIDIA Dynamo pod its model cache, compile cache and Model Express address.
#[derive(Debug, Parser)]
#[command(
    name = "dynamo-cache",
    version,
    about,
    max_term_width = 100,
    after_help = "\
Examples:
  dynamo-cache try                                # see it work, without a cluster
  dynamo-cache preview -n inference               # before a namespace is labelled
  dynamo-cache check                              # after an installation
  dynamo-cache explain vllm-worker-0 -n inference # why a pod got its caches"
)]
pub struct Cli {
    /// The command.
    #[command(subcommand)]
    pub command: Command,
}

/// The file name by which kubectl finds the plugin `kubectl dynamo-cache`.
const PLUGIN: &str = "kubectl-dynamo_cache";

impl Cli {
    /// Parses the command line, starting with the program's name. Run as a kubectl plugin, the help says so.
    ///
    /// # Errors
    /// The usage error, or the requested help.
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
    /// Run the webhook once on this machine, without a cluster.
    Try(Try),
    /// Check an installation and print a hint for each failure.
    Check(Check),
    /// Explain which caches a pod got, and why.
    Explain(Explain),
    /// Show which caches the pods of a namespace would get, before it is labelled.
    Preview(Preview),
    /// List the Dynamo components and the caches of each.
    Status(Status),
    /// Print or create the Job that fills the model cache.
    Download(Download),
    /// Print, check or describe the settings file.
    #[command(subcommand)]
    Config(Config),
    /// Print the completion script for a shell.
    Completion(Completion),
    /// Remove the webhook from the API server, and print how to remove the rest.
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

RUST_LOG chooses what is logged, for example RUST_LOG=debug. SIGTERM drains and stops, a second one aborts.")]
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
    /// The CAs to publish in caBundle, in PEM; without it somebody else does, cert-manager for one.
    #[arg(long, value_name = "FILE", requires = "cert_file", requires = "service")]
    pub ca_file: Option<PathBuf>,
    /// The CAs of clients, in PEM: a handshake without a certificate that one of them has signed fails.
    #[arg(long, value_name = "FILE")]
    pub client_ca_file: Option<PathBuf>,
    /// Who calls us, and by which name.
    #[command(flatten)]
    pub called: Called,
    /// How to reach the cluster from outside; inside a pod its ServiceAccount is used.
    #[arg(long, value_name = "FILE", conflicts_with = "known")]
    pub kubeconfig: Option<PathBuf>,
    /// Run without a cluster: a certificate minted for localhost and 127.0.0.1; the options below say what a cluster
    /// would know, and every claim is taken as present where they do not.
    #[arg(long, conflicts_with_all = ["kubeconfig", "cert_file", "service"])]
    pub standalone: bool,
    /// Where --standalone writes the certificate of its CA, in PEM.
    #[arg(long, value_name = "FILE", requires = "standalone")]
    pub write_ca: Option<PathBuf>,
    /// What the cluster would know, for --standalone.
    #[command(flatten)]
    pub known: OfflineFacts,
    /// The namespaces whose annotations are known and whose pods are counted, as a label selector: those of the webhook
    /// configuration.
    #[arg(long, value_name = "SELECTOR", default_value = "dynamo-cache.io/inject=enabled")]
    pub namespace_selector: String,
    /// Leave out the metric of component pods that the webhook did not see; counting them takes the right to list pods.
    #[arg(long)]
    pub no_pod_count: bool,
    /// How log lines are written.
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub log_format: LogFormat,
    /// How long each thing may take, and how much comes at once.
    #[command(flatten)]
    pub times: Times,
}

/// How the API server calls us.
#[derive(Clone, Debug, Args)]
pub struct Called {
    /// The Service by which the API server calls. Its caBundle is then looked after, and without --cert-file the
    /// certificate is made here, by a CA that all replicas share in a Secret.
    #[arg(long, value_name = "NAME", value_parser = parse::label)]
    pub service: Option<String>,
    /// Its namespace; without it the pod's own, or the kubeconfig's.
    #[arg(long, value_name = "NAME", requires = "service", value_parser = parse::label)]
    pub namespace: Option<String>,
    /// The `MutatingWebhookConfiguration` that names the Service; without it the one of the Service's name.
    #[arg(long, value_name = "NAME", requires = "service", value_parser = parse::object_name)]
    pub webhook_configuration: Option<String>,
    /// The Secret of the CA; without it the Service's name and -ca.
    #[arg(long, value_name = "NAME", requires = "service", conflicts_with = "cert_file", value_parser = parse::object_name)]
    pub secret: Option<String>,
    /// One more name in the certificate that is made; may be given several times.
    #[arg(long, value_name = "NAME", requires = "service", conflicts_with = "cert_file", value_parser = parse::dns_name)]
    pub dns_name: Vec<String>,
    /// The domain of the cluster, for the long name of the Service.
    #[arg(long, value_name = "NAME", default_value = "cluster.local", value_parser = parse::dns_name)]
    pub cluster_domain: String,
}

/// Times, and one number, that tests shorten, hidden: what stands here is right for every cluster.
#[derive(Clone, Copy, Debug, Args)]
pub struct Times {
    /// How long a CA is good; its successor comes in at two thirds.
    #[arg(long, value_name = "TIME", hide = true, default_value = "365d", value_parser = parse::time)]
    pub authority_lifetime: Duration,
    /// How long a claim may be Pending before its StorageClass is asked whether it ever gets a volume.
    #[arg(long, value_name = "TIME", hide = true, default_value = "600s", value_parser = parse::time)]
    pub binding_timeout: Duration,
    /// Between two looks at the wall clock for whatever is due by it.
    #[arg(long, value_name = "TIME", hide = true, default_value = "60s", value_parser = parse::interval)]
    pub check: Duration,
    /// Between two counts of the pods without our status; in the middle, for replicas drift apart.
    #[arg(long, value_name = "TIME", hide = true, default_value = "300s", value_parser = parse::interval)]
    pub count: Duration,
    /// Pods in one page of a count. We hold one at a time, but the API server holds the page.
    #[arg(long, value_name = "NUMBER", hide = true, default_value = "50", value_parser = clap::value_parser!(u32).range(1..))]
    pub count_page: u32,
    /// From the first signal to the end of accepting: a cluster needs about 15 s, without this, to send its calls
    /// elsewhere, and whoever tries something out on this machine none.
    #[arg(long, value_name = "TIME", hide = true, default_value = "15s", default_value_if("standalone", "true", "0s"), value_parser = parse::time)]
    pub drain: Duration,
    /// From there to the last answer, of the webhook and then of the probes: twice this and `drain` stay below the 30 s
    /// that a kubelet waits.
    #[arg(long, value_name = "TIME", hide = true, default_value = "7s", value_parser = parse::time)]
    pub finish: Duration,
    /// Between two requests of a connection; the API server keeps idle ones for 90 s and loses a call where we are first.
    #[arg(long, value_name = "TIME", hide = true, default_value = "120s", value_parser = parse::time)]
    pub idle: Duration,
    /// How long a leaf is good; the next is made at two thirds.
    #[arg(long, value_name = "TIME", hide = true, default_value = "7d", value_parser = parse::time)]
    pub leaf_lifetime: Duration,
    /// Between two readings of the settings file, and of a certificate's files.
    #[arg(long, value_name = "TIME", hide = true, default_value = "5s", value_parser = parse::interval)]
    pub reread: Duration,
    /// From a CA that is seen published to the first leaf of it: every API server learns of it by a watch of its own.
    #[arg(long, value_name = "TIME", hide = true, default_value = "60s", value_parser = parse::time)]
    pub settle: Duration,
    /// For a TLS handshake, for the first byte after it, and for the head of a request.
    #[arg(long, value_name = "TIME", hide = true, default_value = "10s", value_parser = parse::time)]
    pub silent: Duration,
}

/// The format of log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// One JSON object per line.
    Json,
    /// Text for people.
    Text,
}
