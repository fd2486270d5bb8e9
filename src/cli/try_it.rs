//! Options of `try`.

use std::path::PathBuf;

use clap::Args;

/// Options of `try`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  dynamo-cache try
  dynamo-cache try -f manifests/examples/rolebasedgroup-sglang.yaml

The command starts the webhook (serve --standalone) on a free port of this machine and sends it, over HTTPS, the review \
that an API server would send. It contacts no other machine and leaves nothing behind.")]
pub struct Try {
    /// A pod or workload to use instead of the example worker; - for standard input.
    #[arg(short, long, value_name = "FILE")]
    pub filename: Option<PathBuf>,
}
