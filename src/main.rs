//! Parse the command line, run, exit code.

use std::process::ExitCode;

use clap::Parser;
use dynamo_cache::cli::Cli;
use dynamo_cache::command;

fn main() -> ExitCode {
    let cli = Cli::parse();
    match command::run(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            command::tell(&format!("{error:#}"));
            ExitCode::FAILURE
        }
    }
}
