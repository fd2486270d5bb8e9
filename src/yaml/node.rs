//! A value whose every part knows where it stands.

use serde_json::{Map, Value};

use super::{Error, Position};

/// A value and where it stands.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// Where it begins.
    pub at: Position,
    /// What it is.
    pub content: Content,
}

/// What a node is.
#[derive(Clone, Debug, PartialEq)]
pub enum Content {
    /// A list.
    List(Vec<Node>),
    /// A mapping, in its order; a key may still be there twice.
    Map(Vec<Entry>),
    /// Text, a number, a boolean or null.
    Scalar(Value),
}

/// One entry of a mapping.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// Where the key stands.
    pub at: Position,
    /// The key.
    pub key: String,
    /// The value.
    pub value: Node,
}

impl Node {
    /// The value without its places.
    ///
    /// # Errors
    /// A key that is there twice.
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

    /// What it is, in words: `a list`, `a number`.
    pub fn kind(&self) -> &'static str {
        match &self.content {
            Content::List(_) => "a list",
            Content::Map(_) => "a mapping",
            Content::Scalar(value) => kind(value),
        }
    }
}

/// What a value is, in words.
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

/// The message about a key that is there twice.
pub(crate) fn duplicate(key: &str) -> String {
    format!("the key {key:?} is here for the second time")
}
