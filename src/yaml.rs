//! YAML as Kubernetes reads it: documents in, with the place of every mistake, and a document out.

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

/// A place in a file, both numbers counted from 1; columns are characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// The line.
    pub line: usize,
    /// The character in the line.
    pub column: usize,
}

impl Position {
    /// Where every file begins.
    pub const START: Position = Position { line: 1, column: 1 };

    /// The place behind so much text.
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

/// Why a file could not be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{at}: {message}")]
pub struct Error {
    /// Where it went wrong.
    pub at: Position,
    /// What is wrong there.
    pub message: String,
}

/// One document of a file.
#[derive(Clone, Debug, PartialEq)]
pub struct Document {
    /// Where it begins.
    pub at: Position,
    /// What it says, keys in their order.
    pub value: Value,
}

/// Checks that bytes are text.
///
/// # Errors
/// Where the first byte is that is not UTF-8.
pub fn text(bytes: &[u8]) -> Result<&str, Error> {
    std::str::from_utf8(bytes).map_err(|error| {
        let before = bytes.get(..error.valid_up_to()).unwrap_or_default();
        let at = Position::after(&String::from_utf8_lossy(before));
        Error { at, message: "this is not UTF-8 text".to_owned() }
    })
}

/// Reads a file of YAML documents, or of JSON documents one after another. Empty documents are left out.
///
/// # Errors
/// The first thing that cannot be read: syntax, a key that is there twice, an alias bomb, endless nesting.
pub fn documents(text: &str) -> Result<Vec<Document>, Error> {
    // The test and the order of trying are kubectl's own.
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let as_json = if text.trim_start().starts_with('{') { json::documents(text) } else { Ok(Vec::new()) };
    match as_json {
        Ok(documents) if !documents.is_empty() => Ok(documents),
        Ok(_) => in_yaml(text),
        // A YAML file may begin with a brace too. What got further knows better what was meant.
        Err(error) => in_yaml(text).map_err(|in_yaml| if in_yaml.at > error.at { in_yaml } else { error }),
    }
}

/// Where a part of a document stands: what a JSON Pointer leads to, or as far as it leads.
///
/// It reads the file again, for a message about what is in it. JSON documents after the first are not found.
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
