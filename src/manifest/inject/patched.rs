//! Additions to a pod whose template is shared, as additions to the strategic merge patch that makes the pod of it.

use serde_json::{Map, Value, json};

use super::Error;
use crate::manifest::pod_templates::{key_of, merge};

/// A pod that a strategic merge patch makes of a template.
pub(super) struct Patched<'d> {
    /// What the patch changes.
    pub(super) template: &'d Value,
    /// The JSON Pointer of the patch in the document.
    pub(super) pointer: &'d str,
    /// The patch, if it is there.
    pub(super) patch: Option<&'d Value>,
    /// The pod.
    pub(super) pod: &'d Value,
}

/// Translates operations on a pod to operations on its patch in the document; `None` if no patch makes of the template what they
/// make of the pod.
///
/// # Errors
/// An operation that does not apply to the pod: a bug.
pub(super) fn additions(patched: &Patched<'_>, operations: &[Value]) -> Result<Option<Vec<Value>>, Error> {
    if operations.is_empty() {
        return Ok(Some(Vec::new()));
    }
    let mut writer = Writer { pointer: patched.pointer, patch: Value::Null, found: Vec::new() };
    match patched.patch {
        Some(patch @ Value::Object(_)) => writer.patch = patch.clone(),
        _ => writer.add("", &json!({}))?,
    }
    let mut pod = patched.pod.clone();
    for operation in operations {
        let at = operation.get("path").and_then(Value::as_str).unwrap_or_default();
        writer.translate(&pod, at, operation.get("value").unwrap_or(&Value::Null))?;
        apply(&mut pod, operation)?;
    }
    let is_same = merge(patched.template, &writer.patch).is_some_and(|merged| merged == pod);
    Ok(is_same.then_some(writer.found))
}

struct Writer<'d> {
    /// The JSON Pointer of the patch in the document.
    pointer: &'d str,
    /// The patch, with the operations that were found so far.
    patch: Value,
    found: Vec<Value>,
}

impl Writer<'_> {
    /// Finds what adds a value at a path of the pod.
    fn translate(&mut self, pod: &Value, path: &str, value: &Value) -> Result<(), Error> {
        let unfit = || Error::Patched(path.to_owned());
        let keys: Vec<_> = path.split('/').skip(1).collect();
        let (last, parents) = keys.split_last().ok_or_else(unfit)?;
        // Where the walk is: in the pod and in the patch, whose lists may have other items.
        let (mut at, mut place, mut field) = (pod, String::new(), "");
        for key in parents {
            let next = at.pointer(&format!("/{key}")).ok_or_else(unfit)?;
            match (at, key_of(field)) {
                (Value::Array(items), Some(id)) => {
                    let index = key.parse().map_err(|_| unfit())?;
                    place = format!("{place}/{}", self.item(&place, items, index, id)?.ok_or_else(unfit)?);
                }
                (Value::Array(_), None) => place = format!("{place}/{key}"),
                _ => {
                    place = format!("{place}/{key}");
                    field = key;
                    if self.patch.pointer(&place).is_none_or(Value::is_null) {
                        let begin = match (next, key_of(field)) {
                            // A list whose items have no key is replaced as a whole.
                            (Value::Array(items), None) => json!(items),
                            (Value::Array(_), Some(_)) => json!([]),
                            _ => json!({}),
                        };
                        self.add(&place, &begin)?;
                    }
                }
            }
            at = next;
        }
        let (Value::Array(items), Some(id)) = (at, key_of(field)) else {
            return self.add(&format!("{place}/{last}"), value);
        };
        // An item of the patch stands behind those of the template only if the one before it is there too.
        let index = if *last == "-" { items.len() } else { last.parse().map_err(|_| unfit())? };
        let before = index.checked_sub(1).map(|before| self.item(&place, items, before, id)).transpose()?;
        let place = format!("{place}/{}", before.flatten().map_or(0, |before| before + 1));
        self.add(&place, value)
    }

    /// The index in the patch of an item of the pod's list, which is added if it is not there yet.
    fn item(&mut self, place: &str, items: &[Value], index: usize, id: &str) -> Result<Option<usize>, Error> {
        let Some(same) = items.get(index).and_then(|item| item.get(id)) else { return Ok(None) };
        let known = self.patch.pointer(place).and_then(Value::as_array).cloned().unwrap_or_default();
        let position = |value: &Value| known.iter().position(|item| item.get(id) == Some(value));
        if let Some(known) = position(same) {
            return Ok(Some(known));
        }
        // Behind the last one that is before it in the pod.
        let before = items.get(..index).unwrap_or_default().iter().rev().find_map(|item| position(item.get(id)?));
        let begin = before.map_or(0, |before| before + 1);
        let item = Map::from_iter([(id.to_owned(), same.clone())]);
        self.add(&format!("{place}/{begin}"), &item.into())?;
        Ok(Some(begin))
    }

    fn add(&mut self, place: &str, value: &Value) -> Result<(), Error> {
        apply(&mut self.patch, &json!({"op": "add", "path": place, "value": value}))?;
        self.found.push(json!({"op": "add", "path": format!("{}{place}", self.pointer), "value": value}));
        Ok(())
    }
}

