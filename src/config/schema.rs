//! The settings file as a JSON Schema, for editors.

use serde_json::{Map, Value, json};

use super::{API_VERSION, EVENTS, EVENTS_MEANING, KIND};
use crate::admission::settings::{ALL, MAX_GROUP, Setting, ValueType};

/// A part of a DNS subdomain, like `admission::dns_name::is_subdomain`: the length is limited as a whole.
const NAME: &str = "[a-z0-9]([-a-z0-9]*[a-z0-9])?";

/// A label of a host name, like `admission::dns_name::is_host`: at most 63 characters.
const LABEL: &str = "[a-zA-Z0-9]([-a-zA-Z0-9]{0,61}[a-zA-Z0-9])?";

/// A port from 1 to 65535.
const PORT: &str = "(6553[0-5]|655[0-2][0-9]|65[0-4][0-9]{2}|6[0-4][0-9]{3}|[1-5][0-9]{4}|[1-9][0-9]{0,3})";

/// An absolute path without `.` or `..` as a part, and without `:`, `$` and control characters.
const PATH: &str = "^/(?!(.*/)?\\.{1,2}(/|$))[^:$\\u0000-\\u001f\\u007f]*$";

/// An amount of a resource, like `Quantity::read`.
const AMOUNT: &str = "^[+]?([0-9]+([.][0-9]*)?|[.][0-9]+)([numkMGTPE]|[KMGTPE]i|[eE][-+]?[0-9]{1,2})?$";

/// The reference of an image, like `settings::value::image`.
const IMAGE: &str =
    "^[a-z0-9]([a-z0-9._:/-]*[a-z0-9])?(:[A-Za-z0-9_][A-Za-z0-9._-]{0,127})?(@[a-z0-9]+:[0-9a-fA-F]{32,128})?$";

/// A path where a mount would hide system files, like `Path::hides_system_files`.
const HIDES: &str = "^/+((home(/+dynamo)?|opt|root|tmp|var|workspace)?/*$|(bin|boot|dev|etc|lib[^/]*|proc|run|sbin|sys|usr|var/+run)(/|$))";

/// A path where an engine looks by itself, like `Path::is_an_engines_own`.
const OF_ENGINES: &str = "/(\\.cache(/+(flashinfer|sglang|tensorrt_llm|vllm))?|\\.triton)/*$";

/// A JSON Schema of the settings file, version 2020-12. It checks everything except that the two mount paths do not
/// overlap, and that amounts are large enough and requests no larger than limits.
pub fn schema() -> Value {
    let mut properties = Map::new();
    let fixed = |only: &str, description: &str| json!({ "description": description, "const": only });
    properties.insert("apiVersion".to_owned(), fixed(API_VERSION, "The version of this file."));
    properties.insert("kind".to_owned(), fixed(KIND, "The kind of this file."));
    for setting in ALL {
        if let Some(key) = setting.key {
            insert(&mut properties, key, setting);
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

/// Inserts the schema of a setting, in its section where its key has a dot.
fn insert(properties: &mut Map<String, Value>, key: &str, setting: &Setting) {
    let Some((section, key)) = key.split_once('.') else {
        properties.insert(key.to_owned(), property(setting));
        return;
    };
    let section = properties
        .entry(section)
        .or_insert_with(|| json!({ "type": ["object", "null"], "additionalProperties": false, "properties": {} }));
    if let Some(properties) = section.get_mut("properties").and_then(Value::as_object_mut) {
        insert(properties, key, setting);
    }
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
        // A number is an amount, too. The least that works is not checked here.
        ValueType::Amount(_) => Map::from_iter([
            ("type".to_owned(), json!(["string", "number"])),
            ("pattern".to_owned(), AMOUNT.into()),
        ]),
        ValueType::Bool => of_type("boolean", json!({})),
        ValueType::Claim => of_type("string", json!({ "maxLength": 253, "pattern": format!("^{NAME}(\\.{NAME})*$") })),
        ValueType::Endpoint => {
            let pattern = format!(
                "^(none|https?://(\\[[0-9a-fA-F:.]+\\]|{LABEL}(\\.{LABEL})*\\.?)(:{PORT})?(/[-A-Za-z0-9/._~%+@:,=&!*]*[-A-Za-z0-9._~%+@:,=&!*])?)$"
            );
            of_type("string", json!({ "maxLength": 1024, "pattern": pattern }))
        }
        ValueType::HostPort => {
            let pattern = format!("^(none|(http://)?(\\[[0-9a-fA-F:.]+\\]|{LABEL}(\\.{LABEL})*\\.?):{PORT})$");
            of_type("string", json!({ "pattern": pattern }))
        }
        ValueType::Image => of_type("string", json!({ "maxLength": 512, "pattern": IMAGE })),
        ValueType::List(words) => of_type("string", json!({ "pattern": list(words) })),
        ValueType::Number => of_type("integer", json!({ "minimum": 0, "maximum": MAX_GROUP })),
        ValueType::OneOf(words) => of_type("string", json!({ "enum": words })),
        ValueType::MountPath => {
            let is_compile = setting.key == Some("compileCache.mountPath");
            let hides = if is_compile { format!("{HIDES}|{OF_ENGINES}") } else { HIDES.to_owned() };
            of_type("string", json!({ "pattern": PATH, "not": { "pattern": hides } }))
        }
        ValueType::Path => of_type("string", json!({ "pattern": PATH })),
    });
    if !setting.default.is_empty() {
        let default =
            if setting.takes == ValueType::Bool { (setting.default == "true").into() } else { setting.default.into() };
        property.insert("default".to_owned(), default);
    }
    Value::Object(property)
}

/// A pattern for a comma-separated list of words, or for `none` alone if it is one of the words.
fn list(words: &[&str]) -> String {
    let several: Vec<_> = words.iter().copied().filter(|word| *word != "none").collect();
    let one = format!("({})", several.join("|"));
    let none = if several.len() < words.len() { "|none" } else { "" };
    format!("^({one}( *, *{one})*{none})$")
}
