//! What a person may type around the tool itself: `completion` and `uninstall`.

use clap::{Args, ValueEnum};

use crate::cli::Cluster;

/// Options of `completion`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  source <(dynamo-cache completion bash)
  dynamo-cache completion zsh > \"${fpath[1]}/_dynamo-cache\"
  dynamo-cache completion fish > ~/.config/fish/completions/dynamo-cache.fish")]
pub struct Completion {
    /// The shell.
    pub shell: CompletionShell,
}

/// The shells that are known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum CompletionShell {
    /// GNU bash.
    Bash,
    /// fish.
    Fish,
    /// zsh.
    Zsh,
}

/// Options of `uninstall`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  dynamo-cache uninstall          # what would be deleted
  dynamo-cache uninstall --yes

The guard's binding and the MutatingWebhookConfiguration go first, so that the API server refuses nothing and calls \
nobody who is gone; then it prints the command that removes the rest. Where several dynamo-caches are installed, all of them go. A guard that was left where the configuration is \
gone already goes, too.")]
pub struct Uninstall {
    /// Delete, instead of only saying what would be deleted.
    #[arg(long)]
    pub yes: bool,
    /// Which cluster.
    #[command(flatten)]
    pub cluster: Cluster,
}
