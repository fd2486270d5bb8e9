//! Progress on standard error: one line that is rewritten on a terminal, else one line per change.

use std::io::{IsTerminal as _, Write as _};

use crate::terminal::colour::ERASE_LINE;
use crate::terminal::note;
use crate::terminal::visible::visible_line;

/// The progress line on standard error.
pub(crate) struct ProgressLine {
    /// Whether standard error is a terminal, so that the line is rewritten.
    pub(crate) is_terminal: bool,
    current: String,
}

impl ProgressLine {
    /// An empty progress line.
    pub(crate) fn new() -> Self {
        ProgressLine { is_terminal: std::io::stderr().is_terminal(), current: String::new() }
    }

    /// Replaces the current line; the same line twice is written once.
    pub(crate) fn update(&mut self, line: &str) {
        if self.current == line {
            return;
        }
        line.clone_into(&mut self.current);
        if self.is_terminal {
            let _ = write!(std::io::stderr().lock(), "\r{ERASE_LINE}{}", visible_line(line));
        } else {
            note(line);
        }
    }

    /// Keeps the current line and moves to the next one.
    pub(crate) fn finish(&mut self) {
        if self.is_terminal && !self.current.is_empty() {
            note("");
        }
    }
}
