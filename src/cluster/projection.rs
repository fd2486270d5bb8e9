//! Extracts the fields that we use from a JSON document while its bytes arrive.
//!
//! Any tenant who may create a claim decides what else the API server sends: megabytes of annotations, or
//! `managedFields` with a time that no type of ours can hold, or with a hundred levels, which exceeds the recursion
//! limit of `serde_json`. None of that is stored or parsed here. What remains of an object is JSON text whose size its
//! `Fields` bound.
//!
//! Rejected alternatives:
//! - kube's `watcher` and `reflector::Store` parse the whole typed object, hold a page of a list both as text and as
//!   objects, and one object that does not fit the type fails the list. They also restart a watch that ends without a
//!   pause.
//! - `WatchList` (a list as a watch, one object a line) is off by default in Kubernetes 1.33, and a line is as large as
//!   its object.
//! - `serde_json::StreamDeserializer` and struson read from a blocking `Read`.
//! - actson takes bytes as they arrive, but buffers every string whole and without a bound, including those that are
//!   not used.
//!
//! Skipped values are not validated, because the API server wrote them. Extracted values are validated by the code that
//! parses them.

mod scan;

use scan::Scan;

/// The longest name of a member that can match. The name of an annotation has at most 317 bytes.
const MAX_NAME: usize = 512;

/// The parts of a value to extract. A value of another type is treated as absent.
#[derive(Clone, Debug)]
pub(super) enum Fields {
    /// Any value of at most this many bytes.
    Any(usize),
    /// The elements of an array, each returned as a part of its own.
    Each(Box<Fields>),
    /// These members of an object.
    Object(Vec<(&'static str, Fields)>),
    /// The string members of an object whose names have this prefix, of at most this many bytes in total.
    Strings(&'static str, usize),
    /// A string of at most this many bytes, including its quotes and escapes.
    Text(usize),
    /// The strings in an array, of at most this many bytes in total.
    Texts(usize),
}

/// A part that is complete.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// The document, without the elements that were returned before.
    Document(Projected),
    /// An element of a `Fields::Each`.
    Element(Projected),
}

/// The extracted fields of a value.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Projected {
    /// JSON text; empty if nothing matched.
    pub(super) text: Vec<u8>,
    /// Whether a field was omitted because it exceeds its limit.
    pub(super) truncated: bool,
}

/// The document is not JSON.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("it is not JSON: byte {found:#04x} instead of {expected}")]
pub(super) struct Malformed {
    found: u8,
    expected: &'static str,
}

/// An extractor for a sequence of documents, fed with bytes as they arrive.
#[derive(Debug)]
pub(super) struct Projection<'f> {
    fields: &'f Fields,
    /// The open containers of which fields are extracted.
    open: Vec<Container<'f>>,
    next: Next,
    /// The name of the current member as written, without quotes. A name that is too long is stored with one byte more
    /// than the limit.
    name: Vec<u8>,
    output: Vec<u8>,
    truncated: bool,
    /// The text of the document before the current element.
    outer: Option<(Vec<u8>, bool)>,
}

#[derive(Debug)]
struct Container<'f> {
    contents: Contents<'f>,
    /// Whether a comma has to precede the next value.
    has_some: bool,
    /// Whether it is an element of a `Fields::Each`.
    is_element: bool,
}

#[derive(Clone, Copy, Debug)]
enum Contents<'f> {
    Each(&'f Fields),
    Members(&'f [(&'static str, Fields)]),
    /// The prefix of names, and the remaining bytes.
    Strings(&'static str, usize),
    /// The remaining bytes.
    Texts(usize),
}

/// What the next byte may be.
#[derive(Clone, Copy, Debug)]
enum Next {
    /// A comma, or the end of the container.
    AfterValue,
    Colon,
    /// The opening quote of a name, or the end of an object that is empty so far.
    Member {
        may_end: bool,
    },
    Name {
        escaped: bool,
    },
    /// The first byte of a value, or the end of an array that is empty so far.
    Value {
        may_end: bool,
    },
    Whole(Whole),
}

/// A value that is kept or skipped as a whole.
#[derive(Clone, Copy, Debug)]
struct Whole {
    scan: Scan,
    /// Where its member starts in the output, and the remaining bytes. `None` if it is skipped.
    keeps: Option<(usize, usize)>,
    is_element: bool,
}

/// How to treat the next value.
enum Treatment<'f> {
    Fields(&'f Fields),
    Skip,
    Text(usize),
}