fn apply(value: &mut Value, operation: &Value) -> Result<(), Error> {
    let patch: json_patch::Patch = serde_json::from_value(json!([operation]))?;
    Ok(json_patch::patch(value, &patch)?)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{Patched, additions, apply};
    use crate::manifest::pod_templates::merge;

    fn add(path: &str, value: &Value) -> Value {
        json!({"op": "add", "path": path, "value": value})
    }

    /// The patch with what operations on the pod become, if it makes the same pod.
    fn patched(template: &Value, patch: Option<&Value>, operations: &[Value]) -> Option<Value> {
        let pod = patch.map_or_else(|| template.clone(), |patch| merge(template, patch).unwrap());
        let found = additions(&Patched { template, pointer: "/p", patch, pod: &pod }, operations).unwrap()?;
        let mut document = json!({"p": patch});
        for operation in &found {
            apply(&mut document, operation).unwrap();
        }
        Some(document["p"].clone())
    }

    #[test]
    fn additions_go_to_the_items_of_the_patch_by_their_names() {
        let template = json!({"spec": {"containers": [{"name": "a"}, {"name": "b", "env": [{"name": "X"}]}]}});
        let patch = json!({"spec": {"containers": [{"name": "b", "env": [{"name": "X"}]}]}});
        let operations = [
            add("/spec/containers/0/env", &json!([{"name": "Y"}])),
            add("/spec/containers/1/env/-", &json!({"name": "Z"})),
            add("/spec/volumes", &json!([{"name": "v"}])),
        ];
        let expected = json!({"spec": {
            "containers": [{"name": "a", "env": [{"name": "Y"}]}, {"name": "b", "env": [{"name": "X"}, {"name": "Z"}]}],
            "volumes": [{"name": "v"}],
        }});
        assert_eq!(patched(&template, Some(&patch), &operations), Some(expected.clone()));
        assert_eq!(patched(&template, None, &operations), Some(expected));
    }

    #[test]
    fn a_list_without_keys_is_in_the_patch_as_a_whole() {
        let template = json!({"spec": {"containers": [{"name": "a", "args": ["--model", "x"]}]}});
        let operations =
            [add("/spec/containers/0/args/-", &json!("--load-format")), add("/spec/containers/0/args/0", &json!("-v"))];
        let expected =
            json!({"spec": {"containers": [{"name": "a", "args": ["-v", "--model", "x", "--load-format"]}]}});
        assert_eq!(patched(&template, None, &operations), Some(expected.clone()));
        let own = json!({"spec": {"containers": [{"name": "a", "args": ["--model", "x"]}]}});
        assert_eq!(patched(&template, Some(&own), &operations), Some(expected));
    }

    #[test]
    fn an_item_has_its_place_among_those_of_the_template() {
        let list = |names: &[&str]| names.iter().map(|name| json!({"name": name})).collect::<Vec<_>>();
        let template = json!({"spec": {"initContainers": list(&["a", "b", "c"])}});
        for (patch, operations, expected) in [
            (&[][..], vec![("0", "x")], &["x"][..]),
            (&[], vec![("-", "x")], &["c", "x"]),
            (&[], vec![("1", "x"), ("2", "y")], &["a", "x", "y"]),
            (&["c"], vec![("0", "x"), ("1", "y"), ("2", "z")], &["x", "y", "z", "c"]),
            (&["c"], vec![("2", "x")], &["b", "x", "c"]),
        ] {
            let patch = json!({"spec": {"initContainers": list(patch)}});
            let operations: Vec<_> = operations
                .into_iter()
                .map(|(index, name)| add(&format!("/spec/initContainers/{index}"), &json!({"name": name})))
                .collect();
            let expected = json!({"spec": {"initContainers": list(expected)}});
            assert_eq!(patched(&template, Some(&patch), &operations), Some(expected));
        }
        // No patch has two items of one name.
        let twice = json!({"spec": {"volumes": list(&["a", "a"])}});
        assert_eq!(patched(&twice, None, &[add("/spec/volumes/-", &json!({"name": "x"}))]), None);
    }
}
