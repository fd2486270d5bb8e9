//! The commands.

use crate::cli::{Cli, Command};

mod check;
mod completion;
mod config;
mod copy_program;
mod download;
mod explain;
mod gate;
mod inject;
mod measure;
mod preview;
mod prune;
mod remove;
mod report;
mod stage;
mod status;
mod try_it;
mod uninstall;
mod usage;

/// Runs the command.
///
/// # Errors
/// Why the command failed, as a message for the user.
pub fn run(cli: Cli) -> anyhow::Result<()> {
    match cli.command {
        Command::Check(options) => check::run(&options),
        Command::Completion(options) => completion::run(&options),
        Command::Config(what) => config::run(&what),
        Command::CopyProgram(options) => copy_program::run(&options),
        Command::Download(options) => download::run(&options),
        Command::Explain(options) => explain::run(&options),
        Command::Gate(options) => gate::run(&options),
        Command::Inject(options) => inject::run(&options),
        Command::Measure(options) => measure::run(&options),
        Command::Preview(options) => preview::run(&options),
        Command::Prune(options) => prune::run(&options),
        Command::Remove(options) => remove::run(&options),
        Command::Report(options) => report::run(&options),
        Command::Serve(options) => crate::serve::run(&options),
        Command::Stage(options) => stage::run(&options),
        Command::Status(options) => status::run(&options),
        Command::Try(options) => try_it::run(&options),
        Command::Uninstall(options) => uninstall::run(&options),
        Command::Usage(options) => usage::run(&options),
    }
}
