//! Resolves scalars by their style and tag.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use serde_saphyr::granit_parser::{ScalarStyle, Tag};

use super::scalar;

/// What the tags of YAML itself begin with, such as `!!binary`.
const NAMESPACE: &str = "tag:yaml.org,2002:";

/// The value of a scalar: a plain one by its text, a tagged one by its tag, any other is text.
///
/// # Errors
/// The text does not match its tag, or JSON cannot represent the number.
pub(super) fn value(text: &str, style: ScalarStyle, tag: Option<&Tag>) -> Result<Value, String> {
    let plain = || scalar::plain(text).ok_or_else(|| format!("Kubernetes does not support the number {text}"));
    let Some(tag) = tag else {
        return if style == ScalarStyle::Plain { plain() } else { Ok(Value::String(text.to_owned())) };
    };
    if tag.suffix_in_namespace(NAMESPACE).as_deref() == Some("binary") {
        return binary(text).map(Value::String);
    }
    let core = tag.core_suffix();
    let value = match core {
        Some("bool" | "float" | "int" | "null") => plain()?,
        _ => return Ok(Value::String(text.to_owned())),
    };
    let fits = match core {
        Some("bool") => value.is_boolean(),
        Some("float") => value.is_number(),
        Some("int") => value.is_i64() || value.is_u64(),
        _ => value.is_null(),
    };
    if fits { Ok(value) } else { Err(format!("{text:?} does not match its tag")) }
}

/// The text that `!!binary` encodes. Like Kubernetes, bytes that are no text become U+FFFD, each of them.
fn binary(text: &str) -> Result<String, String> {
    let lines: String = text.split(['\r', '\n']).collect();
    let bytes = STANDARD.decode(lines).map_err(|_| "this is not base64, as !!binary promises".to_owned())?;
    let chunks = bytes.utf8_chunks();
    Ok(chunks.flat_map(|chunk| chunk.valid().chars().chain(chunk.invalid().iter().map(|_| '\u{fffd}'))).collect())
}
