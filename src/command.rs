//! What each command does: one line per command.

use std::io::{self, Write};

use anyhow::Context;

use crate::cli::{Cli, Command};

mod account;
mod anew;
mod api;
mod change;
mod check;
mod completion;
mod config;
mod diff;
mod download;
mod explain;
mod facts;
mod inject;
mod input;
mod installed;
mod job;
mod object;
mod opt_in;
mod owner;
mod preview;
mod recorded;
mod room;
mod screen;
mod selector;
mod serve;
mod status;
mod table;
mod template;
mod told;
mod try_it;
mod uninstall;
mod world;

/// A signal ended what was asked for, by its name.
#[derive(Debug, thiserror::Error)]
#[error("stopped by {0}")]
pub struct Stopped(pub &'static str);

impl Stopped {
    /// The exit code by which a shell knows it: 128 and the signal's number.
    pub fn exit_code(&self) -> u8 {
        match self.0 {
            "SIGTERM" => 143,
            _ => 130,
        }
    }
}

/// Runs what was asked for.
///
/// # Errors
/// Why it could not be done, in words for the person who asked.
pub fn run(cli: Cli) -> anyhow::Result<()> {
    match cli.command {
        Command::Check(options) => check::run(&options),
        Command::Completion(options) => completion::run(&options),
        Command::Config(what) => config::run(&what),
        Command::Download(options) => download::run(&options),
        Command::Explain(options) => explain::run(&options),
        Command::Inject(options) => inject::run(&options),
        Command::Preview(options) => preview::run(&options),
        Command::Serve(options) => serve::run(&options),
        Command::Status(options) => status::run(&options),
        Command::Try(options) => try_it::run(&options),
        Command::Uninstall(options) => uninstall::run(&options),
    }
}

/// Prints to standard output, for eyes: nothing in it commands a terminal.
fn print(text: &str) -> anyhow::Result<()> {
    print_exact(&screen::visible(text))
}

/// Prints to standard output as it is: what programs read, and what is coloured, its parts made visible before. A reader
/// that has gone away, as in `… | head`, has what it wanted.
fn print_exact(text: &str) -> anyhow::Result<()> {
    let mut output = io::stdout().lock();
    match output.write_all(text.as_bytes()).and_then(|()| output.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error).context("failed to write the output"),
        _ => Ok(()),
    }
}

/// Prints notes to standard error, a line each.
fn tell_all<'n>(notes: impl IntoIterator<Item = &'n String>) {
    for note in notes {
        tell(note);
    }
}

/// Prints lines to standard error, for eyes.
pub fn tell(lines: &str) {
    crate::log::print(&screen::visible(lines));
}
