//! Parses objects of other software: one that cannot be parsed does not affect the others in a list, and one that nests too
//! deep loses as little as possible.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Error, Map, Value};

/// One page of a list.
#[derive(Default)]
pub(super) struct Page {
    /// Its objects, each with its kind. They have no `managedFields`, which make up half of most objects; no command reads
    /// those in a list.
    pub(super) objects: Vec<Value>,
    /// One line per object that could not be parsed; it names the object.
    pub(super) skipped: Vec<String>,
    /// The `continue` token of the next page; empty on the last page.
    pub(super) next: String,
}

/// A list from the API server. The items are not parsed with it, so their nesting has no limit.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[derive(Default)]
struct List<'t> {
    api_version: String,
    kind: String,
    metadata: ListMetadata,
    #[serde(borrow)]
    items: Option<Vec<&'t RawValue>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct ListMetadata {
    r#continue: Option<String>,
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
pub(super) fn page(text: &str) -> Result<Page, Error> {
    let list: List<'_> = serde_json::from_str(text)?;
    let kind = list.kind.strip_suffix("List").unwrap_or_default();
    let mut page = Page { next: list.metadata.r#continue.unwrap_or_default(), ..Page::default() };
    for item in list.items.unwrap_or_default() {
        match object(item.get()) {
            Ok(Value::Object(mut fields)) => {
                // Items do not repeat the kind of their list.
                let mut object = Map::from_iter([
                    ("apiVersion".to_owned(), list.api_version.as_str().into()),
                    ("kind".to_owned(), kind.into()),
                ]);
                if let Some(metadata) = fields.get_mut("metadata").and_then(Value::as_object_mut) {
                    metadata.remove("managedFields");
                }
                object.extend(fields);
                page.objects.push(Value::Object(object));
            }
            Ok(_) => page.skipped.push(format!("an item of a {} is not an object; skipped", list.kind)),
            Err(why) => page.skipped.push(format!("{} could not be read: {why}; skipped", name(kind, item.get()))),
        }
    }
    Ok(page)
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
                {{"metadata":{{"name":"c","managedFields":[{{"fieldsV1":{deep}}}]}},"spec":{{"x":1}}}}]"#
        );
        let text =
            format!(r#"{{"kind":"ThingList","apiVersion":"v1","metadata":{{"continue":"+next"}},"items":{items}}}"#);
        let page = page(&text).unwrap();
        assert_eq!(page.next, "+next");
        let object = |metadata| json!({"apiVersion": "v1", "kind": "Thing", "metadata": metadata});
        let mut last = object(json!({"name": "c"}));
        last["spec"] = json!({"x": 1});
        assert_eq!(page.objects, [object(json!({"name": "a"})), last]);
        let [deep, number] = page.skipped.as_slice() else { panic!("{:?}", page.skipped) };
        assert!(deep.starts_with("Thing team/b could not be read: recursion limit exceeded"), "{deep}");
        assert_eq!(number, "an item of a ThingList is not an object; skipped");
        assert!(super::page("7").is_err());
        assert!(super::page(r#"{"kind":"ThingList","items":null}"#).unwrap().objects.is_empty());
    }

    #[test]
    fn only_managed_fields_that_cannot_be_parsed_are_dropped() {
        let text = format!(r#"{{"metadata":{{"managedFields":[{{"manager":"k"}},{{"fieldsV1":{}}}]}}}}"#, deep());
        assert_eq!(object(&text).unwrap(), json!({"metadata": {"managedFields": [{"manager": "k"}]}}));
        assert!(object(&format!(r#"{{"spec":{}}}"#, deep())).is_err());
    }
}
