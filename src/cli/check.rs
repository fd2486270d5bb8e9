//! What a person may type after `check`.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};

use super::{Cluster, IMAGE};
use crate::cli::parse;

/// Options of `check`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  dynamo-cache check
  dynamo-cache check -n inference
  dynamo-cache check -n inference --write-probe
  dynamo-cache check -o json | jq '.[] | select(.state == \"failed\")'

A canary pod goes through the API server on a dry run, so that its own sentence tells whether it reaches the webhook. \
Lines that depend on one that failed say so, and are not checked.
Nothing is changed without --write-probe, which runs a Job per claim as the workers' user, and takes it away again \
whatever comes of it. On OpenShift: --probe-user none.
Exit codes: 0 nothing failed, 1 something did, 2 wrong usage.")]
pub struct Check {
    /// What to print.
    #[arg(short, long, value_name = "FORMAT", default_value = "text")]
    pub output: CheckOutput,
    /// Whether claims are written to.
    #[command(flatten)]
    pub probe: Probe,
    /// The settings file; the webhook's own by default.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Which cluster; without -n all labelled namespaces are checked.
    #[command(flatten)]
    pub cluster: Cluster,
}

/// How to prove that claims can be written.
#[derive(Debug, Args)]
#[group(skip)]
pub struct Probe {
    /// Prove that the claims can be written: a short Job per claim writes, reads and removes a file.
    #[arg(long)]
    pub write_probe: bool,
    /// The image of these Jobs: sh, mktemp, cat, rm and stat; that of download is often on the nodes already.
    #[arg(long, value_name = "IMAGE", default_value = IMAGE, requires = "write_probe")]
    pub probe_image: String,
    /// How long the Jobs of a namespace may take, as 30s or 5m.
    #[arg(long, value_name = "TIME", default_value = "2m", requires = "write_probe", value_parser = parse::long_time)]
    pub probe_timeout: Duration,
    /// Their user, with group 0, or none.
    #[arg(long, value_name = "UID", default_value = "1000", requires = "write_probe", value_parser = parse::id)]
    pub probe_user: parse::Id,
}

/// What `check` prints.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum CheckOutput {
    /// An array of checks.
    Json,
    /// Lines for people.
    Text,
}
