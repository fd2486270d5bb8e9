//! Reads and writes YAML as kubectl does. serde-saphyr alone is not enough: it can read YAML 1.1, where `on` is a boolean and
//! `0644` is octal, as kubectl does, or keep the position of every node for messages about mistakes, but not both. So its parser
//! is used for the events, and this module builds nodes with positions and resolves their scalars by YAML 1.1.

mod edit;
mod encoding;
mod json;
mod located;
mod merge;
mod node;
mod reader;
mod scalar;
mod source;
mod tag;
mod writer;

use std::fmt;

use serde_json::Value;

pub use edit::Edited;
pub use encoding::text;
pub(crate) use node::kind;
pub use node::{Content, Entry, Node};
pub use reader::nodes;
pub(crate) use scalar::plain;
pub use source::{Source, sources};
pub use writer::write;

/// A position in a file. Lines and columns count from 1; a column is a character.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// The line.
    pub line: usize,
    /// The column.
    pub column: usize,
}

impl Position {
    /// The beginning of a file.
    pub const START: Position = Position { line: 1, column: 1 };

    /// The position after a text.
    fn after(text: &str) -> Self {
        let line = text.rsplit('\n').next().unwrap_or_default();
        Position { line: text.matches('\n').count() + 1, column: line.chars().count() + 1 }
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.line, self.column)
    }
}

/// Why a file cannot be parsed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{at}: {message}")]
pub struct Error {
    /// The position of the mistake.
    pub at: Position,
    /// What is wrong.
    pub message: String,
}

impl Error {
    /// Whether the mistake is a key that is there twice.
    pub fn is_duplicate(&self) -> bool {
        self.message.starts_with(node::DUPLICATE)
    }
}

/// One document of a file.
#[derive(Clone, Debug, PartialEq)]
pub struct Document {
    /// Its beginning.
    pub at: Position,
    /// Its content; keys keep their order.
    pub value: Value,
}

/// Parses a file of YAML documents, or of JSON documents one after another. Empty documents are skipped.
///
/// # Errors
/// The first mistake: a syntax error, a duplicate key, aliases that expand too far, or nesting that is too deep.
pub fn documents(text: &str) -> Result<Vec<Document>, Error> {
    sources(text).map(|source| source.map(Source::into_document)).collect()
}

/// The position that a JSON Pointer leads to in a document, or the last position on its way.
///
/// The file is parsed again for this. JSON documents after the first are not found.
pub fn find(text: &str, document: usize, pointer: &str) -> Option<Position> {
    let nodes = nodes(text).map_while(Result::ok).filter(|node| node.content != Content::Scalar(Value::Null));
    let mut node = &nodes.into_iter().nth(document)?;
    for key in pointer.split('/').skip(1) {
        let key = key.replace("~1", "/").replace("~0", "~");
        let next = match &node.content {
            Content::List(nodes) => key.parse().ok().and_then(|index: usize| nodes.get(index)),
            Content::Map(entries) => entries.iter().find(|entry| entry.key == key).map(|entry| &entry.value),
            Content::Scalar(_) => None,
        };
        let Some(next) = next else { break };
        node = next;
    }
    Some(node.at)
}

/// The plain scalar that begins at a position: what stands there up to the end of its line, or to what ends a scalar.
pub(crate) fn scalar_at(text: &str, at: Position) -> Option<&str> {
    let line = text.lines().nth(at.line - 1)?;
    let (begin, _) = line.char_indices().nth(at.column - 1)?;
    let rest = line.get(begin..)?;
    let end = rest.find([',', ']', '}', '\'', '"']).unwrap_or(rest.len());
    let scalar = rest.get(..end)?.split(" #").next()?.trim_end();
    (!scalar.is_empty()).then_some(scalar)
}

#[cfg(test)]
mod tests;
