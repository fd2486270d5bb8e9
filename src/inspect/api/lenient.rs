//! Parses objects of other software: one that cannot be parsed does not affect the others in a list, and one that nests too
//! deep loses as little as possible.

use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;
use serde_json::{Error, Map, Value};

/// One page of a list. Its items are not parsed with it, so their nesting has no limit.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Page<'t> {
    api_version: String,
    kind: String,
    metadata: PageMetadata,
    #[serde(borrow)]
    items: Option<Vec<&'t RawValue>>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct PageMetadata {
    r#continue: Option<String>,
    remaining_item_count: Option<usize>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Named {
    metadata: Name,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Name {
    namespace: String,
    name: String,
}

/// Parses a page of a list.
///
/// # Errors
/// The text is not a list.
pub(super) fn page(text: &[u8]) -> Result<Page<'_>, Error> {
    serde_json::from_slice(text)
}

impl<'t> Page<'t> {
    /// The kind of the items.
    pub(super) fn kind(&self) -> &str {
        self.kind.strip_suffix("List").unwrap_or_default()
    }

    /// The `continue` token of the next page; `None` on the last page.
    pub(super) fn next(&self) -> Option<&str> {
        self.metadata.r#continue.as_deref().filter(|token| !token.is_empty())
    }

    /// How many objects the next pages have together, if the API server says so.
    pub(super) fn remaining(&self) -> Option<usize> {
        self.metadata.remaining_item_count
    }

    /// The text of each item.
    pub(super) fn items(&self) -> &[&'t RawValue] {
        self.items.as_deref().unwrap_or_default()
    }

    /// Parses an item as an object with its kind and without `managedFields`.
    ///
    /// # Errors
    /// A line that says why the item is skipped; it names the item.
    pub(super) fn object(&self, item: &RawValue) -> Result<Value, String> {
        let kind = self.kind();
        let members = match without_managed_fields(item.get()) {
            Ok(members) => members,
            // In what it says, an error of the whole object differs from one of its parts.
            Err(_) => match object(item.get()) {
                Ok(Value::Object(mut members)) => {
                    if let Some(metadata) = members.get_mut("metadata").and_then(Value::as_object_mut) {
                        metadata.remove("managedFields");
                    }
                    members
                }
                Ok(_) => return Err(format!("an item of a {} is not an object; skipped", self.kind)),
                Err(why) => return Err(format!("{} could not be read: {why}; skipped", name(kind, item.get()))),
            },
        };
        // Items do not repeat the kind of their list.
        let mut object = Map::from_iter([
            ("apiVersion".to_owned(), self.api_version.as_str().into()),
            ("kind".to_owned(), kind.into()),
        ]);
        object.extend(members);
        Ok(Value::Object(object))
    }
}

/// Parses an object without its `managedFields`, which make up a third and more of most objects; no command reads those in a list.
fn without_managed_fields(text: &str) -> Result<Map<String, Value>, Error> {
    let mut json = serde_json::Deserializer::from_str(text);
    Members { are_of_metadata: false }.deserialize(&mut json)
}

/// Reads the members of an object or of its metadata.
struct Members {
    are_of_metadata: bool,
}

impl<'de> DeserializeSeed<'de> for Members {
    type Value = Map<String, Value>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Members {
    type Value = Map<String, Value>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut members = Map::new();
        while let Some(name) = map.next_key::<String>()? {
            let value = match (self.are_of_metadata, name.as_str()) {
                (true, "managedFields") => {
                    map.next_value::<IgnoredAny>()?;
                    continue;
                }
                (false, "metadata") => map.next_value_seed(Members { are_of_metadata: true })?.into(),
                _ => map.next_value()?,
            };
            members.insert(name, value);
        }
        Ok(members)
    }
}

