//! Where a person sees how far something is: one line on a terminal that changes, elsewhere a line per change.

use std::io::{IsTerminal as _, Write as _};

use super::tell;

/// Standard error, and what is shown there.
pub(super) struct Screen {
    /// Whether its line can change.
    pub(super) is_terminal: bool,
    shown: String,
}

impl Screen {
    /// One that shows nothing yet.
    pub(super) fn new() -> Self {
        Screen { is_terminal: std::io::stderr().is_terminal(), shown: String::new() }
    }

    /// Shows a line in place of the one before.
    pub(super) fn show(&mut self, line: &str) {
        if self.shown == line {
            return;
        }
        line.clone_into(&mut self.shown);
        if self.is_terminal {
            // Back to the line's beginning, and away with what was there.
            let _ = write!(std::io::stderr().lock(), "\r\u{1b}[K{line}");
        } else {
            tell(line);
        }
    }

    /// Leaves what is shown, and goes to the next line.
    pub(super) fn end(&mut self) {
        if self.is_terminal && !self.shown.is_empty() {
            tell("");
        }
    }
}
