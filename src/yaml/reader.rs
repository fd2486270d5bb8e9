//! Builds nodes from YAML events, one document at a time, with limits on nesting and expansion.

use std::collections::HashMap;
use std::mem;

use serde_json::Value;
use serde_saphyr::granit_parser::{Event, Marker, Options, Parser, ScalarStyle, StrInput};

use super::located::{Located, Part, Parts, Span};
use super::merge::{Written, merge};
use super::node::Node;
use super::{Error, Position, tag};

/// The deepest nesting. `serde_json` parses 127 levels and must be able to parse the output.
const MOST_LEVELS: usize = 120;

/// Roughly how many bytes all anchors and aliases of a file may expand to.
const MOST_COPIED: usize = 64 << 20;

/// Iterates over the documents of a file; ends after the first error.
pub fn nodes(text: &str) -> impl Iterator<Item = Result<Node, Error>> {
    located(text).map(|document| document.map(|document| document.node.into_node()))
}

/// A document and its place in the file.
pub(super) struct Read {
    /// Its content.
    pub(super) node: Located,
    /// The byte behind it.
    pub(super) end: usize,
    /// How it is written.
    pub(super) style: Style,
}

/// What of a document's style decides whether an addition to its text can have another value than it should.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Style {
    /// Whether it has an anchor or a tag.
    pub(super) has_properties: bool,
    /// The bytes behind its block scalars, in their order. A line that follows one could become a part of it.
    pub(super) blocks: Vec<usize>,
}

/// Iterates over the documents of a file, with the place of each; ends after the first error.
pub(super) fn located(text: &str) -> impl Iterator<Item = Result<Read, Error>> {
    let mut options = Options::default();
    options.set_emit_comments(false);
    let mut reader = Reader {
        text,
        parser: Parser::new_from_str_with_options(text, options),
        open: Vec::new(),
        anchors: HashMap::new(),
        copied: 0,
        end: 0,
        style: Style::default(),
        failed: false,
    };
    std::iter::from_fn(move || {
        let document = if reader.failed { None } else { reader.document().transpose() };
        reader.failed = matches!(document, Some(Err(_)));
        document
    })
}

struct Reader<'t> {
    text: &'t str,
    parser: Parser<'t, StrInput<'t>>,
    /// The lists and mappings that have not ended yet.
    open: Vec<Open>,
    anchors: HashMap<usize, Anchored>,
    /// How many bytes anchors and aliases have expanded to so far.
    copied: usize,
    /// The byte behind the last scalar, alias or bracket.
    end: usize,
    /// How the document is written so far.
    style: Style,
    failed: bool,
}

struct Anchored {
    node: Located,
    levels: usize,
    bytes: usize,
}

struct Open {
    at: Position,
    start: usize,
    anchor: usize,
    content: Collection,
}

enum Collection {
    List(Vec<Located>),
    Map { entries: Vec<Written>, key: Option<Key> },
}

enum Key {
    /// `<<`, which merges other mappings into this one.
    Merge,
    Name(Position, String),
}

