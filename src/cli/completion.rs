//! Options of `completion`.

use clap::{Args, ValueEnum};

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

/// Shells with a completion script.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum CompletionShell {
    /// GNU bash.
    Bash,
    /// fish.
    Fish,
    /// zsh.
    Zsh,
}
