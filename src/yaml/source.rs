//! The documents of a file one by one, each with its place in the text.

use std::ops::Range;

use serde_json::Value;

use super::located::Located;
use super::reader::{Read, Style};
use super::{Document, Error, Position, edit, json, reader};

/// One document of a file, and its text.
#[derive(Clone, Debug)]
pub struct Source {
    /// Its beginning.
    pub at: Position,
    /// Its content; keys keep their order.
    pub value: Value,
    /// Where its text is in bytes, with what stands between it and the document before it; `None` in a file of JSON.
    pub text: Option<Range<usize>>,
    /// The nodes of the document, and how it is written.
    located: Option<(Located, Style)>,
}

/// Iterates over the documents of a file of YAML, or of JSON documents one after another; ends after the first error. Empty
/// documents are skipped.
pub fn sources(text: &str) -> impl Iterator<Item = Result<Source, Error>> {
    // kubectl also tries JSON first if the text begins with a brace.
    let as_json = if text.trim_start().starts_with('{') { json::documents(text) } else { Ok(Vec::new()) };
    let (documents, error) = match as_json {
        Ok(documents) => (documents, None),
        Err(error) => (Vec::new(), Some(error)),
    };
    let mut yaml = documents.is_empty().then(|| in_yaml(text));
    let yaml = std::iter::from_fn(move || yaml.as_mut()?.next()).map(move |source| {
        // A YAML file may begin with a brace too. The parser that got further has the better message.
        source.map_err(|in_yaml| error.clone().filter(|error| error.at >= in_yaml.at).unwrap_or(in_yaml))
    });
    documents.into_iter().map(|document| Ok(Source::from_json(document))).chain(yaml)
}

fn in_yaml(text: &str) -> impl Iterator<Item = Result<Source, Error>> {
    let mut begin = 0;
    let mut source = move |Read { node, end, style }: Read| {
        let value = node.to_value()?;
        if value.is_null() {
            return Ok(None);
        }
        let text = Some(begin..end);
        begin = end;
        Ok(Some(Source { at: node.at, value, text, located: Some((node, style)) }))
    };
    reader::located(text).filter_map(move |document| document.and_then(&mut source).transpose())
}

impl Source {
    fn from_json(Document { at, value }: Document) -> Self {
        Source { at, value, text: None, located: None }
    }

    /// The document without its place.
    pub fn into_document(self) -> Document {
        Document { at: self.at, value: self.value }
    }

    /// The text of the document after JSON Patch operations that add, if inserting can express them; it has the value `after`.
    /// `file` is the text of the whole file.
    ///
    /// The bytes outside of the insertions are the same, but for values that are replaced: an empty one, the value of a key that
    /// is added again, and an alias whose anchor changed.
    /// The result is read again to be sure, unless the document has neither anchors nor tags, and whole lines are
    /// added behind others that end no block scalar.
    pub fn edit(&self, file: &str, operations: &[Value], after: &Value) -> Option<edit::Edited> {
        let (document, style) = self.located.as_ref()?;
        edit::edit(file, self.text.clone()?, (document, style), operations, after)
    }
}
