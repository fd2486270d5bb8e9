//! Finds the pods and pod templates in objects of Kubernetes, Dynamo, and the controllers that people run models with.

mod graph;
mod kinds;
mod known;
mod named;
mod object;
mod pointer;
mod role_based_group;
mod search;
mod strategic_merge;

use std::collections::BTreeSet;

use serde_json::Value;

use crate::admission::annotation::PREFIX;

pub(crate) use graph::claims;
pub(crate) use object::{has_no_kind, name, visit};
pub(crate) use pointer::escape;
pub(crate) use strategic_merge::{key_of, merge};

use kinds::KINDS;
use search::Search;

/// A pod or a pod template in a document.
pub(crate) struct Template {
    /// The kind and name of its object, with the pointer if the object has several.
    pub(crate) name: String,
    /// The JSON Pointer of the pod or template itself.
    pub(crate) pointer: String,
    /// The namespace of its object, if it has one.
    pub(crate) namespace: Option<String>,
    /// The pod that it describes.
    pub(crate) pod: Pod,
    /// The names of the volumes that the controller adds to its pods.
    pub(crate) volumes: Vec<String>,
    /// The labels that the controller adds to its pods.
    pub(crate) labels: Vec<(String, String)>,
    /// The annotations that the controller adds to its pods.
    pub(crate) annotations: Vec<(String, String)>,
}

/// Where the pod of a template is.
pub(crate) enum Pod {
    /// In parts of the document.
    Parts {
        /// The JSON Pointer of what has its labels and annotations; `None` if there is no such place for this pod alone.
        metadata: Option<String>,
        /// The JSON Pointer of its spec.
        spec: String,
    },
    /// In a shared template that a strategic merge patch changes.
    Patched {
        /// The pod.
        pod: Value,
        /// The JSON Pointer of the patch, which need not be there.
        patch: String,
        /// What the patch changes.
        template: Value,
        /// The JSON Pointer of the shared template.
        base: String,
    },
    /// Only as far as a graph describes it. Its operator makes it, so that it can be explained, and not changed.
    Sketch {
        /// The pod.
        pod: Value,
        /// What the operator decides about it, one line each.
        unknown: Vec<String>,
    },
}

/// The pods and pod templates of a document, and the objects that have none or hide them.
#[derive(Default)]
pub(crate) struct Templates {
    /// Its pods and pod templates.
    pub(crate) found: Vec<Template>,
    /// Annotations of dynamo-cache on objects around them, where they have no effect.
    pub(crate) ignored: Vec<Ignored>,
    /// Objects whose pods the Dynamo operator makes.
    pub(crate) operator_managed: Vec<OperatorManaged>,
    /// Objects, or roles of them, whose pods only their controller knows.
    pub(crate) hidden: Vec<String>,
    /// Objects of unknown kinds, which may have pods somewhere.
    pub(crate) unknown: Vec<String>,
    /// The given pointers that led to a pod template.
    pub(crate) used_pointers: BTreeSet<String>,
    /// The given pointers that led to something else.
    pub(crate) wrong_pointers: Vec<WrongPointer>,
}

/// An object whose pods the Dynamo operator makes.
pub(crate) struct OperatorManaged {
    /// Its kind and name.
    pub(crate) name: String,
    /// Its namespace, if it has one.
    pub(crate) namespace: Option<String>,
    /// Whether its pods are among those that were found, as sketches.
    pub(crate) is_sketched: bool,
}

/// A given pointer that led to something else than a pod template.
#[derive(Clone)]
pub(crate) struct WrongPointer {
    /// The pointer as it was given.
    pub(crate) given: String,
    /// The kind and name of the object.
    pub(crate) object: String,
    /// The JSON Pointer in the document.
    pub(crate) pointer: String,
}

/// An annotation of dynamo-cache that has no effect where it is.
pub(crate) struct Ignored {
    /// The object.
    pub(crate) object: String,
    /// The annotation.
    pub(crate) annotation: String,
    /// The JSON Pointers of the annotations where it belongs, if there are such places.
    pub(crate) belongs: Vec<String>,
}

/// Finds the pods and pod templates of a document, which may be a list of objects. `pointers` name more of them, and may
/// contain `*`.
pub(crate) fn find(document: &Value, pointers: &[String]) -> Templates {
    let mut templates = Templates::default();
    visit(document, &mut |object, kind, at| {
        let mut search = Search::new(object, at);
        let is_known = search.known_kind(kind);
        named::add(&mut search, kind, pointers, &mut templates);
        if !is_known && search.found.is_empty() {
            if graph::is_operator_managed(kind) {
                if graph::is_graph(kind) {
                    graph::add_components(&mut search, kind);
                }
                let namespace = object.pointer("/metadata/namespace").and_then(Value::as_str).map(str::to_owned);
                let is_sketched = !search.found.is_empty();
                templates.operator_managed.push(OperatorManaged { name: name(object), namespace, is_sketched });
            } else if kind.may_have_pods() {
                templates.unknown.push(name(object));
            }
        }
        templates.ignored.extend(ignored(&search));
        let name = name(object);
        templates.hidden.extend(search.hidden.iter().map(|at| format!("{name} {at}").trim_end().to_owned()));
        let mut found = search.found;
        let is_sketch = found.iter().any(|template| matches!(template.pod, Pod::Sketch { .. }));
        if let ([_, _, ..], false) = (found.as_slice(), is_sketch) {
            for template in &mut found {
                template.name = format!("{} {}", template.name, template.pointer);
            }
        }
        templates.found.extend(found);
    });
    templates
}

