//! Tables with aligned columns, and the list of reasons below them.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use crate::admission::reason::Reason;
use crate::terminal::visible::visible_line;

/// Two spaces between columns, none after the last.
const GAP: &str = "  ";

/// Formats rows with each column as wide as its widest cell; each line starts with `indent`.
pub(crate) fn aligned(indent: &str, rows: &[Vec<String>]) -> String {
    let rows: Vec<Vec<_>> = rows.iter().map(|row| row.iter().map(|cell| visible_line(cell)).collect()).collect();
    let columns = rows.iter().map(Vec::len).max().unwrap_or_default();
    let widest = |column: usize| rows.iter().filter_map(|row| row.get(column)).map(|cell| width(cell)).max();
    let widths: Vec<_> = (0..columns).map(|column| widest(column).unwrap_or_default()).collect();
    let mut text = String::new();
    for row in &rows {
        let mut line = indent.to_owned();
        for (cell, wide) in row.iter().zip(&widths) {
            line += cell;
            line.extend(std::iter::repeat_n(' ', wide.saturating_sub(width(cell))));
            line += GAP;
        }
        text += line.trim_end();
        text.push('\n');
    }
    text
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
    use super::aligned;

    #[test]
    fn columns_are_aligned_and_no_line_ends_in_spaces() {
        let rows = [["POD", "MODEL"], ["worker-1", "✓"], ["ü", ""]].map(|row| row.map(str::to_owned).to_vec());
        assert_eq!(aligned(" ", &rows), " POD       MODEL\n worker-1  ✓\n ü\n");
        assert_eq!(aligned("", &[]), "");
    }
}
