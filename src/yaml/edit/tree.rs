//! A document with what is added to it.

use serde_json::Value;

use crate::yaml::located::{Located, Parts};

/// A node of the document, or a value that is added.
pub(super) enum Tree<'d> {
    /// A node without additions.
    Kept(&'d Located),
    /// A mapping with additions. Keys that `<<` merges are missing, unless they are added to.
    Map(&'d Located, Vec<(String, Tree<'d>)>),
    /// A list with additions.
    List(&'d Located, Vec<Tree<'d>>),
    /// A value in place of a node, or a new one.
    New(Option<&'d Located>, Value),
}

impl<'d> Tree<'d> {
    /// Adds a value as JSON Patch does; `None` if the path leads nowhere, or a key is there twice.
    pub(super) fn add(&mut self, keys: &[String], value: &Value) -> Option<()> {
        let Some((key, rest)) = keys.split_first() else {
            *self = Tree::New(self.node(), value.clone());
            return Some(());
        };
        if let Tree::Kept(node) = *self {
            *self = Tree::open(node)?;
        }
        match self {
            Tree::Map(node, entries) => {
                if let Some((_, tree)) = entries.iter_mut().find(|(known, _)| known == key) {
                    return tree.add(rest, value);
                }
                let mut tree = Tree::New(None, merged(node, key)?);
                tree.add(rest, value)?;
                entries.push((key.clone(), tree));
            }
            Tree::List(_, items) => {
                let index = if key == "-" { items.len() } else { key.parse().ok()? };
                match rest {
                    [] if index <= items.len() => items.insert(index, Tree::New(None, value.clone())),
                    [] => return None,
                    rest => items.get_mut(index)?.add(rest, value)?,
                }
            }
            Tree::New(_, inside) => add_to_value(inside, key, rest, value)?,
            Tree::Kept(_) => return None,
        }
        Some(())
    }

    /// The node in the document, if this is or replaces one.
    pub(super) fn node(&self) -> Option<&'d Located> {
        match self {
            Tree::Kept(node) | Tree::Map(node, _) | Tree::List(node, _) => Some(node),
            Tree::New(node, _) => *node,
        }
    }

    /// A collection whose parts can be added to one by one. An alias is none: it has its value in another place.
    fn open(node: &'d Located) -> Option<Self> {
        if node.span.alias != 0 {
            return Some(Tree::New(Some(node), node.clone().into_value().ok()?));
        }
        Some(match &node.content {
            Parts::Map(entries) => {
                let own = entries.iter().filter(|entry| !entry.is_merged);
                Tree::Map(node, own.map(|entry| (entry.key.clone(), Tree::Kept(&entry.value))).collect())
            }
            Parts::List(nodes) => Tree::List(node, nodes.iter().map(Tree::Kept).collect()),
            Parts::Scalar(_) => return None,
        })
    }
}

/// The value that `<<` merges under a key, or nothing; `None` if the mapping has the key itself too, before the `<<`.
fn merged(node: &Located, key: &str) -> Option<Value> {
    let Parts::Map(entries) = &node.content else { return None };
    match entries.iter().find(|entry| entry.key == key && entry.is_merged) {
        Some(entry) if entry.hides_own => None,
        Some(entry) => entry.value.clone().into_value().ok(),
        None => Some(Value::Null),
    }
}

/// Adds to a value that is new itself.
fn add_to_value(inside: &mut Value, key: &str, rest: &[String], value: &Value) -> Option<()> {
    match inside {
        Value::Object(entries) => match rest.split_first() {
            None => drop(entries.insert(key.to_owned(), value.clone())),
            Some((next, rest)) => add_to_value(entries.get_mut(key)?, next, rest, value)?,
        },
        Value::Array(items) => {
            let index = if key == "-" { items.len() } else { key.parse().ok()? };
            match rest.split_first() {
                None if index <= items.len() => items.insert(index, value.clone()),
                None => return None,
                Some((next, rest)) => add_to_value(items.get_mut(index)?, next, rest, value)?,
            }
        }
        _ => return None,
    }
    Some(())
}
