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
mod copy_program;
mod download;
mod explain;
mod files;
mod gate;
mod inject;
mod measure;
mod offline_facts;
mod parse;
mod preview;
mod prune;
mod remove;
mod report;
mod stage;
mod status;
mod try_it;
mod uninstall;
mod usage;

pub use check::{Check, CheckOutput, Probe};
pub use cluster::Cluster;
pub use completion::{Completion, CompletionShell};
pub use config::Config;
pub use copy_program::CopyProgram;
pub use download::Download;
pub use explain::Explain;
pub use files::Files;
pub use gate::Gate;
pub use inject::{Inject, InjectOutput};
pub use measure::Measure;
pub use offline_facts::OfflineFacts;
pub use parse::Id;
pub use preview::{Preview, PreviewOutput};
pub use prune::Prune;
pub use remove::Remove;
pub use report::{Report, ReportOutput};
pub use stage::{Patience, PodIdentity, Stage, StageTiming};
pub use status::Status;
pub use try_it::Try;
pub use uninstall::Uninstall;
pub use usage::{ClaimJobs, Usage, UsageOutput};

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
  dynamo-cache try                         # see it work, without a cluster
  dynamo-cache preview -n inference        # before a namespace is labelled
  dynamo-cache check                       # after an installation
  dynamo-cache explain vllm-0 -n inference # why a pod got its caches"
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
    /// Report how long the engines took to start, with a compile cache and without.
    Report(Report),
    /// Print or create the Job that fills the model cache.
    Download(Box<Download>),
    /// Measure what the caches on a namespace's claims take, and who uses them.
    Usage(Usage),
    /// Remove compile caches that no workload would get, or a model by name.
    Prune(Prune),
    /// Print, check or describe the settings file.
    #[command(subcommand)]
    Config(Config),
    /// Print the completion script for a shell.
    Completion(Completion),
    /// Remove the webhook from the API server, and print how to remove the rest.
    Uninstall(Uninstall),
    /// Copy this program into a folder, as an init container.
    #[command(hide = true)]
    CopyProgram(CopyProgram),
    /// Restore and publish the compile cache of a pod, as its sidecar.
    #[command(hide = true)]
    Stage(Box<Stage>),
    /// Wait until the compile cache of a pod is restored, as an init container.
    #[command(hide = true)]
    Gate(Gate),
    /// Measure what the caches on a mounted claim take, in a Job of usage.
    #[command(hide = true)]
    Measure(Measure),
    /// Remove compile caches from a mounted claim, in a Job of prune.
    #[command(hide = true)]
    Remove(Remove),
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
    pub known: OfflineFacts,
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
    /// The Secret of the CA; without it, the name of the Service followed by -ca.
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
    /// One JSON object per line.
    Json,
    /// Text for people.
    Text,
}