impl<'f> Projection<'f> {
    /// An extractor before its first document.
    pub(super) fn new(fields: &'f Fields) -> Self {
        Projection {
            fields,
            open: Vec::new(),
            next: Next::Value { may_end: false },
            name: Vec::new(),
            output: Vec::new(),
            truncated: false,
            outer: None,
        }
    }

    /// Consumes input until a part is complete. Returns `None` once all input is consumed.
    ///
    /// # Errors
    /// The input is not JSON. The extractor cannot continue after that.
    pub(super) fn advance(&mut self, input: &mut &[u8]) -> Result<Option<Part>, Malformed> {
        while let Some((&byte, rest)) = input.split_first() {
            if let Next::Whole(whole) = self.next {
                if let Some(part) = self.consume(whole, input) {
                    return Ok(Some(part));
                }
                continue;
            }
            if let Next::Name { escaped } = self.next {
                *input = rest;
                self.extend_name(byte, escaped);
                continue;
            }
            if byte.is_ascii_whitespace() {
                *input = rest;
                continue;
            }
            let part = match (self.next, byte) {
                (Next::Value { may_end: true }, b']') | (Next::Member { may_end: true }, b'}') => self.close(),
                (Next::Value { .. }, _) => {
                    // `consume` takes the bytes of a value that is kept or skipped as a whole.
                    if !self.begin_value(byte)? {
                        continue;
                    }
                    None
                }
                (Next::Member { .. }, b'"') => {
                    self.name.clear();
                    self.next = Next::Name { escaped: false };
                    None
                }
                (Next::Member { .. }, _) => return Err(Malformed { found: byte, expected: "a name" }),
                (Next::Colon, b':') => {
                    self.next = Next::Value { may_end: false };
                    None
                }
                (Next::Colon, _) => return Err(Malformed { found: byte, expected: "a colon" }),
                (_, _) => self.after_value(byte)?,
            };
            *input = rest;
            if part.is_some() {
                return Ok(part);
            }
        }
        Ok(None)
    }

    fn extend_name(&mut self, byte: u8, escaped: bool) {
        if byte == b'"' && !escaped {
            self.next = Next::Colon;
            return;
        }
        if self.name.len() <= MAX_NAME {
            self.name.push(byte);
        }
        self.next = Next::Name { escaped: byte == b'\\' && !escaped };
    }

    fn after_value(&mut self, byte: u8) -> Result<Option<Part>, Malformed> {
        let is_object = self.open.last().is_some_and(Container::is_object);
        match byte {
            b',' if is_object => self.next = Next::Member { may_end: false },
            b',' => self.next = Next::Value { may_end: false },
            b'}' if is_object => return Ok(self.close()),
            b']' if !is_object => return Ok(self.close()),
            _ => return Err(Malformed { found: byte, expected: "a comma or an end" }),
        }
        Ok(None)
    }

    /// Starts a value. Returns false if its first byte was not consumed.
    fn begin_value(&mut self, byte: u8) -> Result<bool, Malformed> {
        let (treatment, is_element) = self.next_treatment();
        let contents = match (&treatment, byte) {
            (Treatment::Fields(Fields::Each(fields)), b'[') => {
                // Each element becomes a part; the array itself leaves no output.
                self.open.push(Container { contents: Contents::Each(fields), has_some: false, is_element: false });
                self.next = Next::Value { may_end: true };
                return Ok(true);
            }
            (Treatment::Fields(Fields::Object(members)), b'{') => Contents::Members(members),
            (Treatment::Fields(Fields::Strings(prefix, most)), b'{') => Contents::Strings(prefix, *most),
            (Treatment::Fields(Fields::Texts(most)), b'[') => Contents::Texts(*most),
            _ => {
                let most = match (treatment, byte) {
                    (Treatment::Fields(Fields::Text(most)), b'"') | (Treatment::Fields(Fields::Any(most)), _) => {
                        Some(*most)
                    }
                    (Treatment::Text(most), b'"') => Some(most),
                    _ => None,
                };
                self.begin_whole(byte, most, is_element)?;
                return Ok(false);
            }
        };
        self.begin_output(is_element);
        self.output.push(byte);
        if let Some(container) = self.open.last_mut() {
            container.has_some = true;
        }
        let container = Container { contents, has_some: false, is_element };
        self.next = if container.is_object() { Next::Member { may_end: true } } else { Next::Value { may_end: true } };
        self.open.push(container);
        Ok(true)
    }

