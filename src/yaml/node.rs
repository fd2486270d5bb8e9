//! A value with the position of each of its parts.

use serde_json::{Map, Value};

use super::{Error, Position};

/// A value and its position.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// Its beginning.
    pub at: Position,
    /// Its content.
    pub content: Content,
}

/// The content of a node.
#[derive(Clone, Debug, PartialEq)]
pub enum Content {
    /// A list.
    List(Vec<Node>),
    /// A mapping in the order of the file; duplicate keys are still possible.
    Map(Vec<Entry>),
    /// Text, a number, a boolean or null.
    Scalar(Value),
}

/// One entry of a mapping.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// The position of the key.
    pub at: Position,
    /// The key.
    pub key: String,
    /// The value.
    pub value: Node,
}

impl Node {
    /// The value without positions.
    ///
    /// # Errors
    /// A duplicate key.
    pub fn into_value(self) -> Result<Value, Error> {
        match self.content {
            Content::Scalar(value) => Ok(value),
            Content::List(nodes) => nodes.into_iter().map(Node::into_value).collect(),
            Content::Map(entries) => {
                let mut map = Map::with_capacity(entries.len());
                for Entry { at, key, value } in entries {
                    if map.contains_key(&key) {
                        return Err(Error { at, message: duplicate(&key) });
                    }
                    map.insert(key, value.into_value()?);
                }
                Ok(Value::Object(map))
            }
        }
    }

    /// The type of the node with an article: `a list`, `a number`.
    pub fn kind(&self) -> &'static str {
        match &self.content {
            Content::List(_) => "a list",
            Content::Map(_) => "a mapping",
            Content::Scalar(value) => kind(value),
        }
    }
}

/// The type of a value with an article: `a list`, `a number`.
pub(crate) fn kind(value: &Value) -> &'static str {
    match value {
        Value::Array(_) => "a list",
        Value::Bool(_) => "a boolean",
        Value::Null => "nothing",
        Value::Number(_) => "a number",
        Value::Object(_) => "a mapping",
        Value::String(_) => "text",
    }
}

/// The beginning of the message about a duplicate key.
pub(super) const DUPLICATE: &str = "duplicate key ";

/// The message about a duplicate key.
pub(crate) fn duplicate(key: &str) -> String {
    format!("{DUPLICATE}{key:?}")
}
