//! The commands.

use crate::cli::{Cli, Command};

mod check;
mod completion;
mod config;
mod download;
mod explain;
mod inject;
mod preview;
mod status;
mod try_it;
mod uninstall;

/// Runs the command.
///
/// # Errors
/// Why the command failed, as a message for the user.
pub fn run(cli: Cli) -> anyhow::Result<()> {
    match cli.command {
        Command::Check(options) => check::run(&options),
        Command::Completion(options) => completion::run(&options),
        Command::Config(what) => config::run(&what),
        Command::Download(options) => download::run(&options),
        Command::Explain(options) => explain::run(&options),
        Command::Inject(options) => inject::run(&options),
        Command::Preview(options) => preview::run(&options),
        Command::Serve(options) => crate::serve::run(&options),
        Command::Status(options) => status::run(&options),
        Command::Try(options) => try_it::run(&options),
        Command::Uninstall(options) => uninstall::run(&options),
    }
}
