//! Options that name the cluster and the namespace.

use std::path::PathBuf;

use clap::Args;

use crate::cli::parse;

/// The cluster and the namespace to work in.
#[derive(Clone, Debug, Default, Args)]
#[group(skip)]
pub struct Cluster {
    /// The kubeconfig; by default $KUBECONFIG, then ~/.kube/config, and in a pod its ServiceAccount.
    #[arg(long, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
    /// The context of the kubeconfig; by default its current context.
    #[arg(long, value_name = "NAME")]
    pub context: Option<String>,
    /// The namespace; by default that of the context.
    #[arg(short, long, value_name = "NAME", value_parser = parse::label)]
    pub namespace: Option<String>,
}
