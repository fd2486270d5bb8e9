//! The text of an added value, in block style and in flow style.

use std::fmt::Write as _;

use serde_json::{Map, Value};

use crate::yaml::writer;

/// The lines of a mapping with one entry, each indented, with a line feed behind each.
pub(super) fn entry(key: &str, value: &Value, indent: usize) -> String {
    indented(&writer::write(&one(key, value)), indent)
}

/// The lines of a list with one item, each indented.
pub(super) fn item(value: &Value, indent: usize) -> String {
    indented(&writer::write(&Value::Array(vec![value.clone()])), indent)
}

/// What stands behind a key: on its own line, and on the lines below, indented.
pub(super) fn behind_key(key: &str, value: &Value, indent: usize) -> Option<(String, String)> {
    let text = writer::write(&one(key, value));
    let empty = writer::write(&one(key, &Value::Null));
    let begin = empty.rsplit_once(':')?.0;
    let rest = text.strip_prefix(begin)?.strip_prefix(':')?;
    let (line, below) = rest.split_once('\n')?;
    Some((line.trim().to_owned(), indented(below, indent)))
}

/// A value in flow style: JSON, with a space behind each comma and colon.
pub(super) fn flow(value: &Value) -> String {
    match value {
        Value::Array(items) => format!("[{}]", items.iter().map(flow).collect::<Vec<_>>().join(", ")),
        Value::Object(entries) => {
            let entry = |(key, value): (&String, &Value)| format!("{}: {}", quoted(key), flow(value));
            format!("{{{}}}", entries.iter().map(entry).collect::<Vec<_>>().join(", "))
        }
        Value::String(text) => quoted(text),
        other => other.to_string(),
    }
}

/// Text in double quotes, with escapes for the characters that JSON leaves as they are and YAML does not take.
pub(super) fn quoted(text: &str) -> String {
    let mut quoted = String::new();
    for character in Value::from(text).to_string().chars() {
        match character {
            '\u{7f}'..='\u{9f}' | '\u{2028}' | '\u{2029}' | '\u{feff}' => {
                let _ = write!(quoted, "\\u{:04x}", u32::from(character));
            }
            _ => quoted.push(character),
        }
    }
    quoted
}

fn one(key: &str, value: &Value) -> Value {
    Value::Object(Map::from_iter([(key.to_owned(), value.clone())]))
}

fn indented(text: &str, indent: usize) -> String {
    let space = " ".repeat(indent);
    let line = |line: &str| if line.trim_end().is_empty() { line.to_owned() } else { format!("{space}{line}") };
    text.split_inclusive('\n').map(line).collect()
}
