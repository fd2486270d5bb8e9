//! The settings file as a JSON Schema, for editors.

use serde_json::{Map, Value, json};

use super::{API_VERSION, EVENTS, EVENTS_MEANING, KIND};
use crate::admission::settings::{ALL, MAX_GROUP, Setting, Takes};

/// One part of a claim's name or of a host's, at most 63 characters.
const LABEL: &str = "[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?";

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
        Takes::Bool => of_type("boolean", json!({})),
        Takes::Claim => of_type("string", json!({ "maxLength": 253, "pattern": format!("^{LABEL}(\\.{LABEL})*$") })),
        Takes::HostPort => {
            let pattern = format!("^(none|(http://)?(\\[[0-9a-fA-F:.]+\\]|{LABEL}(\\.{LABEL})*\\.?):[0-9]{{1,5}})$");
            of_type("string", json!({ "pattern": pattern.replace("a-z", "a-zA-Z") }))
        }
        Takes::List(words) => of_type("string", json!({ "pattern": list(words) })),
        Takes::Number => of_type("integer", json!({ "minimum": 0, "maximum": MAX_GROUP })),
        Takes::OneOf(words) => of_type("string", json!({ "enum": words })),
        // Absolute, without a part . or .. and without : or $.
        Takes::MountPath | Takes::Path => {
            of_type("string", json!({ "pattern": "^/(?!(.*/)?\\.{1,2}(/|$))[^:$\\u0000-\\u001f\\u007f]*$" }))
        }
    });
    if !setting.default.is_empty() {
        let default =
            if setting.takes == Takes::Bool { (setting.default == "true").into() } else { setting.default.into() };
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
