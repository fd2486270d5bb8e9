//! The settings file as a JSON Schema, for editors.

use serde_json::{Map, Value, json};

use super::{API_VERSION, EVENTS, EVENTS_MEANING, KIND};
use crate::admission::settings::{ALL, MAX_GROUP, Setting, ValueType};

/// One part of a claim's name.
const NAME: &str = "[a-z0-9]([-a-z0-9]*[a-z0-9])?";

/// One part of a host's name, at most 63 characters.
const LABEL: &str = "[a-zA-Z0-9]([-a-zA-Z0-9]{0,61}[a-zA-Z0-9])?";

/// A port, from 1 to 65535.
const PORT: &str = "(6553[0-5]|655[0-2][0-9]|65[0-4][0-9]{2}|6[0-4][0-9]{3}|[1-5][0-9]{4}|[1-9][0-9]{0,3})";

/// Absolute, without a part `.` or `..` and without `:`, `$` and control characters.
const PATH: &str = "^/(?!(.*/)?\\.{1,2}(/|$))[^:$\\u0000-\\u001f\\u007f]*$";

/// A path where a mount would hide system files, the same that `Path::hides_system_files` knows.
const HIDES: &str = "^/+((home(/+dynamo)?|opt|root|tmp|var|workspace)?/*$|(bin|boot|dev|etc|lib[^/]*|proc|run|sbin|sys|usr|var/+run)(/|$))";

/// A JSON Schema (draft 2020-12) of the settings file. It cannot say that the two mount paths lie apart; the rest it can.
pub fn schema() -> Value {
    let mut properties = Map::new();
    let fixed = |only: &str, description: &str| json!({ "description": description, "const": only });
    properties.insert("apiVersion".to_owned(), fixed(API_VERSION, "The version of this file."));
    properties.insert("kind".to_owned(), fixed(KIND, "What this file is."));
    for setting in ALL {
        match setting.key.and_then(|key| key.split_once('.')) {
            Some((section, key)) => {
                let section = properties
                    .entry(section)
                    .or_insert_with(|| json!({ "type": ["object", "null"], "additionalProperties": false }));
                if let Some(section) = section.as_object_mut() {
                    let properties = section.entry("properties").or_insert_with(|| json!({}));
                    if let Some(properties) = properties.as_object_mut() {
                        properties.insert(key.to_owned(), property(setting));
                    }
                }
            }
            None => properties.extend(setting.key.map(|key| (key.to_owned(), property(setting)))),
        }
    }
    let events = json!({ "description": EVENTS_MEANING, "type": "boolean", "default": false });
    properties.insert(EVENTS.to_owned(), events);
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": KIND,
        "description": "Settings of dynamo-cache.",
        "type": "object",
        "required": ["apiVersion", "kind"],
        "additionalProperties": false,
        "properties": properties,
    })
}

fn property(setting: &Setting) -> Value {
    let mut property = Map::new();
    property.insert("description".to_owned(), setting.meaning.into());
    let of_type = |name: &str, more: Value| {
        let mut all = Map::from_iter([("type".to_owned(), name.into())]);
        all.extend(more.as_object().cloned().unwrap_or_default());
        all
    };
    property.extend(match setting.takes {
        ValueType::Bool => of_type("boolean", json!({})),
        ValueType::Claim => of_type("string", json!({ "maxLength": 253, "pattern": format!("^{NAME}(\\.{NAME})*$") })),
        ValueType::HostPort => {
            let pattern = format!("^(none|(http://)?(\\[[0-9a-fA-F:.]+\\]|{LABEL}(\\.{LABEL})*\\.?):{PORT})$");
            of_type("string", json!({ "pattern": pattern }))
        }
        ValueType::List(words) => of_type("string", json!({ "pattern": list(words) })),
        ValueType::Number => of_type("integer", json!({ "minimum": 0, "maximum": MAX_GROUP })),
        ValueType::OneOf(words) => of_type("string", json!({ "enum": words })),
        ValueType::MountPath => of_type("string", json!({ "pattern": PATH, "not": { "pattern": HIDES } })),
        ValueType::Path => of_type("string", json!({ "pattern": PATH })),
    });
    if !setting.default.is_empty() {
        let default =
            if setting.takes == ValueType::Bool { (setting.default == "true").into() } else { setting.default.into() };
        property.insert("default".to_owned(), default);
    }
    Value::Object(property)
}

/// Words with commas between, or the word `none` alone where it is one of them.
fn list(words: &[&str]) -> String {
    let several: Vec<_> = words.iter().copied().filter(|word| *word != "none").collect();
    let one = format!("({})", several.join("|"));
    let none = if several.len() < words.len() { "|none" } else { "" };
    format!("^({one}( *, *{one})*{none})$")
}
