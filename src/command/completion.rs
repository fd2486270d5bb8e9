//! Print the completion script for a shell.

use clap::CommandFactory as _;
use clap_complete::{Shell, generate};

use crate::cli::{Cli, Completion, CompletionShell};
use crate::terminal::print_exact;

/// Runs `completion`.
///
/// # Errors
/// The output cannot be written.
pub(super) fn run(options: &Completion) -> anyhow::Result<()> {
    let shell = match options.shell {
        CompletionShell::Bash => Shell::Bash,
        CompletionShell::Fish => Shell::Fish,
        CompletionShell::Zsh => Shell::Zsh,
    };
    let mut script = Vec::new();
    generate(shell, &mut Cli::command(), "dynamo-cache", &mut script);
    let script = String::from_utf8(script)?;
    // For bash, clap_complete 4.6 spells a name with a hyphen in two ways that do not match each other.
    print_exact(&script.replace("dynamo__subcmd__cache", "dynamo__cache"))
}
