//! The objects of a document: their kinds, and the lists around them.

use serde_json::Value;

/// The kind and name of an object: `Deployment/worker`.
pub(crate) fn name(object: &Value) -> String {
    let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str);
    let kind = text("/kind").unwrap_or("object");
    match (text("/metadata/name"), text("/metadata/generateName")) {
        (Some(name), _) => format!("{kind}/{name}"),
        (None, Some(begin)) => format!("{kind}/{begin}…"),
        (None, None) => kind.to_owned(),
    }
}

/// Whether a document has no kind, so that it is no object of Kubernetes.
pub(crate) fn has_no_kind(document: &Value) -> bool {
    document.get("kind").and_then(Value::as_str).is_none_or(str::is_empty)
}

/// The kind and API group of an object.
#[derive(Clone, Copy)]
pub(crate) struct Type<'d> {
    /// The kind; empty if the object has none.
    pub(crate) name: &'d str,
    /// The API group; `None` if the object has no `apiVersion`.
    pub(crate) group: Option<&'d str>,
}

impl<'d> Type<'d> {
    /// Reads kind and API group of an object.
    pub(crate) fn new(object: &'d Value) -> Self {
        let text = |key: &str| object.get(key).and_then(Value::as_str);
        let group = |version: &'d str| version.rsplit_once('/').map_or("", |(group, _)| group);
        Type { name: text("kind").unwrap_or_default(), group: text("apiVersion").map(group) }
    }

    /// Whether this is the kind. The group distinguishes kinds of the same name; without one, the name alone decides.
    pub(crate) fn is(self, group: &str, name: &str) -> bool {
        self.name == name && self.group.is_none_or(|own| own == group)
    }

    /// Whether an unknown kind may have pods. Kubernetes' own kinds with pods are all known.
    pub(super) fn may_have_pods(self) -> bool {
        let of_kubernetes = |group: &str| {
            matches!(group, "" | "apps" | "autoscaling" | "batch" | "policy") || group.ends_with(".k8s.io")
        };
        !self.name.is_empty() && !self.group.is_some_and(of_kubernetes)
    }
}

/// Calls `visit` with every object, its kind and its JSON Pointer. A kind that ends in `List` stands for its items.
pub(crate) fn visit<'d>(document: &'d Value, visit: &mut impl FnMut(&'d Value, Type<'d>, String)) {
    visit_in(document, Type::new(document), String::new(), visit);
}

fn visit_in<'d>(object: &'d Value, kind: Type<'d>, at: String, visit: &mut impl FnMut(&'d Value, Type<'d>, String)) {
    match (object.get("items").and_then(Value::as_array), kind.name.strip_suffix("List")) {
        (Some(items), Some(name)) => {
            for (index, item) in items.iter().enumerate() {
                // The items of a DeploymentList from the API server do not repeat their kind.
                let own = Type::new(item);
                let kind = if own.name.is_empty() { Type { name, group: kind.group } } else { own };
                visit_in(item, kind, format!("{at}/items/{index}"), visit);
            }
        }
        _ => visit(object, kind, at),
    }
}
