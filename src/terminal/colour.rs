//! The ANSI sequences that dynamo-cache writes itself; `diffy` colours the diffs.

use std::io::IsTerminal;

const RESET: &str = "\u{1b}[0m";

/// Erases from the cursor to the end of the line.
pub(super) const ERASE_LINE: &str = "\u{1b}[K";

/// Moves the cursor up by some lines, to the beginning of the line.
pub(super) fn up(lines: usize) -> String {
    if lines == 0 { String::new() } else { format!("\u{1b}[{lines}F") }
}

/// The colour of a piece of text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Colour {
    /// For less important text.
    Dim,
    /// For success.
    Green,
    /// For failure.
    Red,
    /// For a warning.
    Yellow,
}

impl Colour {
    /// Wraps text in this colour.
    pub(crate) fn paint(self, text: &str) -> String {
        let begin = match self {
            Colour::Dim => "\u{1b}[2m",
            Colour::Green => "\u{1b}[32m",
            Colour::Red => "\u{1b}[31m",
            Colour::Yellow => "\u{1b}[33m",
        };
        format!("{begin}{text}{RESET}")
    }
}

/// Whether to colour standard output: it is a terminal, `NO_COLOR` is unset or empty, and `TERM` is not `dumb`.
#[expect(clippy::disallowed_methods, reason = "NO_COLOR and TERM are how every terminal program is configured")]
pub(crate) fn is_wanted() -> bool {
    let refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let dumb = std::env::var_os("TERM").is_some_and(|value| value == "dumb");
    std::io::stdout().is_terminal() && !refused && !dumb
}
