//! Builds nodes from YAML events, one document at a time, with limits on nesting and expansion.

use std::collections::{HashMap, HashSet};
use std::mem;

use serde_json::Value;
use serde_saphyr::granit_parser::{Event, Marker, Options, Parser, ScalarStyle, StrInput, Tag};

use super::node::{Content, Entry, Node};
use super::{Error, Position, scalar};

/// The deepest nesting. `serde_json` parses 127 levels and must be able to parse the output.
const MOST_LEVELS: usize = 120;

/// Roughly how many bytes all anchors and aliases of a file may expand to.
const MOST_COPIED: usize = 64 << 20;

/// Iterates over the documents of a file; ends after the first error.
pub fn nodes(text: &str) -> impl Iterator<Item = Result<Node, Error>> {
    let mut options = Options::default();
    options.set_emit_comments(false);
    let mut reader = Reader {
        parser: Parser::new_from_str_with_options(text, options),
        open: Vec::new(),
        anchors: HashMap::new(),
        copied: 0,
        failed: false,
    };
    std::iter::from_fn(move || {
        let document = if reader.failed { None } else { reader.document().transpose() };
        reader.failed = matches!(document, Some(Err(_)));
        document
    })
}

struct Reader<'t> {
    parser: Parser<'t, StrInput<'t>>,
    /// The lists and mappings that have not ended yet.
    open: Vec<Open>,
    anchors: HashMap<usize, Anchored>,
    /// How many bytes anchors and aliases have expanded to so far.
    copied: usize,
    failed: bool,
}

struct Anchored {
    node: Node,
    levels: usize,
    bytes: usize,
}

struct Open {
    at: Position,
    anchor: usize,
    content: Collection,
}

enum Collection {
    List(Vec<Node>),
    Map { entries: Vec<Entry>, merged: Vec<(usize, Node)>, key: Option<Key> },
}

enum Key {
    /// `<<`, which merges other mappings into this one.
    Merge,
    Name(Position, String),
}

impl Reader<'_> {
    fn document(&mut self) -> Result<Option<Node>, Error> {
        self.anchors.clear();
        loop {
            let Some(next) = self.parser.next_event() else { return Ok(None) };
            let (event, span) = next.map_err(|error| Error { at: position(error.marker()), message: error.info() })?;
            let at = position(&span.start);
            let complete = match event {
                Event::Scalar(text, style, anchor, tag) => {
                    let is_merge = style == ScalarStyle::Plain && tag.is_none() && text == "<<";
                    if is_merge && self.expects_key() {
                        self.key(Key::Merge);
                        continue;
                    }
                    let value = value(&text, style, tag.as_deref()).map_err(|message| Error { at, message })?;
                    Some((Node { at, content: Content::Scalar(value) }, anchor))
                }
                Event::Alias(anchor) => Some((self.alias(at, anchor)?, 0)),
                Event::SequenceStart(_, anchor, _) => {
                    self.begin(at, anchor, Collection::List(Vec::new()))?;
                    None
                }
                Event::MappingStart(_, anchor, _) => {
                    let content = Collection::Map { entries: Vec::new(), merged: Vec::new(), key: None };
                    self.begin(at, anchor, content)?;
                    None
                }
                Event::SequenceEnd | Event::MappingEnd => self.open.pop().map(end).transpose()?,
                _ => None,
            };
            if let Some((node, anchor)) = complete {
                if anchor != 0 {
                    let (levels, bytes) = measure(&node);
                    // Anchors may nest, and each of them keeps a copy.
                    self.count(at, bytes)?;
                    self.anchors.insert(anchor, Anchored { node: node.clone(), levels, bytes });
                }
                if let Some(node) = self.attach(node)? {
                    return Ok(Some(node));
                }
            }
        }
    }

    fn begin(&mut self, at: Position, anchor: usize, content: Collection) -> Result<(), Error> {
        if self.expects_key() {
            return Err(Error { at, message: "a key must be text, not a list or a mapping".to_owned() });
        }
        self.open.push(Open { at, anchor, content });
        self.check_levels(at, 0)
    }

    fn check_levels(&self, at: Position, below: usize) -> Result<(), Error> {
        if self.open.len() + below > MOST_LEVELS {
            return Err(Error { at, message: format!("this is nested more than {MOST_LEVELS} levels deep") });
        }
        Ok(())
    }

    fn alias(&mut self, at: Position, anchor: usize) -> Result<Node, Error> {
        let Some(anchored) = self.anchors.get(&anchor) else {
            return Err(Error { at, message: "this alias is inside the node that it refers to".to_owned() });
        };
        self.check_levels(at, anchored.levels)?;
        let (content, bytes) = (anchored.node.content.clone(), anchored.bytes);
        self.count(at, bytes)?;
        Ok(Node { at, content })
    }

    /// Counts a copy.
    ///
    /// # Errors
    /// All copies together are too large.
    fn count(&mut self, at: Position, bytes: usize) -> Result<(), Error> {
        self.copied += bytes;
        if self.copied > MOST_COPIED {
            let message = format!("the anchors and aliases up to here expand to more than {} MiB", MOST_COPIED >> 20);
            return Err(Error { at, message });
        }
        Ok(())
    }

    fn expects_key(&self) -> bool {
        matches!(self.open.last(), Some(Open { content: Collection::Map { key: None, .. }, .. }))
    }

    fn key(&mut self, next: Key) {
        if let Some(Open { content: Collection::Map { key, .. }, .. }) = self.open.last_mut() {
            *key = Some(next);
        }
    }

    /// Attaches a node to the open list or mapping; returns it if it is the whole document.
    fn attach(&mut self, node: Node) -> Result<Option<Node>, Error> {
        let Some(open) = self.open.last_mut() else { return Ok(Some(node)) };
        match &mut open.content {
            Collection::List(nodes) => nodes.push(node),
            Collection::Map { entries, merged, key } => match mem::take(key) {
                Some(Key::Merge) => merged.push((entries.len(), node)),
                Some(Key::Name(at, key)) => entries.push(Entry { at, key, value: node }),
                None => *key = Some(Key::Name(node.at, name(node)?)),
            },
        }
        Ok(None)
    }
}

