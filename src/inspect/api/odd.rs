//! Objects of others, read so that one that cannot be read costs no other, and one that nests too deep as little as possible.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Error, Map, Value};

/// One page of a list.
#[derive(Default)]
pub(super) struct Page {
    /// Its objects, each with its kind, without `managedFields`, which are half of most objects and which no command reads in a list.
    pub(super) objects: Vec<Value>,
    /// A line for each object that could not be read; it names the object.
    pub(super) skipped: Vec<String>,
    /// What to ask for the next page with; empty: this is the last.
    pub(super) next: String,
}

/// A list as the API server writes it. What an item nests is not looked into, and so has no limit.
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

/// Reads a page of a list.
///
/// # Errors
/// It is no list.
pub(super) fn page(text: &str) -> Result<Page, Error> {
    let list: List<'_> = serde_json::from_str(text)?;
    let kind = list.kind.strip_suffix("List").unwrap_or_default();
    let mut page = Page { next: list.metadata.r#continue.unwrap_or_default(), ..Page::default() };
    for item in list.items.unwrap_or_default() {
        match object(item.get()) {
            Ok(Value::Object(mut fields)) => {
                // Items do not repeat what the list says of them.
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
            Ok(_) => page.skipped.push(format!("an item of a {} is no object, skipped", list.kind)),
            Err(why) => page.skipped.push(format!("{} could not be read: {why}; skipped", name(kind, item.get()))),
        }
    }
    Ok(page)
}

/// Reads an object; of its `managedFields`, in which a client may nest as deep as it likes, the entries that can be read.
///
/// # Errors
/// Another part of it cannot be read.
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

/// What to call an object of which not even all can be read.
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

    /// Objects in objects, deeper than can be read.
    fn deep() -> String {
        format!("{}1{}", "{\"a\":".repeat(200), "}".repeat(200))
    }

    #[test]
    fn an_item_that_cannot_be_read_is_named_and_costs_no_other() {
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
        assert_eq!(number, "an item of a ThingList is no object, skipped");
        assert!(super::page("7").is_err());
        assert!(super::page(r#"{"kind":"ThingList","items":null}"#).unwrap().objects.is_empty());
    }

    #[test]
    fn of_managed_fields_what_can_be_read_stays() {
        let text = format!(r#"{{"metadata":{{"managedFields":[{{"manager":"k"}},{{"fieldsV1":{}}}]}}}}"#, deep());
        assert_eq!(object(&text).unwrap(), json!({"metadata": {"managedFields": [{"manager": "k"}]}}));
        assert!(object(&format!(r#"{{"spec":{}}}"#, deep())).is_err());
    }
}
