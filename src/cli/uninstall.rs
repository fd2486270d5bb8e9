//! Options of `uninstall`.

use clap::Args;

use crate::cli::Cluster;

/// Options of `uninstall`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  dynamo-cache uninstall          # print what would be deleted
  dynamo-cache uninstall --yes

The command deletes the guard's binding first, then the MutatingWebhookConfiguration, then the guard's policy, so that the API server neither \
refuses pods nor calls a webhook that is gone. Then it prints the command that removes the rest. It deletes those of every \
dynamo-cache in the cluster, and a guard whose configuration is already gone.")]
pub struct Uninstall {
    /// Delete, instead of only printing what would be deleted.
    #[arg(long)]
    pub yes: bool,
    /// The cluster.
    #[command(flatten)]
    pub cluster: Cluster,
}
