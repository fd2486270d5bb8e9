//! Prints to standard output and standard error without letting the text control the terminal.

use std::io::{self, Write};

use anyhow::Context;

use crate::terminal::visible::visible;

/// Prints text for people to standard output, with control characters escaped.
pub(crate) fn print(text: &str) -> anyhow::Result<()> {
    print_exact(&visible(text))
}

/// Prints to standard output without escaping: text for programs, and coloured text whose parts are already escaped. A closed
/// pipe, as in `… | head`, is not an error.
pub(crate) fn print_exact(text: &str) -> anyhow::Result<()> {
    let mut output = io::stdout().lock();
    match output.write_all(text.as_bytes()).and_then(|()| output.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error).context("failed to write the output"),
        _ => Ok(()),
    }
}

/// Prints notes to standard error, one line each.
pub(crate) fn note_all<'n>(notes: impl IntoIterator<Item = &'n String>) {
    for line in notes {
        note(line);
    }
}

/// Prints text for people to standard error, with control characters escaped.
pub fn note(lines: &str) {
    crate::log::print(&visible(lines));
}