    fn begin_whole(&mut self, byte: u8, most: Option<usize>, is_element: bool) -> Result<(), Malformed> {
        let scan = match byte {
            b'"' | b'{' | b'[' => Scan::new(byte),
            b'-' | b'0'..=b'9' | b't' | b'f' | b'n' => Scan::Scalar,
            _ => return Err(Malformed { found: byte, expected: "a value" }),
        };
        let keeps = most.map(|most| (self.begin_output(is_element), most));
        self.next = Next::Whole(Whole { scan, keeps, is_element: is_element && keeps.is_some() });
        Ok(())
    }

    /// How to treat the next value, and whether it is an element of a `Fields::Each`.
    fn next_treatment(&mut self) -> (Treatment<'f>, bool) {
        let Some(container) = self.open.last() else { return (Treatment::Fields(self.fields), false) };
        match container.contents {
            Contents::Each(fields) => (Treatment::Fields(fields), true),
            Contents::Members(members) => {
                let name = self.name();
                let member = members.iter().find(|(member, _)| name.as_deref() == Some(*member));
                (member.map_or(Treatment::Skip, |(_, fields)| Treatment::Fields(fields)), false)
            }
            Contents::Strings(prefix, left) => {
                if !self.name().is_some_and(|name| name.starts_with(prefix)) {
                    return (Treatment::Skip, false);
                }
                let left = left.checked_sub(self.name.len()).filter(|_| self.name.len() <= MAX_NAME);
                // A name beyond the limit counts as truncated, like a value.
                self.truncated |= left.is_none();
                (left.map_or(Treatment::Skip, Treatment::Text), false)
            }
            Contents::Texts(left) => (Treatment::Text(left), false),
        }
    }

    /// The name of the current member, or `None` if it is not valid UTF-8.
    fn name(&self) -> Option<std::borrow::Cow<'_, str>> {
        if self.name.contains(&b'\\') {
            let quoted = [b"\"", &*self.name, b"\""].concat();
            return serde_json::from_slice::<String>(&quoted).ok().map(Into::into);
        }
        std::str::from_utf8(&self.name).ok().map(Into::into)
    }

    /// Writes the comma and the name that precede a value. Returns where they start in the output.
    fn begin_output(&mut self, is_element: bool) -> usize {
        if is_element {
            self.outer = Some((std::mem::take(&mut self.output), std::mem::take(&mut self.truncated)));
            return 0;
        }
        let start = self.output.len();
        let Some(container) = self.open.last() else { return start };
        if container.has_some {
            self.output.push(b',');
        }
        if container.is_object() {
            self.output.push(b'"');
            self.output.extend_from_slice(&self.name);
            self.output.extend_from_slice(b"\":");
        }
        start
    }

    /// Consumes bytes of a value that is kept or skipped as a whole.
    fn consume(&mut self, mut whole: Whole, input: &mut &[u8]) -> Option<Part> {
        let (length, has_ended) = whole.scan.advance(input);
        let (bytes, rest) = input.split_at(length);
        *input = rest;
        whole.keeps = whole.keeps.and_then(|(start, left)| {
            let left = left.checked_sub(bytes.len());
            if left.is_some() {
                self.output.extend_from_slice(bytes);
            } else {
                self.output.truncate(start);
                self.truncated = true;
            }
            Some((start, left?))
        });
        if !has_ended {
            self.next = Next::Whole(whole);
            return None;
        }
        if let (Some((_, left)), Some(container)) = (whole.keeps, self.open.last_mut()) {
            container.has_some = true;
            if let Contents::Strings(_, all) | Contents::Texts(all) = &mut container.contents {
                *all = left;
            }
        }
        self.end_value(whole.is_element)
    }

    /// Ends the innermost container.
    fn close(&mut self) -> Option<Part> {
        let container = self.open.pop()?;
        match container.contents {
            Contents::Each(_) => {}
            Contents::Members(_) | Contents::Strings(..) => self.output.push(b'}'),
            Contents::Texts(_) => self.output.push(b']'),
        }
        self.end_value(container.is_element)
    }

    fn end_value(&mut self, is_element: bool) -> Option<Part> {
        self.next = Next::AfterValue;
        let take = |projection: &mut Self| Projected {
            text: std::mem::take(&mut projection.output),
            truncated: std::mem::take(&mut projection.truncated),
        };
        if is_element {
            let element = take(self);
            (self.output, self.truncated) = self.outer.take().unwrap_or_default();
            return Some(Part::Element(element));
        }
        if self.open.is_empty() {
            self.next = Next::Value { may_end: false };
            return Some(Part::Document(take(self)));
        }
        None
    }
}

impl Container<'_> {
    fn is_object(&self) -> bool {
        matches!(self.contents, Contents::Members(_) | Contents::Strings(..))
    }
}

#[cfg(test)]
mod tests;