fn position(marker: &Marker) -> Position {
    Position { line: marker.line().max(1), column: marker.col() + 1 }
}

fn value(text: &str, style: ScalarStyle, tag: Option<&Tag>) -> Result<Value, String> {
    let plain = || scalar::plain(text).ok_or_else(|| format!("Kubernetes does not support the number {text}"));
    let Some(tag) = tag else {
        return if style == ScalarStyle::Plain { plain() } else { Ok(Value::String(text.to_owned())) };
    };
    let core = tag.core_suffix();
    let value = match core {
        Some("bool" | "float" | "int" | "null") => plain()?,
        Some("binary") => return Err("expected text, not !!binary".to_owned()),
        _ => return Ok(Value::String(text.to_owned())),
    };
    let fits = match core {
        Some("bool") => value.is_boolean(),
        Some("float") => value.is_number(),
        Some("int") => value.is_i64() || value.is_u64(),
        _ => value.is_null(),
    };
    if fits { Ok(value) } else { Err(format!("{text:?} does not match its tag")) }
}

/// The text of a key. Like Kubernetes, it accepts numbers and booleans as text.
fn name(node: Node) -> Result<String, Error> {
    match node.content {
        Content::Scalar(Value::String(text)) => Ok(text),
        Content::Scalar(value @ (Value::Bool(_) | Value::Number(_))) => Ok(value.to_string()),
        _ => Err(Error { at: node.at, message: format!("a key must be text, not {}", node.kind()) }),
    }
}

fn end(open: Open) -> Result<(Node, usize), Error> {
    let content = match open.content {
        Collection::List(nodes) => Content::List(nodes),
        Collection::Map { entries, merged, .. } if merged.is_empty() => Content::Map(entries),
        Collection::Map { entries, merged, .. } => Content::Map(merge(entries, merged)?),
    };
    Ok((Node { at: open.at, content }, open.anchor))
}

/// Merges the entries of other mappings where `<<` is. A mapping's own entries win, then those merged earlier.
fn merge(own: Vec<Entry>, merged: Vec<(usize, Node)>) -> Result<Vec<Entry>, Error> {
    let mut known: HashSet<_> = own.iter().map(|entry| entry.key.clone()).collect();
    let mut merged = merged.into_iter().peekable();
    let mut all = Vec::with_capacity(own.len());
    let mut own = own.into_iter().enumerate().peekable();
    loop {
        let next = own.peek().map(|(index, _)| *index);
        while let Some((_, node)) = merged.next_if(|(before, _)| next.is_none_or(|next| *before <= next)) {
            let at = node.at;
            let maps = match node.content {
                Content::List(nodes) => nodes,
                content => vec![Node { at, content }],
            };
            for map in maps {
                let Content::Map(entries) = map.content else {
                    return Err(Error { at: map.at, message: "<< merges mappings only".to_owned() });
                };
                all.extend(entries.into_iter().filter(|entry| known.insert(entry.key.clone())));
            }
        }
        match own.next() {
            Some((_, entry)) => all.push(entry),
            None => return Ok(all),
        }
    }
}

/// The depth of a node, and roughly its size in bytes.
fn measure(node: &Node) -> (usize, usize) {
    let own = mem::size_of::<Entry>();
    let inside: Vec<_> = match &node.content {
        Content::Scalar(Value::String(text)) => return (0, own + text.len()),
        Content::Scalar(_) => return (0, own),
        Content::List(nodes) => nodes.iter().map(|node| (measure(node), 0)).collect(),
        Content::Map(entries) => entries.iter().map(|entry| (measure(&entry.value), entry.key.len())).collect(),
    };
    let levels = inside.iter().map(|((levels, _), _)| *levels).max().unwrap_or_default();
    (levels + 1, own + inside.iter().map(|((_, bytes), key)| bytes + key).sum::<usize>())
}