impl Reader<'_> {
    /// Reads the next document.
    fn document(&mut self) -> Result<Option<Read>, Error> {
        self.anchors.clear();
        self.style = Style::default();
        let mut document = None;
        loop {
            let Some(next) = self.parser.next_event() else { return Ok(None) };
            let (event, span) = next.map_err(|error| Error { at: position(error.marker()), message: error.info() })?;
            let at = position(&span.start);
            let bytes = span.byte_range().unwrap_or_default();
            self.style.has_properties |= event.anchor_id().is_some() || event.tag().is_some();
            let complete = match event {
                Event::Scalar(text, style, anchor, tag) => {
                    let is_block = matches!(style, ScalarStyle::Literal | ScalarStyle::Folded);
                    let is_written = is_block || !bytes.is_empty();
                    self.end = match (is_block, is_written) {
                        (true, _) => self.end_of_block(bytes.end, span.indent, &text),
                        (false, false) => self.end_of_nothing(bytes.end),
                        (false, true) => bytes.end,
                    };
                    self.style.blocks.extend(is_block.then_some(self.end));
                    let is_merge = style == ScalarStyle::Plain && tag.is_none() && text == "<<";
                    if is_merge && self.expects_key() {
                        self.key(Key::Merge);
                        continue;
                    }
                    let value = tag::value(&text, style, tag.as_deref()).map_err(|message| Error { at, message })?;
                    let start = if is_written { bytes.start } else { self.end };
                    let span = Span { start, end: self.end, flow: None, anchor, alias: 0 };
                    Some(Located { at, span, content: Parts::Scalar(value) })
                }
                Event::Alias(anchor) => {
                    self.end = bytes.end;
                    let span = Span { start: bytes.start, end: bytes.end, flow: None, anchor: 0, alias: anchor };
                    Some(Located { span, ..self.alias(at, anchor)? })
                }
                Event::SequenceStart(_, anchor, _) => {
                    self.end = bytes.end;
                    self.begin(at, bytes.start, anchor, Collection::List(Vec::new()))?;
                    None
                }
                Event::MappingStart(_, anchor, _) => {
                    self.end = bytes.end;
                    self.begin(at, bytes.start, anchor, Collection::Map { entries: Vec::new(), key: None })?;
                    None
                }
                Event::SequenceEnd | Event::MappingEnd => {
                    // The end of a block has no text of its own.
                    let flow = (!bytes.is_empty()).then_some(self.end);
                    self.end = if flow.is_some() { bytes.end } else { self.end };
                    let end = self.end;
                    self.open.pop().map(|open| open.close(end, flow)).transpose()?
                }
                Event::DocumentEnd => match document.take() {
                    Some(node) => return Ok(Some(Read { node, end: bytes.end, style: mem::take(&mut self.style) })),
                    None => None,
                },
                _ => None,
            };
            if let Some(node) = complete {
                if node.span.anchor != 0 {
                    let (levels, bytes) = measure(&node);
                    // Anchors may nest, and each of them keeps a copy.
                    self.count(at, bytes)?;
                    self.anchors.insert(node.span.anchor, Anchored { node: node.clone(), levels, bytes });
                }
                document = self.attach(node)?;
            }
        }
    }

    /// The byte behind the text of a block scalar, whose lines begin at an indent. The parser counts the empty lines behind it as
    /// a part of it; comments not.
    fn end_of_block(&self, end: usize, indent: Option<usize>, value: &str) -> usize {
        let mut text = self.text.get(..end).unwrap_or_default();
        let keeps_lines = value.ends_with("\n\n") || value == "\n";
        let Some(indent) = indent.filter(|_| !keeps_lines) else { return text.trim_end_matches(' ').len() };
        while let Some((before, line)) = text.rsplit_once('\n') {
            let line = line.strip_suffix('\r').unwrap_or(line);
            // A line of more spaces has those behind the indent as text.
            if line.len() > indent || !line.bytes().all(|byte| byte == b' ') {
                break;
            }
            text = before.strip_suffix('\r').unwrap_or(before);
        }
        text.len()
    }

    /// The byte behind a value that is not written. The parser has it before the colon of its key.
    fn end_of_nothing(&self, end: usize) -> usize {
        let behind = self.text.get(end..).unwrap_or_default();
        let colon = behind.trim_start_matches([' ', '\t']).strip_prefix(':');
        colon.map_or(end, |rest| end + behind.len() - rest.len())
    }

    fn begin(&mut self, at: Position, start: usize, anchor: usize, content: Collection) -> Result<(), Error> {
        if self.expects_key() {
            return Err(Error { at, message: "a key must be text, not a list or a mapping".to_owned() });
        }
        self.open.push(Open { at, start, anchor, content });
        self.check_levels(at, 0)
    }

    fn check_levels(&self, at: Position, below: usize) -> Result<(), Error> {
        if self.open.len() + below > MOST_LEVELS {
            return Err(Error { at, message: format!("this is nested more than {MOST_LEVELS} levels deep") });
        }
        Ok(())
    }

    fn alias(&mut self, at: Position, anchor: usize) -> Result<Located, Error> {
        let Some(anchored) = self.anchors.get(&anchor) else {
            return Err(Error { at, message: "this alias is inside the node that it refers to".to_owned() });
        };
        self.check_levels(at, anchored.levels)?;
        let (content, bytes) = (anchored.node.content.clone(), anchored.bytes);
        self.count(at, bytes)?;
        Ok(Located { at, span: Span::default(), content })
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
    fn attach(&mut self, node: Located) -> Result<Option<Located>, Error> {
        let Some(open) = self.open.last_mut() else { return Ok(Some(node)) };
        match &mut open.content {
            Collection::List(nodes) => nodes.push(node),
            Collection::Map { entries, key } => match mem::take(key) {
                Some(Key::Merge) => entries.push(Written::Merge(node)),
                Some(Key::Name(at, key)) => {
                    let entry = Part { at, key, value: node, is_merged: false, hides_own: false };
                    entries.push(Written::Entry(entry));
                }
                None => *key = Some(Key::Name(node.at, name(node)?)),
            },
        }
        Ok(None)
    }
}

fn position(marker: &Marker) -> Position {
    Position { line: marker.line().max(1), column: marker.col() + 1 }
}

/// The text of a key. Like Kubernetes, it accepts numbers and booleans as text.
fn name(node: Located) -> Result<String, Error> {
    let at = node.at;
    match node.content {
        Parts::Scalar(Value::String(text)) => Ok(text),
        Parts::Scalar(value @ (Value::Bool(_) | Value::Number(_))) => Ok(value.to_string()),
        _ => Err(Error { at, message: format!("a key must be text, not {}", node.into_node().kind()) }),
    }
}

impl Open {
    fn close(self, end: usize, flow: Option<usize>) -> Result<Located, Error> {
        let content = match self.content {
            Collection::List(nodes) => Parts::List(nodes),
            Collection::Map { entries, .. } => Parts::Map(merge(entries)?),
        };
        let span = Span { start: self.start, end, flow, anchor: self.anchor, alias: 0 };
        Ok(Located { at: self.at, span, content })
    }
}

/// The depth of a node, and roughly its size in bytes.
fn measure(node: &Located) -> (usize, usize) {
    let own = mem::size_of::<Part>();
    let inside: Vec<_> = match &node.content {
        Parts::Scalar(Value::String(text)) => return (0, own + text.len()),
        Parts::Scalar(_) => return (0, own),
        Parts::List(nodes) => nodes.iter().map(|node| (measure(node), 0)).collect(),
        Parts::Map(entries) => entries.iter().map(|entry| (measure(&entry.value), entry.key.len())).collect(),
    };
    let levels = inside.iter().map(|((levels, _), _)| *levels).max().unwrap_or_default();
    (levels + 1, own + inside.iter().map(|((_, bytes), key)| bytes + key).sum::<usize>())
}
