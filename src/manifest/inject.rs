//! Injects the caches into the pods and pod templates of one document.

mod patched;
mod read;

use std::collections::BTreeSet;

use serde::Serialize;
use serde_json::{Value, json};

use crate::admission::Evaluation;
use crate::manifest::context::DecisionContext;
use crate::manifest::explanation::{Explanation, Selection};
use crate::manifest::pod_templates;
use crate::manifest::pod_templates::{Pod, Template, WrongPointer};
use crate::manifest::report;
use crate::yaml;

use patched::Patched;

/// A document before and after injection.
pub(crate) struct Injected {
    /// Its kind and name: `Deployment/worker`.
    pub(crate) name: String,
    /// The document as it was read.
    pub(crate) before: Value,
    /// The document with the caches.
    pub(crate) after: Value,
    /// The change as JSON Patch operations on the document.
    pub(crate) operations: Vec<Value>,
    /// Warnings and skipped caches of its pods and templates, one line each.
    pub(crate) notes: Vec<String>,
    /// Annotations of dynamo-cache that have no effect where they are, one line each.
    pub(crate) ignored: Vec<String>,
    /// Its objects of unknown kinds, which may have pods somewhere.
    pub(crate) unknown: Vec<String>,
    /// Notes about objects whose pods only their operator knows, one line each.
    pub(crate) operator_notes: Vec<String>,
    /// Notes about graphs whose pods are explained, and not changed, one line each.
    pub(crate) graph_notes: Vec<String>,
    /// The explanation of each of its pods and templates.
    pub(crate) explanations: Vec<Explanation>,
    /// The mistakes in components of graphs, which cannot be explained.
    pub(crate) mistakes: Vec<Error>,
    /// The namespaces of the objects that have pods.
    pub(crate) namespaces: BTreeSet<Option<String>>,
    /// The given pointers that led to a pod template.
    pub(crate) used_pointers: BTreeSet<String>,
    /// The given pointers that led to something else.
    pub(crate) wrong_pointers: Vec<WrongPointer>,
}

