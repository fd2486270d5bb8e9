//! Lines on standard output and standard error, of which none commands a terminal.

use std::io::{self, Write};

use anyhow::Context;

use crate::terminal::screen::visible;

/// Prints to standard output, for eyes: nothing in it commands a terminal.
pub(crate) fn print(text: &str) -> anyhow::Result<()> {
    print_exact(&visible(text))
}

/// Prints to standard output as it is: what programs read, and what is coloured, its parts made visible before. A reader
/// that has gone away, as in `… | head`, has what it wanted.
pub(crate) fn print_exact(text: &str) -> anyhow::Result<()> {
    let mut output = io::stdout().lock();
    match output.write_all(text.as_bytes()).and_then(|()| output.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error).context("failed to write the output"),
        _ => Ok(()),
    }
}

/// Prints notes to standard error, a line each.
pub(crate) fn note_all<'n>(notes: impl IntoIterator<Item = &'n String>) {
    for line in notes {
        note(line);
    }
}

/// Prints lines to standard error, for eyes.
pub fn note(lines: &str) {
    crate::log::print(&visible(lines));
}
