//! Tables with aligned columns, and the list of reasons below them.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use crate::admission::reason::Reason;
use crate::terminal::visible::visible_line;

/// Two spaces between columns, none after the last.
const GAP: &str = "  ";

/// What ends a cell of [`Rows`]: no cell has it, because it would be escaped there.
const END_OF_CELL: char = '\u{1f}';

/// The rows of a table, kept as their text.
#[derive(Clone, Debug, Default)]
pub(crate) struct Rows {
    text: String,
    widths: Vec<usize>,
}

impl Rows {
    /// Adds a row.
    pub(crate) fn push<C: AsRef<str>>(&mut self, cells: impl IntoIterator<Item = C>) {
        for (column, cell) in cells.into_iter().enumerate() {
            let cell = visible_line(cell.as_ref());
            self.widen(column, width(&cell));
            self.text += &cell;
            self.text.push(END_OF_CELL);
        }
        self.text.push('\n');
    }

    /// Adds the rows of another table.
    pub(crate) fn append(&mut self, other: &Rows) {
        for (column, wide) in other.widths.iter().enumerate() {
            self.widen(column, *wide);
        }
        self.text += &other.text;
    }

    fn widen(&mut self, column: usize, width: usize) {
        match self.widths.get_mut(column) {
            Some(widest) => *widest = width.max(*widest),
            None => self.widths.push(width),
        }
    }

    /// Formats the rows with each column as wide as its widest cell; each line starts with `indent`.
    pub(crate) fn aligned(&self, indent: &str) -> String {
        let mut text = String::new();
        for row in self.text.lines() {
            let mut line = indent.to_owned();
            for (cell, wide) in row.split_terminator(END_OF_CELL).zip(&self.widths) {
                line += cell;
                line.extend(std::iter::repeat_n(' ', wide.saturating_sub(width(cell))));
                line += GAP;
            }
            text += line.trim_end();
            text.push('\n');
        }
        text
    }
}

/// Formats rows with each column as wide as its widest cell; each line starts with `indent`.
pub(crate) fn aligned(indent: &str, rows: &[Vec<String>]) -> String {
    let mut table = Rows::default();
    for row in rows {
        table.push(row);
    }
    table.aligned(indent)
}

fn width(cell: &str) -> usize {
    cell.chars().count()
}

/// The section "Why not": each reason with its fix, and the claim if it concerns one. Empty without reasons.
pub(crate) fn why_not(reasons: &BTreeSet<(Reason, Option<String>)>) -> String {
    let mut text = if reasons.is_empty() { String::new() } else { "\nWhy not\n".to_owned() };
    for (reason, claim) in reasons {
        let claim = claim.as_ref().map(|claim| format!(" (claim {claim})")).unwrap_or_default();
        let _ = writeln!(text, "  {reason}: {}{claim}. {}", reason.sentence(), reason.fix());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::{Rows, aligned};

    #[test]
    fn columns_are_aligned_and_no_line_ends_in_spaces() {
        let rows = [["POD", "MODEL"], ["worker-1", "✓"], ["ü", ""]].map(|row| row.map(str::to_owned).to_vec());
        assert_eq!(aligned(" ", &rows), " POD       MODEL\n worker-1  ✓\n ü\n");
        assert_eq!(aligned("", &[]), "");
    }

    #[test]
    fn rows_of_several_tables_are_aligned_together() {
        let (mut first, mut second) = (Rows::default(), Rows::default());
        first.push(["a", "b\u{1f}\n", "", ""]);
        second.push(["wider", "c", "d"]);
        first.append(&second);
        assert_eq!(first.aligned(""), "a      b\\x1f\\n\nwider  c        d\n");
    }
}
