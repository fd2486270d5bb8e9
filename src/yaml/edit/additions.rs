//! Walks through a document and finds the text that is inserted, and where.

use std::collections::BTreeSet;
use std::ops::Range;

use serde_json::Value;

use super::text;
use super::tree::Tree;
use crate::yaml::located::{Located, Parts};

/// Replacements of ranges of the text, in the order of the text.
pub(super) struct Additions<'t> {
    pub(super) text: &'t str,
    pub(super) found: Vec<(Range<usize>, String)>,
    /// Whether they are whole lines behind others in blocks.
    pub(super) are_lines: bool,
    /// The anchors whose node has additions: their aliases would get them too.
    changed: BTreeSet<usize>,
}

/// What a node is a part of, which decides how it can be replaced.
#[derive(Clone, Copy)]
pub(super) enum Inside<'k> {
    /// A flow collection.
    Flow,
    /// A mapping in block style: the key, and the column of the keys.
    Map(&'k str, usize),
    /// A list in block style: the column of its dashes.
    List(usize),
    /// Nothing: it is the document.
    Nothing,
}

impl<'t> Additions<'t> {
    /// Finds the additions; `None` if one of them cannot be inserted.
    pub(super) fn new(text: &'t str, document: &Located, tree: &Tree<'_>) -> Option<Self> {
        let mut additions = Additions { text, found: Vec::new(), are_lines: true, changed: BTreeSet::new() };
        additions.find_changed(tree);
        if !additions.changed.is_empty() && document.has_merges() {
            return None;
        }
        additions.tree(tree, Inside::Nothing)?;
        additions.found.sort_by_key(|(range, _)| (range.start, range.end));
        let overlaps =
            additions.found.windows(2).any(|pair| matches!(pair, [(one, _), (two, _)] if two.start < one.end));
        (!overlaps).then_some(additions)
    }

    /// Whether one of them stands behind one of these bytes, with no more than blank lines and comments between.
    pub(super) fn follow_any(&self, bytes: &[usize]) -> bool {
        self.found.iter().any(|(range, _)| {
            let before = bytes.partition_point(|byte| *byte <= range.start);
            let between = before.checked_sub(1).and_then(|index| self.text.get(*bytes.get(index)?..range.start));
            let is_nothing = |line: &str| line.trim().is_empty() || line.trim_start().starts_with('#');
            between.is_some_and(|text| text.lines().all(is_nothing))
        })
    }

    fn find_changed(&mut self, tree: &Tree<'_>) {
        match tree {
            Tree::Kept(_) => return,
            Tree::Map(_, entries) => entries.iter().for_each(|(_, tree)| self.find_changed(tree)),
            Tree::List(_, items) => items.iter().for_each(|tree| self.find_changed(tree)),
            Tree::New(..) => {}
        }
        self.changed.extend(tree.node().map(|node| node.span.anchor).filter(|anchor| *anchor != 0));
    }

    fn tree(&mut self, tree: &Tree<'_>, inside: Inside<'_>) -> Option<()> {
        match tree {
            Tree::Kept(node) => self.aliases(node, inside),
            Tree::New(Some(node), value) => self.replace(node, value, inside),
            // The mapping or list that has it inserts it.
            Tree::New(None, _) => None,
            Tree::Map(node, entries) if node.span.flow.is_some() => {
                let is_new = |tree: &Tree<'_>| matches!(tree, Tree::New(None, _));
                let (new, kept): (Vec<_>, Vec<_>) = entries.iter().partition(|(_, tree)| is_new(tree));
                if kept.is_empty() && new.len() == entries.len() && !matches!(inside, Inside::Flow) && !node.has_parts()
                {
                    let value = new.iter().map(|(key, tree)| (key.clone(), tree.value())).collect();
                    return self.replace(node, &Value::Object(value), inside);
                }
                for (_, tree) in kept {
                    self.tree(tree, Inside::Flow)?;
                }
                let new = new.iter().map(|(key, tree)| format!("{}: {}", text::quoted(key), text::flow(&tree.value())));
                self.insert_into_flow(node, &new.collect::<Vec<_>>())
            }
            Tree::List(node, items) if node.span.flow.is_some() => self.flow_list(node, items, inside),
            Tree::Map(node, entries) => {
                let column = node.at.column - 1;
                let mut lines = String::new();
                self.are_lines &= !self.text.get(node.span.start..)?.starts_with('?');
                for (key, tree) in entries {
                    match tree {
                        Tree::New(None, value) => lines += &text::entry(key, value, column),
                        tree => self.tree(tree, Inside::Map(key, column))?,
                    }
                }
                self.insert_at_end(node.span.end, column, &lines)
            }
            Tree::List(node, items) => {
                let (column, is_indented) = self.column_of_dashes(node)?;
                let (mut lines, mut end) = (String::new(), None);
                for tree in items {
                    match tree {
                        Tree::New(None, value) => lines += &text::item(value, column),
                        tree => {
                            let span = tree.node()?.span;
                            if !lines.is_empty() && end.is_none() {
                                self.insert_before(span.start, column, &std::mem::take(&mut lines))?;
                            }
                            self.insert_below(end.unwrap_or_default(), &std::mem::take(&mut lines))?;
                            self.tree(tree, Inside::List(column))?;
                            end = Some(span.end);
                        }
                    }
                }
                // A comment in the column of both the dashes and the key belongs to the mapping.
                self.insert_at_end(end?, if is_indented { column } else { column + 1 }, &lines)
            }
        }
    }

