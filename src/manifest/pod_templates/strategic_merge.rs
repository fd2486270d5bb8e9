//! Strategic merge patches of pod templates, as controllers apply them to shared templates.
//!
//! `k8s_openapi::DeepMerge` merges typed objects: it drops fields that it does not know, cannot delete, and has another order.

use serde_json::{Map, Value};

/// What a patch makes of a pod template; `None` if it has a directive other than `$patch: delete` and `$patch: replace`.
pub(crate) fn merge(template: &Value, patch: &Value) -> Option<Value> {
    match (template, patch) {
        (Value::Object(template), Value::Object(patch)) => merge_maps(template, patch).map(Value::Object),
        _ => merge_maps(&Map::new(), patch.as_object()?).map(Value::Object),
    }
}

/// The field that identifies the items of a list; lists without one are replaced as a whole.
pub(crate) fn key_of(list: &str) -> Option<&'static str> {
    Some(match list {
        "containers"
        | "ephemeralContainers"
        | "initContainers"
        | "env"
        | "imagePullSecrets"
        | "resourceClaims"
        | "schedulingGates"
        | "volumes" => "name",
        "hostAliases" => "ip",
        "ports" => "containerPort",
        "topologySpreadConstraints" => "topologyKey",
        "volumeDevices" => "devicePath",
        "volumeMounts" => "mountPath",
        _ => return None,
    })
}

fn merge_maps(template: &Map<String, Value>, patch: &Map<String, Value>) -> Option<Map<String, Value>> {
    let mut merged = match directive(patch) {
        None => template.clone(),
        Some("replace") => Map::new(),
        Some(_) => return None,
    };
    for (key, value) in patch.iter().filter(|(key, _)| *key != DIRECTIVE) {
        if key.starts_with('$') {
            return None;
        }
        let new = match (merged.get(key), value, key_of(key)) {
            (_, Value::Null, _) => {
                merged.shift_remove(key);
                continue;
            }
            (Some(Value::Object(old)), Value::Object(new), _) => Value::Object(merge_maps(old, new)?),
            (_, Value::Object(new), _) => Value::Object(merge_maps(&Map::new(), new)?),
            (Some(Value::Array(old)), Value::Array(new), Some(id)) => Value::Array(merge_lists(old, new, id)?),
            (_, Value::Array(new), Some(id)) => Value::Array(merge_lists(&[], new, id)?),
            (_, new, _) => new.clone(),
        };
        merged.insert(key.clone(), new);
    }
    Some(merged)
}

fn merge_lists(old: &[Value], patch: &[Value], id: &str) -> Option<Vec<Value>> {
    let (mut rest, mut patched) = (old.to_vec(), Vec::new());
    for item in patch {
        let item = item.as_object()?;
        match directive(item) {
            Some("replace") if item.len() == 1 => {
                rest.clear();
                continue;
            }
            Some("delete") => {
                rest.retain(|old| old.get(id) != item.get(id));
                continue;
            }
            _ => {}
        }
        item.get(id)?;
        let known = rest.iter().position(|old| old.get(id) == item.get(id)).map(|index| rest.remove(index));
        let known = known.as_ref().and_then(Value::as_object).cloned().unwrap_or_default();
        patched.push(Value::Object(merge_maps(&known, item)?));
    }
    Some(in_order(rest, patched, old, id))
}

/// Joins the items that only the template has with those of the patch: each in its own order, an item of the template before the
/// first one of the patch that the template has behind it.
fn in_order(rest: Vec<Value>, patched: Vec<Value>, old: &[Value], id: &str) -> Vec<Value> {
    let index = |item: &Value| old.iter().position(|old| old.get(id) == item.get(id));
    let mut rest = rest.into_iter().peekable();
    let mut all = Vec::new();
    for item in patched {
        while let Some(before) = rest.next_if(|before| index(&item).is_some_and(|item| index(before) < Some(item))) {
            all.push(before);
        }
        all.push(item);
    }
    all.extend(rest);
    all
}

fn directive(patch: &Map<String, Value>) -> Option<&str> {
    patch.get(DIRECTIVE).map(|directive| directive.as_str().unwrap_or_default())
}

const DIRECTIVE: &str = "$patch";

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::merge;

    #[test]
    fn a_patch_merges_lists_by_their_keys_in_the_order_of_kubernetes() {
        let template = json!({"spec": {"containers": [
            {"name": "a", "args": ["1"], "env": [{"name": "X", "value": "1"}, {"name": "Y", "value": "2"}]}, {"name": "b"},
        ], "tolerations": [{"key": "t"}]}});
        let patch = json!({"metadata": {"labels": {"l": "v"}}, "spec": {"containers": [
            {"name": "b", "image": "i"}, {"name": "c"},
            {"name": "a", "args": ["2"], "env": [{"name": "Z"}, {"name": "Y", "value": null}]},
        ], "tolerations": []}});
        let merged = json!({"spec": {"containers": [
            {"name": "b", "image": "i"}, {"name": "c"},
            {"name": "a", "args": ["2"], "env": [{"name": "Z"}, {"name": "X", "value": "1"}, {"name": "Y"}]},
        ], "tolerations": []}, "metadata": {"labels": {"l": "v"}}});
        assert_eq!(merge(&template, &patch), Some(merged));
    }

    #[test]
    fn a_patch_deletes_and_replaces_and_other_directives_are_not_guessed() {
        let template =
            json!({"spec": {"volumes": [{"name": "a"}, {"name": "b"}], "securityContext": {"runAsUser": 1}}});
        let patch = json!({"spec": {
            "volumes": [{"$patch": "delete", "name": "a"}], "securityContext": {"$patch": "replace", "fsGroup": 2},
        }});
        let merged = json!({"spec": {"volumes": [{"name": "b"}], "securityContext": {"fsGroup": 2}}});
        assert_eq!(merge(&template, &patch), Some(merged));
        let replaced = json!({"spec": {"volumes": [{"$patch": "replace"}, {"name": "c"}]}});
        assert_eq!(merge(&template, &replaced).unwrap()["spec"]["volumes"], json!([{"name": "c"}]));
        let retained = json!({"spec": {"volumes": [{"name": "a", "$retainKeys": ["name"]}]}});
        assert_eq!(merge(&template, &retained), None);
        assert_eq!(merge(&template, &json!({"spec": {"$setElementOrder/volumes": []}})), None);
    }
}
