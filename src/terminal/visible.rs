//! Makes control characters visible, so that text from a cluster cannot control the terminal.

use std::borrow::Cow;
use std::fmt::Write as _;

/// Replaces control characters, and characters that change the direction of text, by their escapes.
///
/// A tenant writes annotations, commands and error messages. A raw ESC in one of them could move the reader's cursor, and
/// U+202E would reverse the rest of the line. Line ends and tabs stay.
pub(crate) fn visible(text: &str) -> Cow<'_, str> {
    if !text.contains(|c: char| c != '\n' && controls_terminal(c)) {
        return text.into();
    }
    escaped(text, |c| c != '\n' && controls_terminal(c)).into()
}

/// Like [`visible`], for a single line or a table cell: line ends are escaped too.
pub(crate) fn visible_line(text: &str) -> Cow<'_, str> {
    if !text.contains(controls_terminal) {
        return text.into();
    }
    escaped(text, controls_terminal).into()
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

/// Whether a terminal acts on a character instead of printing it: controls (C0 without tab, DEL, C1), Unicode line ends, and
/// direction marks, embeddings, overrides and isolates (Unicode Standard Annex 9).
fn controls_terminal(c: char) -> bool {
    (c.is_control() && c != '\t')
        || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::{visible, visible_line};

    #[test]
    fn characters_that_control_a_terminal_are_escaped() {
        let hostile = "a\u{1b}[2Jb\u{202e}c\u{9b}d\r\n\te\u{7f}\u{2069}\u{200f}ü✓";
        assert_eq!(visible(hostile), "a\\x1b[2Jb\\u202ec\\u009bd\\r\n\te\\x7f\\u2069\\u200fü✓");
        assert_eq!(visible_line("a\nb"), "a\\nb");
        assert_eq!(visible("plain\n\ttext ✓ مرحبا"), "plain\n\ttext ✓ مرحبا");
    }
}
