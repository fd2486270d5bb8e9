//! Writes a value as YAML that kubectl reads back as the same value.

use serde::ser::{Serialize, Serializer};
use serde_json::Value;
use serde_saphyr::{DoubleQuoted, SerializerOptions, SingleQuoted};

/// Writes one document, without `---` before it.
pub fn write(value: &Value) -> String {
    let mut options = SerializerOptions::default();
    // Do not fold long lines: they are commands and JSON, not prose.
    options.folded_wrap_chars = usize::MAX;
    serde_saphyr::to_string_with_options(&Written(value), options).expect("YAML can represent every JSON value")
}

/// A value for the serializer. Text that contains JSON is written in single quotes, so that it needs no escapes.
struct Written<'v>(&'v Value);

impl Serialize for Written<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Value::Array(values) => serializer.collect_seq(values.iter().map(Written)),
            Value::Object(entries) => serializer.collect_map(entries.iter().map(|(key, value)| (key, Written(value)))),
            Value::String(text) if is_json_in_a_line(text) => SingleQuoted(text).serialize(serializer),
            Value::String(text) if text.trim_start_matches('\n').starts_with('\t') => {
                // Kubernetes' reader takes a tab at the beginning of a block for indentation and refuses it.
                DoubleQuoted(text).serialize(serializer)
            }
            other => other.serialize(serializer),
        }
    }
}

fn is_json_in_a_line(text: &str) -> bool {
    text.starts_with(['{', '[']) && text.contains('"') && text.bytes().all(|byte| (b' '..=b'~').contains(&byte))
}