/// Why caches cannot be injected into a document.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The value where a pod or pod template belongs is not one.
    #[error("{name}: {message}")]
    NotAPod {
        /// The object that should have the pod.
        name: String,
        /// The JSON Pointer of the mistake.
        pointer: String,
        /// What is wrong.
        message: String,
    },
    /// The document is not an object.
    #[error("expected a Kubernetes object, not {0}")]
    NotAnObject(&'static str),
    /// The patch does not apply to the document it was built for: a bug.
    #[error("our own patch does not apply: {0}")]
    Patch(#[from] json_patch::PatchError),
    /// The patch cannot be serialized: a bug.
    #[error("our own patch cannot be written: {0}")]
    Serialize(#[from] serde_json::Error),
    /// The patch changes something else than the lists and fields of a pod: a bug.
    #[error("our own patch does not fit the patch of a shared template: {0}")]
    Patched(String),
}

/// Injects the caches into the pods and pod templates of a document. `pointers` lead to more of them, in objects of unknown
/// kinds.
///
/// # Errors
/// The document is not an object, or the value where a pod belongs is not a pod.
pub(crate) fn inject(document: Value, context: &DecisionContext, pointers: &[String]) -> Result<Injected, Error> {
    if !document.is_object() {
        return Err(Error::NotAnObject(yaml::kind(&document)));
    }
    let templates = pod_templates::find(&document, pointers);
    let mut injected = Injected {
        name: pod_templates::name(&document),
        after: document.clone(),
        before: document,
        operations: Vec::new(),
        notes: Vec::new(),
        ignored: templates.ignored.iter().map(report::ignored).collect(),
        unknown: templates.unknown,
        operator_notes: Vec::new(),
        graph_notes: Vec::new(),
        explanations: Vec::new(),
        mistakes: Vec::new(),
        namespaces: templates.found.iter().map(|template| template.namespace.clone()).collect(),
        used_pointers: templates.used_pointers,
        wrong_pointers: templates.wrong_pointers,
    };
    injected.operator_notes.extend(templates.hidden.iter().map(report::hidden));
    for object in &templates.operator_managed {
        let notes = if object.is_sketched { &mut injected.graph_notes } else { &mut injected.operator_notes };
        notes.push(report::operator_managed(object));
    }
    for template in &templates.found {
        match (inject_into(template, context, &mut injected), &template.pod) {
            // Nothing of a graph changes, so that a mistake in it is its operator's to find.
            (Err(mistake), Pod::Sketch { .. }) => injected.mistakes.push(mistake),
            (result, _) => result?,
        }
    }
    if !injected.operations.is_empty() {
        let patch: json_patch::Patch = serde_json::from_value(Value::Array(injected.operations.clone()))?;
        json_patch::patch(&mut injected.after, &patch)?;
    }
    Ok(injected)
}

/// Decides about the pods of one template and records the outcome.
fn inject_into(template: &Template, context: &DecisionContext, injected: &mut Injected) -> Result<(), Error> {
    /// A pod assembled from two parts of the document.
    #[derive(Serialize)]
    struct Parts<'d> {
        metadata: Option<&'d Value>,
        spec: Option<&'d Value>,
    }
    let part = |pointer: &str| injected.before.pointer(pointer);
    if let Some(other) = part(&template.pointer).filter(|value| !value.is_object() && !value.is_null()) {
        let (name, pointer) = (template.name.clone(), template.pointer.clone());
        let expected = if matches!(template.pod, Pod::Sketch { .. }) { "component" } else { "pod template" };
        let message = format!("expected a {expected}, not {}", yaml::kind(other));
        return Err(Error::NotAPod { name, pointer, message });
    }
    let (metadata, spec) = template.parts(&injected.before);
    let text = serde_json::to_string(&Parts { metadata, spec })?;
    let mut pod = read::pod(&text, template, &injected.before)?;
    let has_metadata = pod.metadata.is_some();
    let has_annotations = pod.metadata.as_ref().is_some_and(|metadata| metadata.annotations.is_some());
    read::add_what_the_controller_adds(&mut pod, template);
    let facts = context.facts_of(template.namespace.as_deref());
    let evaluation = Evaluation::new(&pod, &context.settings, &facts.annotations);
    let claims = facts.claims_for(evaluation.claims());
    let selection = Selection::new(&evaluation);
    let outcome = evaluation.decide(&claims);
    let explanation = Explanation::new(&template.name, &pod, &selection, &outcome, context, &facts);
    if let Pod::Sketch { unknown, .. } = &template.pod {
        injected.explanations.push(Explanation { unknown: Some(unknown.clone()), ..explanation });
        return Ok(());
    }
    injected.explanations.push(explanation);
    injected.notes.extend(report::outcome(&template.name, &outcome));
    let mut operations = Vec::new();
    if !outcome.changes.is_empty() {
        // The view of the pod has these by what the controller adds, and the document has not.
        let lacks =
            |had: bool, has: bool, path: &str| (!had && has).then(|| json!({"op": "add", "path": path, "value": {}}));
        let metadata = pod.metadata.as_ref();
        operations.extend(lacks(has_metadata, metadata.is_some(), "/metadata"));
        let annotations = metadata.is_some_and(|metadata| metadata.annotations.is_some());
        operations.extend(lacks(has_annotations, annotations, "/metadata/annotations"));
    }
    for operation in outcome.operations() {
        operations.push(serde_json::to_value(operation)?);
    }
    match &template.pod {
        Pod::Parts { metadata, spec } => {
            let moved = |operation: Value| moved(operation, metadata.as_deref(), spec);
            injected.operations.extend(operations.into_iter().filter_map(moved));
        }
        Pod::Patched { pod, patch: pointer, template: shared, .. } => {
            let patch = injected.before.pointer(pointer);
            match patched::additions(&Patched { template: shared, pointer, patch, pod }, &operations)? {
                Some(operations) => injected.operations.extend(operations),
                None => injected.operator_notes.push(report::hidden(&template.name)),
            }
        }
        Pod::Sketch { .. } => {}
    }
    Ok(())
}

/// Moves an operation on a pod to the parts of the document; `None` if the document has no such part.
fn moved(mut operation: Value, metadata: Option<&str>, spec: &str) -> Option<Value> {
    let path = operation.get("path")?.as_str()?;
    let path = match (path.strip_prefix("/metadata"), path.strip_prefix("/spec")) {
        (Some(rest), _) => format!("{}{rest}", metadata?),
        (_, Some(rest)) => format!("{spec}{rest}"),
        _ => path.to_owned(),
    };
    operation["path"] = path.into();
    Some(operation)
}
