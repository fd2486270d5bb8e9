//! Node selectors of pods and volumes, evaluated as the scheduler does.

use serde_json::{Map, Value};

/// What a node selector looks at.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    /// The node's name.
    pub(crate) name: String,
    labels: Map<String, Value>,
}

impl Node {
    /// Reads a Node object; `None` if it has no name.
    pub(crate) fn from_object(object: &Value) -> Option<Node> {
        let labels = object.pointer("/metadata/labels").and_then(Value::as_object).cloned().unwrap_or_default();
        Some(Node { name: object.pointer("/metadata/name")?.as_str()?.to_owned(), labels })
    }

    fn label(&self, key: &str) -> Option<&str> {
        self.labels.get(key)?.as_str()
    }
}

/// Whether a pod's node selector and required node affinity admit a node. Taints and free resources are not considered.
pub(crate) fn admits(pod: &Value, node: &Node) -> bool {
    let labels = pod.pointer("/spec/nodeSelector").and_then(Value::as_object).into_iter().flatten();
    let affinity = pod.pointer("/spec/affinity/nodeAffinity/requiredDuringSchedulingIgnoredDuringExecution");
    labels.into_iter().all(|(key, value)| node.label(key) == value.as_str())
        && affinity.is_none_or(|selector| selector.is_null() || matches(selector, node))
}

/// Whether one of the terms of a node selector matches a node. A term without requirements matches none.
pub(crate) fn matches(selector: &Value, node: &Node) -> bool {
    terms(selector).any(|term| {
        let mut requirements = requirements(term).peekable();
        requirements.peek().is_some() && requirements.all(|requirement| requirement.is_met(node))
    })
}

/// A node selector in words: `zone In a, b and disk Exists, or kubernetes.io/hostname In c`.
pub(crate) fn words(selector: &Value) -> String {
    let of_term = |term| {
        let words = requirements(term).map(|requirement| {
            let Requirement { key, operator, values, .. } = requirement;
            format!("{key} {operator} {}", values.join(", ")).trim_end().to_owned()
        });
        words.collect::<Vec<_>>().join(" and ")
    };
    terms(selector).map(of_term).filter(|words| !words.is_empty()).collect::<Vec<_>>().join(", or ")
}

/// One requirement of a term.
struct Requirement<'s> {
    /// Whether it is about a field of the node, not a label.
    is_field: bool,
    key: &'s str,
    operator: &'s str,
    values: Vec<&'s str>,
}

impl Requirement<'_> {
    fn is_met(&self, node: &Node) -> bool {
        let found = match (self.is_field, self.key) {
            (true, "metadata.name") => Some(node.name.as_str()),
            (true, _) => None,
            (false, key) => node.label(key),
        };
        let number = |text: &str| text.parse::<i64>().ok();
        let (found_number, wanted) = (found.and_then(number), self.values.first().and_then(|value| number(value)));
        match self.operator {
            "In" => found.is_some_and(|found| self.values.contains(&found)),
            "NotIn" => found.is_none_or(|found| !self.values.contains(&found)),
            "Exists" => found.is_some(),
            "DoesNotExist" => found.is_none(),
            "Gt" => found_number.zip(wanted).is_some_and(|(found, wanted)| found > wanted),
            "Lt" => found_number.zip(wanted).is_some_and(|(found, wanted)| found < wanted),
            // An operator of a later Kubernetes: no warning without knowing what it means.
            _ => true,
        }
    }
}

fn terms(selector: &Value) -> impl Iterator<Item = &Value> {
    selector.get("nodeSelectorTerms").and_then(Value::as_array).into_iter().flatten()
}

