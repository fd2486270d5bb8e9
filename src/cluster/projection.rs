//! The fields of a JSON document that we use, cut out of it byte by byte while it arrives.
//!
//! Everybody who may create a claim decides what else the API server sends us: megabytes of annotations, `managedFields` with
//! a time that no type of ours holds or with a hundred levels, which the recursion limit of `serde_json` refuses. Here
//! nothing of that is kept or parsed. What remains of an object is a JSON text of a size that its `Fields` bound.
//!
//! Rejected, and why:
//! - kube's `watcher` and `reflector::Store`: they parse the whole typed object, hold a page of a list as text and as objects,
//!   and one object that does not fit the type fails the list. They also begin a watch again without a pause where it ends.
//! - `WatchList` (a list as a watch, one object a line): off by default in Kubernetes 1.33, and a line is as large as an object.
//! - `serde_json::StreamDeserializer` and struson: they read from a blocking `Read`.
//! - actson: fed by bytes like this, but it buffers every string whole, also those that nobody wants, without a bound.
//!
//! What is skipped is not validated: the API server wrote it. What is kept is valid where the reader of it says so.

/// Bytes of the longest name of a member that anybody wants; an annotation's has at most 317.
const LONGEST_NAME: usize = 512;

/// Which parts of a value are wanted. Of a value with another type nothing is kept, as if it were not there.
#[derive(Clone, Debug)]
pub(super) enum Fields {
    /// Any value, of at most so many bytes.
    Any(usize),
    /// The elements of a list, each handed out by itself.
    Each(Box<Fields>),
    /// These members of an object.
    Object(Vec<(&'static str, Fields)>),
    /// Members of an object that are strings and whose names begin so; all of them have at most so many bytes.
    Strings(&'static str, usize),
    /// A string of at most so many bytes, with its quotes and escapes.
    Text(usize),
    /// The strings in a list, of at most so many bytes together.
    Texts(usize),
}

/// What has arrived whole.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// The document, without what was handed out before.
    Document(Kept),
    /// An element of a list that is handed out element by element.
    Element(Kept),
}

/// What is kept of a value.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Kept {
    /// JSON; empty where nothing of it was wanted.
    pub(super) text: Vec<u8>,
    /// Something wanted was larger than its bound, and is not in the text.
    pub(super) cut: bool,
}

/// The document is not JSON.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("it is not JSON: byte {found:#04x} instead of {wanted}")]
pub(super) struct Malformed {
    found: u8,
    wanted: &'static str,
}

/// One document after another, as their bytes arrive.
#[derive(Debug)]
pub(super) struct Projection<'f> {
    fields: &'f Fields,
    /// The containers that are open and of which something is wanted.
    open: Vec<Container<'f>>,
    next: Next,
    /// The name of the current member as it is written, without quotes; a byte more than the longest where it is longer.
    name: Vec<u8>,
    kept: Vec<u8>,
    cut: bool,
    /// What was kept of the document before the current element.
    around: Option<(Vec<u8>, bool)>,
}

#[derive(Debug)]
struct Container<'f> {
    wanted: Wanted<'f>,
    /// Something of it was kept, so that a comma comes next.
    has_some: bool,
    /// It is an element that is handed out.
    is_element: bool,
}

#[derive(Clone, Copy, Debug)]
enum Wanted<'f> {
    Each(&'f Fields),
    Members(&'f [(&'static str, Fields)]),
    /// What names begin with, and the bytes that are left.
    Strings(&'static str, usize),
    /// The bytes that are left.
    Texts(usize),
}

/// What the next byte may be.
#[derive(Clone, Copy, Debug)]
enum Next {
    /// A comma, or the end of the container.
    AfterValue,
    Colon,
    /// The first quote of a name; the end of the object where it is empty so far.
    Member {
        may_end: bool,
    },
    Name {
        escaped: bool,
    },
    /// The first byte of a value; the end of the list where it is empty so far.
    Value {
        may_end: bool,
    },
    Whole(Whole),
}

/// A value that is kept or skipped as a whole.
#[derive(Clone, Copy, Debug)]
struct Whole {
    kind: Kind,
    /// Where its member begins in what is kept, and the bytes that are left for it; none: it is skipped.
    keeps: Option<(usize, usize)>,
    is_element: bool,
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    /// How many containers are open; no stack, so any depth costs the same.
    Container {
        depth: usize,
        in_string: bool,
        escaped: bool,
    },
    Scalar,
    String {
        escaped: bool,
    },
}

/// What is wanted of the value that begins.
enum Want<'f> {
    Fields(&'f Fields),
    Nothing,
    Text(usize),
}

