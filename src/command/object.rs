//! Objects that stand in this tree as JSON: built by code they would take many times their size.

use serde_json::Value;

/// The object of such a text.
pub(super) fn of(text: &str) -> Value {
    serde_json::from_str(text).expect("it is a part of this program, and a test has read it")
}
