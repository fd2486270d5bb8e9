//! Parse the command line, run, exit code.

use std::process::ExitCode;

use dynamo_cache::cli::Cli;
use dynamo_cache::command;

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args_os().collect();
    let cli = Cli::read(&arguments).unwrap_or_else(|error| error.exit());
    match command::run(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            command::tell(&format!("{error:#}"));
            ExitCode::FAILURE
        }
    }
}
