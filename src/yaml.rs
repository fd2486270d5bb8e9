//! Reads and writes YAML as kubectl does. serde-saphyr alone is not enough: it can read YAML 1.1, where `on` is a boolean and
//! `0644` is octal, as kubectl does, or keep the position of every node for messages about mistakes, but not both. So its parser
//! is used for the events, and this module builds nodes with positions and resolves their scalars by YAML 1.1.

mod json;
mod node;
mod reader;
mod scalar;
mod writer;

use std::fmt;

use serde_json::Value;

pub(crate) use node::kind;
pub use node::{Content, Entry, Node};
pub use reader::nodes;
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

/// One document of a file.
#[derive(Clone, Debug, PartialEq)]
pub struct Document {
    /// Its beginning.
    pub at: Position,
    /// Its content; keys keep their order.
    pub value: Value,
}

/// Checks that bytes are UTF-8.
///
/// # Errors
/// The position of the first byte that is not.
pub fn text(bytes: &[u8]) -> Result<&str, Error> {
    std::str::from_utf8(bytes).map_err(|error| {
        let before = bytes.get(..error.valid_up_to()).unwrap_or_default();
        let at = Position::after(&String::from_utf8_lossy(before));
        Error { at, message: "this is not UTF-8 text".to_owned() }
    })
}

/// Parses a file of YAML documents, or of JSON documents one after another. Empty documents are skipped.
///
/// # Errors
/// The first mistake: a syntax error, a duplicate key, aliases that expand too far, or nesting that is too deep.
pub fn documents(text: &str) -> Result<Vec<Document>, Error> {
    // kubectl also tries JSON first if the text begins with a brace.
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let as_json = if text.trim_start().starts_with('{') { json::documents(text) } else { Ok(Vec::new()) };
    match as_json {
        Ok(documents) if !documents.is_empty() => Ok(documents),
        Ok(_) => in_yaml(text),
        // A YAML file may begin with a brace too. The parser that got further has the better message.
        Err(error) => in_yaml(text).map_err(|in_yaml| if in_yaml.at > error.at { in_yaml } else { error }),
    }
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

fn in_yaml(text: &str) -> Result<Vec<Document>, Error> {
    let mut documents = Vec::new();
    for node in nodes(text) {
        let node = node?;
        let at = node.at;
        let value = node.into_value()?;
        if !value.is_null() {
            documents.push(Document { at, value });
        }
    }
    Ok(documents)
}

#[cfg(test)]
mod tests;
