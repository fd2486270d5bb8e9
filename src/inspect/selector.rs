//! Label selectors, evaluated as the API server does.

use serde_json::Value;

/// The first requirement of a selector that labels do not meet, in words; `None` if the selector matches.
pub(crate) fn mismatch(selector: &Value, labels: Option<&Value>) -> Option<String> {
    let label = |key: &str| labels.and_then(|labels| labels.get(key)?.as_str());
    let wanted = selector.get("matchLabels").and_then(Value::as_object).into_iter().flatten();
    for (key, value) in wanted {
        let value = value.as_str().unwrap_or_default();
        match label(key) {
            Some(found) if found == value => {}
            Some(found) => return Some(format!("label {key} is {found:?}, not {value:?}")),
            None => return Some(format!("label {key}: {value} is missing")),
        }
    }
    let expressions = selector.get("matchExpressions").and_then(Value::as_array);
    expressions.into_iter().flatten().find_map(|expression| {
        let text = |field: &str| expression.get(field).and_then(Value::as_str).unwrap_or_default();
        let (key, operator) = (text("key"), text("operator"));
        let values = expression.get("values").and_then(Value::as_array);
        let values: Vec<_> = values.into_iter().flatten().filter_map(Value::as_str).collect();
        let found = label(key);
        let holds = match operator {
            "DoesNotExist" => found.is_none(),
            "Exists" => found.is_some(),
            "In" => found.is_some_and(|found| values.contains(&found)),
            _ => found.is_none_or(|found| !values.contains(&found)),
        };
        let found = found.map_or("missing".to_owned(), |found| format!("{found:?}"));
        (!holds).then(|| format!("label {key} is {found}, and the selector requires {operator} {}", values.join(", ")))
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::mismatch;

    #[test]
    fn labels_and_every_operator_count() {
        let labels = json!({"a": "1", "b": "2"});
        let of = |selector| mismatch(&selector, Some(&labels));
        assert_eq!(of(json!({})), None);
        assert_eq!(of(json!({"matchLabels": {"a": "1"}})), None);
        assert_eq!(of(json!({"matchLabels": {"a": "2"}})).as_deref(), Some("label a is \"1\", not \"2\""));
        assert_eq!(of(json!({"matchLabels": {"c": "2"}})).as_deref(), Some("label c: 2 is missing"));
        for (operator, key, selected) in [
            ("In", "a", true),
            ("In", "b", false),
            ("In", "c", false),
            ("NotIn", "a", false),
            ("NotIn", "b", true),
            ("NotIn", "c", true),
            ("Exists", "a", true),
            ("Exists", "c", false),
            ("DoesNotExist", "a", false),
            ("DoesNotExist", "c", true),
        ] {
            let expression = json!({"key": key, "operator": operator, "values": ["1"]});
            let mismatch = of(json!({"matchExpressions": [expression]}));
            assert_eq!(mismatch.is_none(), selected, "{operator} {key}: {mismatch:?}");
        }
    }
}
