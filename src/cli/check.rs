//! Options of `check`.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};

use crate::cli::{Cluster, IMAGE, parse};

/// Options of `check`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  dynamo-cache check
  dynamo-cache check -n inference
  dynamo-cache check -n inference --write-probe
  dynamo-cache check -n inference --write-probe --no-mark
  dynamo-cache check -o json | jq '.[] | select(.state == \"failed\")'

The command creates a canary pod through the API server as a dry run, so that the API server itself reports whether it \
reaches the webhook. A check that depends on a failed one is marked as not checked. Without -n, all labelled namespaces are checked.
The volumes of bound claims are read too: an annotation that pods need for them, nodes that cannot mount them, and drivers that \
ignore fsGroup. What you may not read is listed as not checked.
Nothing is changed without --write-probe, which runs a Job per claim as the workers' user and removes it again, even if it \
fails. The Job has the user and groups of the running components if these have the same. It marks the claim with the user who wrote (annotation dynamo-cache.io/writable): the webhook gives a compile cache \
only to pods of such a user. Without the right to patch claims, it prints the command for someone who has it; --no-mark \
leaves the claims as they are. On OpenShift, add --probe-user none.
Exit codes: 0 no check failed, 1 a check failed, 2 wrong usage.")]
pub struct Check {
    /// The output format.
    #[arg(short, long, value_name = "FORMAT", default_value = "text")]
    pub output: CheckOutput,
    /// Options of the write probe.
    #[command(flatten)]
    pub probe: Probe,
    /// The settings file; by default the webhook's own settings.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// The cluster; without -n, all labelled namespaces are checked.
    #[command(flatten)]
    pub cluster: Cluster,
}

/// Options of the write probe.
#[derive(Debug, Args)]
#[group(skip)]
pub struct Probe {
    /// Prove that the claims are writable, and mark them: a short Job per claim writes, reads and removes a file.
    #[arg(long)]
    pub write_probe: bool,
    /// Leave the claims as they are: write no annotation dynamo-cache.io/writable.
    #[arg(long, requires = "write_probe")]
    pub no_mark: bool,
    /// The image of these Jobs, with sh, id, mktemp, readlink, cat, rm and stat; by default the image of download.
    #[arg(long, value_name = "IMAGE", default_value = IMAGE, requires = "write_probe")]
    pub probe_image: String,
    /// How long the Jobs of one namespace may take, such as 30s or 5m.
    #[arg(long, value_name = "TIME", default_value = "2m", requires = "write_probe", value_parser = parse::long_time)]
    pub probe_timeout: Duration,
    /// The user of these Jobs, with group 0; none leaves the choice to the cluster. By default that of the running components
    /// if they have the same, else 1000.
    #[arg(long, value_name = "UID", requires = "write_probe", value_parser = parse::id)]
    pub probe_user: Option<parse::Id>,
    /// The fsGroup of these Jobs; none leaves it out. By default that of the running components if they have the same, else
    /// that of the settings.
    #[arg(long, value_name = "GROUP", requires = "write_probe", value_parser = parse::id)]
    pub probe_fs_group: Option<parse::Id>,
}

/// Output formats of `check`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum CheckOutput {
    /// A JSON array of checks.
    Json,
    /// Text for people.
    Text,
}
