//! Parses JSON documents one after another, and refuses duplicate keys.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

use super::{Document, Error, Position};

/// Parses all documents of a file.
///
/// # Errors
/// The first mistake.
pub(super) fn documents(text: &str) -> Result<Vec<Document>, Error> {
    let mut stream = serde_json::Deserializer::from_str(text).into_iter::<Unique>();
    let mut documents = Vec::new();
    let (mut at, mut counted) = (Position::START, 0);
    loop {
        let rest = text.get(stream.byte_offset()..).unwrap_or_default();
        let begin = text.len() - rest.trim_start().len();
        at = advance(at, text.get(counted..begin).unwrap_or_default());
        counted = begin;
        match stream.next() {
            None => return Ok(documents),
            Some(Ok(Unique(value))) => documents.push(Document { at, value }),
            Some(Err(error)) => {
                let message = error.to_string();
                // The same wording as for the YAML reader's own limit.
                let message = message.replace("recursion limit exceeded", "this is nested more than 127 levels deep");
                // The position is a field of its own.
                let message = message.rsplit_once(" at line ").map_or(message.as_str(), |(message, _)| message);
                let at = Position { line: error.line(), column: error.column().max(1) };
                return Err(Error { at, message: message.to_owned() });
            }
        }
    }
}

/// The position after `text`, which begins at `from`.
fn advance(from: Position, text: &str) -> Position {
    let by = Position::after(text);
    let column = if by.line == 1 { from.column + by.column - 1 } else { by.column };
    Position { line: from.line + by.line - 1, column }
}

/// A value without duplicate keys.
struct Unique(Value);

impl<'de> Deserialize<'de> for Unique {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AsUnique)
    }
}

struct AsUnique;

impl<'de> Visitor<'de> for AsUnique {
    type Value = Unique;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Unique, E> {
        Ok(Unique(Value::Bool(value)))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Unique, E> {
        Ok(Unique(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Unique, E> {
        Ok(Unique(value.into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Unique, E> {
        Ok(Unique(Number::from_f64(value).map_or(Value::Null, Value::Number)))
    }

    fn visit_str<E>(self, value: &str) -> Result<Unique, E> {
        Ok(Unique(value.into()))
    }

    fn visit_string<E>(self, value: String) -> Result<Unique, E> {
        Ok(Unique(value.into()))
    }

    fn visit_unit<E>(self) -> Result<Unique, E> {
        Ok(Unique(Value::Null))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Unique, A::Error> {
        let mut values = Vec::new();
        while let Some(Unique(value)) = list.next_element()? {
            values.push(value);
        }
        Ok(Unique(Value::Array(values)))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Unique, A::Error> {
        let mut map = Map::new();
        while let Some(key) = entries.next_key::<String>()? {
            if map.contains_key(&key) {
                return Err(A::Error::custom(super::node::duplicate(&key)));
            }
            let Unique(value) = entries.next_value()?;
            map.insert(key, value);
        }
        Ok(Unique(Value::Object(map)))
    }
}
