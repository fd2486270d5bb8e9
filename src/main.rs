//! The binary: parses the command line, runs the command and returns its exit code.

use std::process::ExitCode;

use dynamo_cache::cli::Cli;
use dynamo_cache::signal::Stopped;
use dynamo_cache::{command, log, terminal};

fn main() -> ExitCode {
    // Log lines are flushed however `main` returns.
    let _flush = log::Flush;
    let arguments: Vec<_> = std::env::args_os().collect();
    let cli = Cli::read(&arguments).unwrap_or_else(|error| error.exit());
    match command::run(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            terminal::note(&format!("{error:#}"));
            error.downcast_ref().map_or(ExitCode::FAILURE, |stopped: &Stopped| stopped.exit_code().into())
        }
    }
}
