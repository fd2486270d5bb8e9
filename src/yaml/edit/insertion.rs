//! Inserts text into a document: into flow collections, below lines, and in place of short values.

use std::ops::Range;

use serde_json::Value;

use super::additions::{Additions, Inside, is_item};
use super::{Edited, text};
use crate::yaml::located::Located;

impl Additions<'_> {
    /// The text in a range of the file, with the additions.
    pub(super) fn apply(self, range: Range<usize>) -> Edited {
        let (mut text, mut from) = (String::with_capacity(range.len() * 2), range.start);
        for (replaced, new) in &self.found {
            text += self.text.get(from..replaced.start).unwrap_or_default();
            text += new;
            from = replaced.end;
        }
        text += self.text.get(from..range.end).unwrap_or_default();
        Edited { text, changes: self.found }
    }

    /// Inserts parts of a flow collection behind its last one.
    pub(super) fn insert_into_flow(&mut self, node: &Located, parts: &[String]) -> Option<()> {
        if parts.is_empty() {
            return Some(());
        }
        self.are_lines = false;
        let parts = parts.join(", ");
        let end = node.span.flow?;
        if !node.has_parts() {
            self.found.push((end..end, parts));
            return Some(());
        }
        self.found.push((end..end, format!(", {parts}")));
        Some(())
    }

    /// Inserts lines at the end of a collection in block style, whose parts are in a column: below the line of its last byte, and
    /// below the comments after it that are its own.
    pub(super) fn insert_at_end(&mut self, byte: usize, column: usize, lines: &str) -> Option<()> {
        let line = self.text.get(byte..)?.split_inclusive('\n').next().unwrap_or_default();
        let is_line_end = self.text.get(..byte)?.ends_with('\n');
        let below = if is_line_end { byte } else { byte + line.len() };
        let own = own_comments(self.text.get(below..)?, column);
        self.insert_below(if own == 0 { byte } else { below + own }, lines)
    }

    /// Inserts lines below the line of a byte.
    pub(super) fn insert_below(&mut self, byte: usize, lines: &str) -> Option<()> {
        if lines.is_empty() {
            return Some(());
        }
        let is_line_end = self.text.get(..byte)?.ends_with('\n');
        let rest = self.text.get(byte..)?;
        let line = if is_line_end { "" } else { rest.split_inclusive('\n').next().unwrap_or_default() };
        if !is_line_end && !line.trim().is_empty() && !line.trim_start().starts_with('#') {
            return None;
        }
        let at = byte + line.len();
        let before = self.text.get(..at)?;
        let is_crlf = before.rfind('\n').is_some_and(|end| before.get(..end).is_some_and(|line| line.ends_with('\r')));
        let lines =
            if before.ends_with('\n') { lines.to_owned() } else { format!("\n{}", lines.trim_end_matches('\n')) };
        let lines = if is_crlf { lines.replace('\n', "\r\n") } else { lines };
        self.found.push((at..at, lines));
        Some(())
    }

    /// Inserts lines above a list's first item, in which a byte is: above the line with the dash, which must be in a column.
    pub(super) fn insert_before(&mut self, byte: usize, column: usize, lines: &str) -> Option<()> {
        // In another column, the lines would be read in another way.
        self.are_lines = false;
        let mut end = byte;
        loop {
            let at = self.text.get(..end)?.rfind('\n').map_or(0, |end| end + 1);
            let line = self.text.get(at..)?.lines().next()?;
            let text = line.trim_start_matches(' ');
            if line.len() - text.len() == column && is_item(text) {
                let is_crlf = self.text.get(at..)?.split_inclusive('\n').next()?.ends_with("\r\n");
                let lines = if is_crlf { lines.replace('\n', "\r\n") } else { lines.to_owned() };
                self.found.push((at..at, lines));
                return Some(());
            }
            let is_between = line.len() - text.len() > column || text.trim().is_empty() || text.starts_with('#');
            if !is_between {
                return None;
            }
            end = at.checked_sub(1)?;
        }
    }

    /// Replaces a value without parts of its own, or an alias.
    pub(super) fn replace(&mut self, node: &Located, value: &Value, inside: Inside<'_>) -> Option<()> {
        self.are_lines = false;
        let old = self.text.get(node.span.start..node.span.end)?;
        // What a tag says of the old value need not hold for the new one.
        let range = without_tag(self.text, node.span.start)..node.span.end;
        let (line, below) = match inside {
            Inside::Flow => (text::flow(value), String::new()),
            Inside::Map(key, column) => text::behind_key(key, value, column)?,
            Inside::List(column) => {
                let text = text::item(value, column);
                let (line, below) = text.split_once('\n')?;
                (line.trim_start_matches([' ', '-']).to_owned(), below.to_owned())
            }
            Inside::Nothing => return None,
        };
        if old.contains('\n') || node.has_parts() && node.span.alias == 0 {
            return None;
        }
        if old.is_empty() {
            return if line.is_empty() { self.insert_below(range.end, &below) } else { None };
        }
        self.insert_below(range.end, &below)?;
        let spaces = old_spaces(self.text, &range);
        self.found.push((if line.is_empty() { spaces..range.end } else { range }, line));
        Some(())
    }
}

/// The length of the comments at the begin of a text that belong to the collection before it, whose parts are in a column: those
/// that are indented as its parts are, and deeper than what follows, to which they would belong otherwise.
fn own_comments(text: &str, column: usize) -> usize {
    let indent = |line: &str| line.len() - line.trim_start_matches(' ').len();
    let is_comment = |line: &str| line.trim_start_matches(' ').starts_with('#');
    let is_blank = |line: &str| line.trim().is_empty();
    let next = text.lines().find(|line| !is_comment(line) && !is_blank(line)).map_or(0, indent);
    let (mut end, mut own) = (0, 0);
    for line in text.split_inclusive('\n') {
        end += line.len();
        if is_comment(line) && indent(line) > next && indent(line) >= column {
            own = end;
        } else if !is_blank(line) {
            break;
        }
    }
    own
}

/// Where the tag before a value begins, or the value if it has none.
fn without_tag(text: &str, start: usize) -> usize {
    let before = text.get(..start).unwrap_or_default().trim_end_matches(' ');
    match before.rsplit_once([' ', '\n']) {
        Some((rest, tag)) if tag.starts_with('!') => rest.len() + 1,
        _ => start,
    }
}

/// Where the spaces before a range begin, if nothing follows it in its line.
fn old_spaces(text: &str, range: &Range<usize>) -> usize {
    let behind = text.get(range.end..).unwrap_or_default();
    let is_last = behind.split('\n').next().is_none_or(|line| line.trim().is_empty());
    let before = text.get(..range.start).unwrap_or_default();
    if is_last { before.trim_end_matches(' ').len() } else { range.start }
}