    fn flow_list(&mut self, node: &Located, items: &[Tree<'_>], inside: Inside<'_>) -> Option<()> {
        let is_new = |tree: &&Tree<'_>| matches!(tree, Tree::New(None, _));
        let old = items.iter().position(|tree| !is_new(&tree));
        if old.is_none() && !matches!(inside, Inside::Flow) {
            return self.replace(node, &items.iter().map(Tree::value).collect(), inside);
        }
        let mut new = Vec::new();
        for tree in items {
            if let Tree::New(None, value) = tree {
                new.push(text::flow(value));
                continue;
            }
            if !new.is_empty() {
                let start = tree.node()?.span.start;
                self.are_lines = false;
                self.found.push((start..start, format!("{}, ", new.join(", "))));
                new.clear();
            }
            self.tree(tree, Inside::Flow)?;
        }
        self.insert_into_flow(node, &new)
    }

    /// Replaces the aliases of changed anchors by the values that they had.
    fn aliases(&mut self, node: &Located, inside: Inside<'_>) -> Option<()> {
        if self.changed.is_empty() {
            return Some(());
        }
        if node.span.alias != 0 {
            if self.changed.contains(&node.span.alias) {
                self.replace(node, &node.clone().into_value().ok()?, inside)?;
            }
            return Some(());
        }
        let is_flow = node.span.flow.is_some();
        match &node.content {
            Parts::Scalar(_) => Some(()),
            Parts::List(nodes) => {
                let inside = if is_flow { Inside::Flow } else { Inside::List(self.column_of_dashes(node)?.0) };
                nodes.iter().try_for_each(|node| self.aliases(node, inside))
            }
            Parts::Map(entries) => entries.iter().try_for_each(|entry| {
                let inside = if is_flow { Inside::Flow } else { Inside::Map(&entry.key, node.at.column - 1) };
                self.aliases(&entry.value, inside)
            }),
        }
    }

    /// The column of the dashes of a list in block style, and whether they are indented below its key.
    fn column_of_dashes(&self, node: &Located) -> Option<(usize, bool)> {
        let Parts::List(nodes) = &node.content else { return None };
        let first = nodes.first()?.span.start;
        let start = node.span.start;
        if first > start && is_item(self.text.get(start..)?) {
            return Some((node.at.column - 1, true));
        }
        // A list that is not indented begins behind its first dash, which is the first in its line: the list is the value of a key.
        let line = self.text.get(..start)?.rfind('\n').map_or(0, |end| end + 1);
        let line = self.text.get(line..)?;
        let column = line.len() - line.trim_start_matches(' ').len();
        is_item(line.get(column..)?).then_some((column, false))
    }
}

/// Whether text begins with the dash of an item.
pub(super) fn is_item(text: &str) -> bool {
    text.strip_prefix('-').is_some_and(|rest| rest.is_empty() || rest.starts_with(char::is_whitespace))
}

impl Tree<'_> {
    /// The value of a new node; nothing for others.
    fn value(&self) -> Value {
        if let Tree::New(_, value) = self { value.clone() } else { Value::Null }
    }
}