/// Annotations of dynamo-cache on an object that has pods and is not one itself, or on a part of it from which no pod has them,
/// such as the `jobTemplate` of a `CronJob`.
fn ignored(search: &Search<'_>) -> Vec<Ignored> {
    let places: BTreeSet<_> = search.found.iter().filter_map(|template| template.pod.metadata()).collect();
    let is_sketch = search.found.iter().any(|template| matches!(template.pod, Pod::Sketch { .. }));
    let mut parts: BTreeSet<&str> =
        search.found.iter().flat_map(|template| parts_around(template, &search.at)).collect();
    parts.retain(|part| !places.contains(&format!("{part}/metadata")));
    let mut ignored = Vec::new();
    for part in parts {
        let below = part.strip_prefix(search.at.as_str()).unwrap_or_default();
        let annotations = search.object.pointer(&format!("{below}/metadata/annotations")).and_then(Value::as_object);
        let ours = annotations.into_iter().flatten().map(|(key, _)| key).filter(|key| key.starts_with(PREFIX));
        let inherits = |template: &Template, key: &String| template.annotations.iter().any(|(known, _)| known == key);
        let without_effect: Vec<_> =
            ours.filter(|key| !search.found.iter().any(|template| inherits(template, key))).collect();
        if without_effect.is_empty() {
            continue;
        }
        let within = places.iter().filter(|place| place.starts_with(&format!("{part}/")));
        let mut belongs: Vec<_> = within.map(|place| format!("{place}/annotations")).collect();
        // The annotations of a graph's spec reach the pods of all of its components.
        belongs.extend(is_sketch.then(|| format!("{}/spec/annotations", search.at)));
        let object = format!("{} {below}", name(search.object)).trim_end().to_owned();
        let of = |key: &String| Ignored { object: object.clone(), annotation: key.clone(), belongs: belongs.clone() };
        ignored.extend(without_effect.into_iter().map(of));
    }
    ignored
}

/// The JSON Pointers of the object at `at`, and of each part of it that has the template.
fn parts_around<'t>(template: &'t Template, at: &'t str) -> impl Iterator<Item = &'t str> {
    let spec = match &template.pod {
        Pod::Parts { spec, .. } => spec.as_str(),
        Pod::Patched { .. } | Pod::Sketch { .. } => at,
    };
    let ends = spec.match_indices('/').map(|(end, _)| end).filter(move |end| *end > at.len());
    std::iter::once(at).chain(ends.filter_map(|end| spec.get(..end)))
}

/// The kinds with pods that controllers other than those of Kubernetes have in an API group.
pub(crate) fn kinds_of(group: &str) -> Vec<&'static str> {
    if graph::GROUP == group {
        return graph::KINDS.to_vec();
    }
    let kinds = KINDS.iter().filter(|kind| kind.group == group && !matches!(group, "" | "apps" | "batch"));
    kinds.map(|kind| kind.name).collect()
}

/// Whether a kind is a graph or a component of one.
pub(crate) fn is_graph(kind: &str) -> bool {
    graph::KINDS.contains(&kind)
}

impl Template {
    /// The metadata and the spec of the pod, as far as the document has them.
    pub(crate) fn parts<'d>(&'d self, document: &'d Value) -> (Option<&'d Value>, Option<&'d Value>) {
        match &self.pod {
            Pod::Parts { metadata, spec } => {
                (metadata.as_ref().and_then(|metadata| document.pointer(metadata)), document.pointer(spec))
            }
            Pod::Patched { pod, .. } | Pod::Sketch { pod, .. } => (pod.get("metadata"), pod.get("spec")),
        }
    }

    /// Whether the spec of the pod is at a JSON Pointer of the document.
    fn has_spec_at(&self, pointer: &str) -> bool {
        matches!(&self.pod, Pod::Parts { spec, .. } if spec == pointer)
    }

    /// Adds the labels and annotations of another part of the object, which the controller copies to its pods.
    fn inherit(&mut self, from: Option<&Value>) {
        let entries = |key: &str| from.and_then(|from| from.get(key)?.as_object()).into_iter().flatten();
        let text = |(key, value): (&String, &Value)| Some((key.clone(), value.as_str()?.to_owned()));
        self.labels.extend(entries("labels").filter_map(text));
        self.annotations.extend(entries("annotations").filter_map(text));
    }
}

impl Pod {
    /// The JSON Pointer of its labels and annotations, if it has such a place in the document.
    pub(crate) fn metadata(&self) -> Option<String> {
        match self {
            Pod::Parts { metadata, .. } => metadata.clone(),
            Pod::Patched { patch, .. } => Some(format!("{patch}/metadata")),
            Pod::Sketch { .. } => None,
        }
    }
}
