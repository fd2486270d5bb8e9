//! A value with the place of each of its parts in the text: what an edit needs to know beyond a [`Node`].

use serde_json::{Map, Value};

use super::node::{Content, Entry, Node, duplicate};
use super::{Error, Position};

/// A node and its place in the text.
#[derive(Clone, Debug)]
pub(super) struct Located {
    /// Its beginning, for messages.
    pub(super) at: Position,
    /// Its place in the text.
    pub(super) span: Span,
    /// Its content.
    pub(super) content: Parts,
}

/// Where a node is in the text, in bytes.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Span {
    /// The first byte. For a list in block style that is not indented, the byte behind its first dash and the spaces there.
    pub(super) start: usize,
    /// The byte behind the last one. A block ends where its last part ends.
    pub(super) end: usize,
    /// The byte behind the last part of a collection in flow style, or behind its opening bracket; nothing for others.
    pub(super) flow: Option<usize>,
    /// The anchor of the node; 0 is none.
    pub(super) anchor: usize,
    /// The anchor that the node is an alias of; 0 is none.
    pub(super) alias: usize,
}

/// The content of a located node.
#[derive(Clone, Debug)]
pub(super) enum Parts {
    /// A list.
    List(Vec<Located>),
    /// A mapping; duplicate keys are still possible.
    Map(Vec<Part>),
    /// Text, a number, a boolean or null.
    Scalar(Value),
}

/// One entry of a mapping.
#[derive(Clone, Debug)]
pub(super) struct Part {
    /// The position of the key.
    pub(super) at: Position,
    /// The key.
    pub(super) key: String,
    /// The value.
    pub(super) value: Located,
    /// Whether the entry comes from another mapping, by `<<`.
    pub(super) is_merged: bool,
    /// Whether the mapping also has a key of its own of this name, which a later `<<` overrides.
    pub(super) hides_own: bool,
}

impl Located {
    /// Whether this is nothing, or an empty document.
    pub(super) fn is_null(&self) -> bool {
        matches!(self.content, Parts::Scalar(Value::Null))
    }

    /// Whether this is a list or mapping that is not empty.
    pub(super) fn has_parts(&self) -> bool {
        match &self.content {
            Parts::Scalar(_) => false,
            Parts::List(nodes) => !nodes.is_empty(),
            Parts::Map(entries) => !entries.is_empty(),
        }
    }

    /// Whether a mapping in it, or it itself, merges others by `<<`.
    pub(super) fn has_merges(&self) -> bool {
        match &self.content {
            Parts::Scalar(_) => false,
            Parts::List(nodes) => nodes.iter().any(Located::has_merges),
            Parts::Map(entries) => entries.iter().any(|entry| entry.is_merged || entry.value.has_merges()),
        }
    }

    /// The value.
    ///
    /// # Errors
    /// A duplicate key.
    pub(super) fn into_value(self) -> Result<Value, Error> {
        match self.content {
            Parts::Scalar(value) => Ok(value),
            Parts::List(nodes) => nodes.into_iter().map(Located::into_value).collect(),
            Parts::Map(entries) => {
                let mut map = Map::with_capacity(entries.len());
                for Part { at, key, value, .. } in entries {
                    if map.contains_key(&key) {
                        return Err(Error { at, message: duplicate(&key) });
                    }
                    map.insert(key, value.into_value()?);
                }
                Ok(Value::Object(map))
            }
        }
    }

    /// A copy of the value.
    ///
    /// # Errors
    /// A duplicate key.
    pub(super) fn to_value(&self) -> Result<Value, Error> {
        match &self.content {
            Parts::Scalar(value) => Ok(value.clone()),
            Parts::List(nodes) => nodes.iter().map(Located::to_value).collect(),
            Parts::Map(entries) => {
                let mut map = Map::with_capacity(entries.len());
                for Part { at, key, value, .. } in entries {
                    if map.insert(key.clone(), value.to_value()?).is_some() {
                        return Err(Error { at: *at, message: duplicate(key) });
                    }
                }
                Ok(Value::Object(map))
            }
        }
    }

    /// The node without its place.
    pub(super) fn into_node(self) -> Node {
        let content = match self.content {
            Parts::Scalar(value) => Content::Scalar(value),
            Parts::List(nodes) => Content::List(nodes.into_iter().map(Located::into_node).collect()),
            Parts::Map(entries) => {
                let entry = |Part { at, key, value, .. }| Entry { at, key, value: value.into_node() };
                Content::Map(entries.into_iter().map(entry).collect())
            }
        };
        Node { at: self.at, content }
    }
}