impl<'f> Projection<'f> {
    /// Before the first document.
    pub(super) fn new(fields: &'f Fields) -> Self {
        Projection {
            fields,
            open: Vec::new(),
            next: Next::Value { may_end: false },
            name: Vec::new(),
            kept: Vec::new(),
            cut: false,
            around: None,
        }
    }

    /// Takes bytes from the input until something is whole; none: it took all of them.
    ///
    /// # Errors
    /// It is not JSON. Nothing can be read from there on.
    pub(super) fn advance(&mut self, input: &mut &[u8]) -> Result<Option<Part>, Malformed> {
        while let Some((&byte, rest)) = input.split_first() {
            if let Next::Whole(whole) = self.next {
                if let Some(part) = self.pass(whole, input) {
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
                    // The bytes of a value that is passed as a whole are taken there.
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
                (Next::Member { .. }, _) => return Err(Malformed { found: byte, wanted: "a name" }),
                (Next::Colon, b':') => {
                    self.next = Next::Value { may_end: false };
                    None
                }
                (Next::Colon, _) => return Err(Malformed { found: byte, wanted: "a colon" }),
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
        if self.name.len() <= LONGEST_NAME {
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
            _ => return Err(Malformed { found: byte, wanted: "a comma or an end" }),
        }
        Ok(None)
    }

    /// Begins a value. False: its first byte was not taken.
    fn begin_value(&mut self, byte: u8) -> Result<bool, Malformed> {
        let (want, is_element) = self.wanted();
        let wanted = match (&want, byte) {
            (Want::Fields(Fields::Each(fields)), b'[') => {
                // Its elements are handed out; of the list itself nothing is kept.
                self.open.push(Container { wanted: Wanted::Each(fields), has_some: false, is_element: false });
                self.next = Next::Value { may_end: true };
                return Ok(true);
            }
            (Want::Fields(Fields::Object(members)), b'{') => Wanted::Members(members),
            (Want::Fields(Fields::Strings(prefix, most)), b'{') => Wanted::Strings(prefix, *most),
            (Want::Fields(Fields::Texts(most)), b'[') => Wanted::Texts(*most),
            _ => {
                let most = match (want, byte) {
                    (Want::Fields(Fields::Text(most)), b'"') | (Want::Fields(Fields::Any(most)), _) => Some(*most),
                    (Want::Text(most), b'"') => Some(most),
                    _ => None,
                };
                self.begin_whole(byte, most, is_element)?;
                return Ok(false);
            }
        };
        self.begin_kept(is_element);
        self.kept.push(byte);
        if let Some(container) = self.open.last_mut() {
            container.has_some = true;
        }
        let container = Container { wanted, has_some: false, is_element };
        self.next = if container.is_object() { Next::Member { may_end: true } } else { Next::Value { may_end: true } };
        self.open.push(container);
        Ok(true)
    }

    fn begin_whole(&mut self, byte: u8, most: Option<usize>, is_element: bool) -> Result<(), Malformed> {
        let kind = match byte {
            b'"' | b'{' | b'[' => Kind::of_first(byte),
            b'-' | b'0'..=b'9' | b't' | b'f' | b'n' => Kind::Scalar,
            _ => return Err(Malformed { found: byte, wanted: "a value" }),
        };
        let keeps = most.map(|most| (self.begin_kept(is_element), most));
        self.next = Next::Whole(Whole { kind, keeps, is_element: is_element && keeps.is_some() });
        Ok(())
    }

    /// What is wanted of the next value, and whether it is an element that is handed out.
    fn wanted(&mut self) -> (Want<'f>, bool) {
        let Some(container) = self.open.last() else { return (Want::Fields(self.fields), false) };
        match container.wanted {
            Wanted::Each(fields) => (Want::Fields(fields), true),
            Wanted::Members(members) => {
                let name = self.name();
                let member = members.iter().find(|(wanted, _)| name.as_deref() == Some(*wanted));
                (member.map_or(Want::Nothing, |(_, fields)| Want::Fields(fields)), false)
            }
            Wanted::Strings(prefix, left) => {
                if !self.name().is_some_and(|name| name.starts_with(prefix)) {
                    return (Want::Nothing, false);
                }
                let left = left.checked_sub(self.name.len()).filter(|_| self.name.len() <= LONGEST_NAME);
                // A name that does not fit is cut like its value.
                self.cut |= left.is_none();
                (left.map_or(Want::Nothing, Want::Text), false)
            }
            Wanted::Texts(left) => (Want::Text(left), false),
        }
    }

    /// The name of the current member; none where it is no text.
    fn name(&self) -> Option<std::borrow::Cow<'_, str>> {
        if self.name.contains(&b'\\') {
            let quoted = [b"\"", &*self.name, b"\""].concat();
            return serde_json::from_slice::<String>(&quoted).ok().map(Into::into);
        }
        std::str::from_utf8(&self.name).ok().map(Into::into)
    }

    /// Writes what stands before a value that is kept: a comma, and its name. Says where that begins.
    fn begin_kept(&mut self, is_element: bool) -> usize {
        if is_element {
            self.around = Some((std::mem::take(&mut self.kept), std::mem::take(&mut self.cut)));
            return 0;
        }
        let start = self.kept.len();
        let Some(container) = self.open.last() else { return start };
        if container.has_some {
            self.kept.push(b',');
        }
        if container.is_object() {
            self.kept.push(b'"');
            self.kept.extend_from_slice(&self.name);
            self.kept.extend_from_slice(b"\":");
        }
        start
    }

    /// Passes bytes of a value that is kept or skipped as a whole.
    fn pass(&mut self, mut whole: Whole, input: &mut &[u8]) -> Option<Part> {
        let (length, has_ended) = whole.kind.scan(input);
        let (bytes, rest) = input.split_at(length);
        *input = rest;
        whole.keeps = whole.keeps.and_then(|(start, left)| {
            let left = left.checked_sub(bytes.len());
            if left.is_some() {
                self.kept.extend_from_slice(bytes);
            } else {
                self.kept.truncate(start);
                self.cut = true;
            }
            Some((start, left?))
        });
        if !has_ended {
            self.next = Next::Whole(whole);
            return None;
        }
        if let (Some((_, left)), Some(container)) = (whole.keeps, self.open.last_mut()) {
            container.has_some = true;
            if let Wanted::Strings(_, all) | Wanted::Texts(all) = &mut container.wanted {
                *all = left;
            }
        }
        self.end_value(whole.is_element)
    }

    /// Ends the innermost container.
    fn close(&mut self) -> Option<Part> {
        let container = self.open.pop()?;
        match container.wanted {
            Wanted::Each(_) => {}
            Wanted::Members(_) | Wanted::Strings(..) => self.kept.push(b'}'),
            Wanted::Texts(_) => self.kept.push(b']'),
        }
        self.end_value(container.is_element)
    }

    fn end_value(&mut self, is_element: bool) -> Option<Part> {
        self.next = Next::AfterValue;
        let take = |projection: &mut Self| Kept {
            text: std::mem::take(&mut projection.kept),
            cut: std::mem::take(&mut projection.cut),
        };
        if is_element {
            let element = take(self);
            (self.kept, self.cut) = self.around.take().unwrap_or_default();
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
        matches!(self.wanted, Wanted::Members(_) | Wanted::Strings(..))
    }
}

impl Kind {
    /// Before the first byte of a string or a container.
    fn of_first(byte: u8) -> Self {
        if byte == b'"' {
            // After a backslash no quote ends it: so its first one does not.
            Kind::String { escaped: true }
        } else {
            Kind::Container { depth: 0, in_string: false, escaped: false }
        }
    }

    /// How many of the bytes belong to the value, and whether it ends there.
    fn scan(&mut self, bytes: &[u8]) -> (usize, bool) {
        match self {
            Kind::Scalar => {
                let end = bytes.iter().position(|byte| b",]} \t\r\n".contains(byte));
                (end.unwrap_or(bytes.len()), end.is_some())
            }
            Kind::String { escaped } => {
                // Patterns, for they are fast in a debug build as well: this is where megabytes pass.
                let mut rest = bytes;
                while let [byte, after @ ..] = rest {
                    rest = after;
                    match *byte {
                        _ if *escaped => *escaped = false,
                        b'\\' => *escaped = true,
                        b'"' => return (bytes.len() - rest.len(), true),
                        _ => {}
                    }
                }
                (bytes.len(), false)
            }
            Kind::Container { depth, in_string, escaped } => {
                let mut rest = bytes;
                while let [byte, after @ ..] = rest {
                    rest = after;
                    match *byte {
                        _ if *escaped => *escaped = false,
                        b'\\' if *in_string => *escaped = true,
                        b'"' => *in_string = !*in_string,
                        _ if *in_string => {}
                        b'{' | b'[' => *depth += 1,
                        b'}' | b']' => {
                            *depth -= 1;
                            if *depth == 0 {
                                return (bytes.len() - rest.len(), true);
                            }
                        }
                        _ => {}
                    }
                }
                (bytes.len(), false)
            }
        }
    }
}

#[cfg(test)]
mod tests;