fn requirements(term: &Value) -> impl Iterator<Item = Requirement<'_>> {
    [("matchExpressions", false), ("matchFields", true)].into_iter().flat_map(move |(list, is_field)| {
        term.get(list).and_then(Value::as_array).into_iter().flatten().map(move |requirement| {
            let text = |field: &str| requirement.get(field).and_then(Value::as_str).unwrap_or_default();
            let values = requirement.get("values").and_then(Value::as_array).into_iter().flatten();
            let values = values.filter_map(Value::as_str).collect();
            Requirement { is_field, key: text("key"), operator: text("operator"), values }
        })
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{Node, admits, matches, words};

    fn node() -> Node {
        let labels = json!({"zone": "a", "gpus": "8", "kubernetes.io/hostname": "gpu-a"});
        Node::from_object(&json!({"metadata": {"name": "gpu-a", "labels": labels}})).unwrap()
    }

    fn term(requirements: &[(&str, &str, &[&str])]) -> Value {
        let requirement =
            |(key, operator, values): &(_, _, _)| json!({"key": key, "operator": operator, "values": values});
        json!({"matchExpressions": requirements.iter().map(requirement).collect::<Vec<_>>()})
    }

    #[test]
    fn every_operator_is_evaluated_as_the_scheduler_does() {
        for (key, operator, values, is_met) in [
            ("zone", "In", &["a", "b"][..], true),
            ("zone", "In", &["b"], false),
            ("absent", "In", &["a"], false),
            ("zone", "NotIn", &["a"], false),
            ("zone", "NotIn", &["b"], true),
            ("absent", "NotIn", &["a"], true),
            ("zone", "Exists", &[], true),
            ("absent", "Exists", &[], false),
            ("zone", "DoesNotExist", &[], false),
            ("absent", "DoesNotExist", &[], true),
            ("gpus", "Gt", &["4"], true),
            ("gpus", "Gt", &["8"], false),
            ("gpus", "Lt", &["9"], true),
            ("zone", "Gt", &["1"], false),
            ("absent", "Lt", &["1"], false),
        ] {
            let selector = json!({"nodeSelectorTerms": [term(&[(key, operator, values)])]});
            assert_eq!(matches(&selector, &node()), is_met, "{key} {operator} {values:?}");
        }
    }

    #[test]
    fn one_term_is_enough_and_all_its_requirements_count() {
        let (yes, no) = (("zone", "In", &["a"][..]), ("zone", "In", &["b"][..]));
        let selector = |terms: &[Value]| json!({"nodeSelectorTerms": terms});
        assert!(!matches(&selector(&[term(&[yes, no])]), &node()));
        assert!(matches(&selector(&[term(&[no]), term(&[yes])]), &node()));
        for empty in [json!({}), selector(&[]), selector(&[json!({})])] {
            assert!(!matches(&empty, &node()), "{empty}");
        }
        let field = |name: &str| {
            let field = json!({"key": "metadata.name", "operator": "In", "values": [name]});
            selector(&[json!({"matchFields": [field]})])
        };
        assert!(matches(&field("gpu-a"), &node()) && !matches(&field("gpu-b"), &node()));
        let two = selector(&[term(&[("zone", "In", &["a", "b"]), ("disk", "Exists", &[])]), term(&[yes])]);
        assert_eq!(words(&two), "zone In a, b and disk Exists, or zone In a");
    }

    #[test]
    fn a_pod_without_a_selector_is_admitted_by_every_node() {
        let required = |terms: &[Value]| {
            let required = json!({"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}});
            json!({"spec": {"affinity": {"nodeAffinity": required}}})
        };
        for (pod, is_admitted) in [
            (json!({"spec": {}}), true),
            (json!({"spec": {"nodeSelector": {}, "affinity": {"nodeAffinity": null}}}), true),
            (json!({"spec": {"nodeSelector": {"zone": "a"}}}), true),
            (json!({"spec": {"nodeSelector": {"zone": "a", "disk": "ssd"}}}), false),
            (required(&[term(&[("zone", "In", &["a"])])]), true),
            (required(&[term(&[("zone", "In", &["b"])])]), false),
            (required(&[]), false),
        ] {
            assert_eq!(admits(&pod, &node()), is_admitted, "{pod}");
        }
    }
}
