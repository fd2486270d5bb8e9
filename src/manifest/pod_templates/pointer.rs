//! JSON Pointers in which `*` stands for each part of a list or mapping.

use serde_json::Value;

/// The pointers of the parts that are there, in the order of the document.
pub(super) fn expand(object: &Value, pattern: &str) -> Vec<String> {
    let mut found = vec![(String::new(), object)];
    for key in pattern.split('/').skip(1) {
        found = found.into_iter().flat_map(|(at, value)| step(&at, value, key)).collect();
    }
    found.into_iter().filter(|(_, value)| !value.is_null()).map(|(at, _)| at).collect()
}

fn step<'v>(at: &str, value: &'v Value, key: &str) -> Vec<(String, &'v Value)> {
    let below = |key: &str| format!("{at}/{key}");
    match (key, value) {
        ("*", Value::Array(items)) => {
            items.iter().enumerate().map(|(index, item)| (below(&index.to_string()), item)).collect()
        }
        ("*", Value::Object(entries)) => entries.iter().map(|(key, value)| (below(&escape(key)), value)).collect(),
        _ => value.pointer(&format!("/{key}")).map(|value| (below(key), value)).into_iter().collect(),
    }
}

/// A key as a part of a JSON Pointer.
pub(crate) fn escape(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::expand;

    #[test]
    fn a_star_stands_for_each_part_of_a_list_or_mapping() {
        let object = json!({"a": [{"b": 1}, {"c": 2}, {"b": null}], "m": {"x/y": {"b": 3}, "*": {"b": 4}}, "n": 5});
        assert_eq!(expand(&object, "/a/*/b"), ["/a/0/b"]);
        assert_eq!(expand(&object, "/m/*/b"), ["/m/x~1y/b", "/m/*/b"]);
        assert_eq!(expand(&object, "/a/1"), ["/a/1"]);
        assert_eq!(expand(&object, ""), [""]);
        assert!(expand(&object, "/n/*").is_empty() && expand(&object, "/x").is_empty());
    }
}