/// Parses an object. Entries of its `managedFields` that cannot be parsed are dropped: a client may nest those as deep as it
/// likes.
///
/// # Errors
/// Another part of the object cannot be parsed.
pub(super) fn object(text: &str) -> Result<Value, Error> {
    let whole = serde_json::from_str(text);
    if whole.is_ok() {
        return whole;
    }
    let mut object = Map::new();
    for (key, part) in serde_json::from_str::<BTreeMap<String, &RawValue>>(text)? {
        let value = if key == "metadata" { metadata(part.get())? } else { serde_json::from_str(part.get())? };
        object.insert(key, value);
    }
    Ok(Value::Object(object))
}

fn metadata(text: &str) -> Result<Value, Error> {
    let mut metadata = Map::new();
    for (key, part) in serde_json::from_str::<BTreeMap<String, &RawValue>>(text)? {
        let value = if key == "managedFields" {
            let entries: Vec<&RawValue> = serde_json::from_str(part.get()).unwrap_or_default();
            let entries = entries.iter().filter_map(|entry| serde_json::from_str(entry.get()).ok());
            Value::Array(entries.collect())
        } else {
            serde_json::from_str(part.get())?
        };
        metadata.insert(key, value);
    }
    Ok(Value::Object(metadata))
}

/// The kind and name of an object that cannot be parsed as a whole.
fn name(kind: &str, text: &str) -> String {
    let Named { metadata: Name { namespace, name } } = serde_json::from_str(text).unwrap_or_default();
    match (namespace.as_str(), name.as_str()) {
        (_, "") => format!("a {kind} without a name"),
        ("", name) => format!("{kind} {name}"),
        (namespace, name) => format!("{kind} {namespace}/{name}"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{object, page};

    /// Nested objects, deeper than `serde_json` parses.
    fn deep() -> String {
        format!("{}1{}", "{\"a\":".repeat(200), "}".repeat(200))
    }

    #[test]
    fn an_item_that_cannot_be_parsed_is_named_and_the_others_stay() {
        let deep = deep();
        let items = format!(
            r#"[{{"metadata":{{"name":"a"}}}}, {{"metadata":{{"name":"b","namespace":"team"}},"spec":{deep}}}, 7,
                {{"metadata":{{"name":"c","managedFields":[{{"fieldsV1":{deep}}}]}},"spec":{{"x":1}}}},
                {{"metadata":7,"kind":"Other"}}]"#
        );
        let metadata = r#"{"continue":"+next","remainingItemCount":3}"#;
        let text = format!(r#"{{"kind":"ThingList","apiVersion":"v1","metadata":{metadata},"items":{items}}}"#);
        let page = page(text.as_bytes()).unwrap();
        assert_eq!((page.next(), page.remaining()), (Some("+next"), Some(3)));
        let object = |metadata| json!({"apiVersion": "v1", "kind": "Thing", "metadata": metadata});
        let mut with_spec = object(json!({"name": "c"}));
        with_spec["spec"] = json!({"x": 1});
        let [first, deep, number, last, other] = page.items() else { panic!("{:?}", page.items()) };
        assert_eq!(page.object(first), Ok(object(json!({"name": "a"}))));
        assert_eq!(page.object(last), Ok(with_spec));
        assert_eq!(page.object(other), Ok(json!({"apiVersion": "v1", "kind": "Other", "metadata": 7})));
        let deep = page.object(deep).unwrap_err();
        assert!(deep.starts_with("Thing team/b could not be read: recursion limit exceeded"), "{deep}");
        assert_eq!(page.object(number), Err("an item of a ThingList is not an object; skipped".to_owned()));
        assert!(super::page(b"7").is_err());
        let empty = super::page(br#"{"kind":"ThingList","metadata":{"continue":""},"items":null}"#).unwrap();
        assert_eq!((empty.items().len(), empty.next(), empty.remaining()), (0, None, None));
    }

    #[test]
    fn only_managed_fields_that_cannot_be_parsed_are_dropped() {
        let text = format!(r#"{{"metadata":{{"managedFields":[{{"manager":"k"}},{{"fieldsV1":{}}}]}}}}"#, deep());
        assert_eq!(object(&text).unwrap(), json!({"metadata": {"managedFields": [{"manager": "k"}]}}));
        assert!(object(&format!(r#"{{"spec":{}}}"#, deep())).is_err());
    }
}
