//! What reaches a terminal: text that cannot command it, and one line that changes.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::io::{IsTerminal as _, Write as _};

use crate::terminal::note;

/// Text for eyes: control characters and those that turn the direction of text are written as their escapes.
///
/// A tenant writes annotations, commands and error messages; raw, an ESC in one moves the cursor of the person who reads it,
/// and U+202E turns the rest of the line around. Line ends and tabs stay.
pub(crate) fn visible(text: &str) -> Cow<'_, str> {
    if !text.contains(|c: char| c != '\n' && commands(c)) {
        return text.into();
    }
    escaped(text, |c| c != '\n' && commands(c)).into()
}

/// The same for text that is one line, or a cell of a table: line ends are escapes too.
pub(crate) fn visible_line(text: &str) -> Cow<'_, str> {
    if !text.contains(commands) {
        return text.into();
    }
    escaped(text, commands).into()
}

fn escaped(text: &str, is_escaped: impl Fn(char) -> bool) -> String {
    let mut visible = String::with_capacity(text.len());
    for c in text.chars() {
        let _ = match c {
            '\n' if is_escaped(c) => write!(visible, "\\n"),
            '\r' => write!(visible, "\\r"),
            c if is_escaped(c) && c.is_ascii() => write!(visible, "\\x{:02x}", u32::from(c)),
            c if is_escaped(c) => write!(visible, "\\u{:04x}", u32::from(c)),
            c => write!(visible, "{c}"),
        };
    }
    visible
}

/// Whether a character does something to a terminal besides being there: controls (C0, DEL and C1), line ends of Unicode,
/// and marks, embeddings, overrides and isolates of direction (Unicode Standard Annex 9).
fn commands(c: char) -> bool {
    (c.is_control() && c != '\t')
        || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Standard error, and what is shown there.
pub(crate) struct Screen {
    /// Whether its line can change.
    pub(crate) is_terminal: bool,
    shown: String,
}

impl Screen {
    /// One that shows nothing yet.
    pub(crate) fn new() -> Self {
        Screen { is_terminal: std::io::stderr().is_terminal(), shown: String::new() }
    }

    /// Shows a line in place of the one before.
    pub(crate) fn show(&mut self, line: &str) {
        if self.shown == line {
            return;
        }
        line.clone_into(&mut self.shown);
        if self.is_terminal {
            // Back to the line's beginning, and away with what was there.
            let _ = write!(std::io::stderr().lock(), "\r\u{1b}[K{}", visible_line(line));
        } else {
            note(line);
        }
    }

    /// Leaves what is shown, and goes to the next line.
    pub(crate) fn end(&mut self) {
        if self.is_terminal && !self.shown.is_empty() {
            note("");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{visible, visible_line};

    #[test]
    fn what_commands_a_terminal_is_written_as_an_escape() {
        let hostile = "a\u{1b}[2Jb\u{202e}c\u{9b}d\r\n\te\u{7f}\u{2069}\u{200f}ü✓";
        assert_eq!(visible(hostile), "a\\x1b[2Jb\\u202ec\\u009bd\\r\n\te\\x7f\\u2069\\u200fü✓");
        assert_eq!(visible_line("a\nb"), "a\\nb");
        assert_eq!(visible("plain\n\ttext ✓ مرحبا"), "plain\n\ttext ✓ مرحبا");
    }
}
