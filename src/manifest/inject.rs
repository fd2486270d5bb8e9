//! Injects the caches into the pods and pod templates of one document.

use std::borrow::Cow;
use std::collections::BTreeSet;

use serde::Serialize;
use serde_json::{Value, json};
use serde_path_to_error::Segment;

use crate::admission::Evaluation;
use crate::admission::claim::Claim;
use crate::admission::pod::{Metadata, Pod, Strings, Text};
use crate::manifest::context::DecisionContext;
use crate::manifest::explanation::{Explanation, Selection};
use crate::manifest::pod_templates;
use crate::manifest::pod_templates::Template;
use crate::manifest::report;
use crate::yaml;

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
    /// Its objects of unknown kinds, which may have pods somewhere.
    pub(crate) unknown: Vec<String>,
    /// Notes about objects whose pods only their operator knows, one line each.
    pub(crate) operator_notes: Vec<String>,
    /// The explanation of each of its pods and templates.
    pub(crate) explanations: Vec<Explanation>,
    /// The given pointers that led to a pod template.
    pub(crate) used_pointers: BTreeSet<String>,
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
}

/// Injects the caches into the pods and pod templates of a document. `pointers` lead to pod templates in objects of unknown
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
        notes: templates.ignored.iter().map(report::ignored).collect(),
        unknown: templates.unknown,
        operator_notes: Vec::new(),
        explanations: Vec::new(),
        used_pointers: templates.used_pointers,
    };
    for (name, namespace) in &templates.operator_managed {
        let namespace = namespace.as_deref().unwrap_or("NAMESPACE");
        injected.operator_notes.push(format!(
            "{name}: its operator creates the pods, and the webhook changes them when they are created; nothing to do \
             here: `dynamo-cache preview -n {namespace}` shows the running pods"
        ));
    }
    for template in &templates.found {
        inject_into(template, context, &mut injected)?;
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
    if let Some(other) = part(&template.pointer).filter(|value| !value.is_object()) {
        let (name, pointer) = (template.name.clone(), template.pointer.clone());
        let message = format!("expected a pod template, not {}", yaml::kind(other));
        return Err(Error::NotAPod { name, pointer, message });
    }
    let text = serde_json::to_string(&Parts { metadata: part(&template.metadata), spec: part(&template.spec) })?;
    let mut pod = read(&text, template)?;
    pod.templates.clone_from(&template.volumes);
    let begins_without_metadata = pod.metadata.is_none();
    if !template.labels.is_empty() {
        // The controller's own labels are on the pods when the webhook sees them, but never in the output.
        let labels = pod.metadata.get_or_insert_with(Metadata::default).labels.get_or_insert_with(Strings::default);
        for (key, value) in &template.labels {
            labels.0.push((Text(Cow::Borrowed(key)), Text(Cow::Borrowed(value))));
        }
    }
    let evaluation = Evaluation::new(&pod, &context.settings, &context.facts.namespace);
    let claims = match &context.facts.claims {
        Some(claims) => Cow::Borrowed(claims),
        None => Cow::Owned(evaluation.claims().map(|name| (name.to_owned(), Claim::default())).collect()),
    };
    let selection = Selection::new(&evaluation);
    let outcome = evaluation.decide(&claims);
    injected.explanations.push(Explanation::new(&template.name, &pod, &selection, &outcome, context));
    injected.notes.extend(report::outcome(&template.name, &outcome));
    if begins_without_metadata && pod.metadata.is_some() && !outcome.operations.is_empty() {
        injected.operations.push(json!({ "op": "add", "path": template.metadata, "value": {} }));
    }
    for operation in &outcome.operations {
        let path = match (operation.path.strip_prefix("/metadata"), operation.path.strip_prefix("/spec")) {
            (Some(rest), _) => format!("{}{rest}", template.metadata),
            (_, Some(rest)) => format!("{}{rest}", template.spec),
            _ => operation.path.clone(),
        };
        let mut operation = serde_json::to_value(operation)?;
        if let Some(old) = operation.get_mut("path") {
            *old = path.into();
        }
        injected.operations.push(operation);
    }
    Ok(())
}

/// Parses the pod that a template describes.
fn read<'t>(text: &'t str, template: &Template) -> Result<Pod<'t>, Error> {
    serde_path_to_error::deserialize(&mut serde_json::Deserializer::from_str(text)).map_err(|error| {
        let mut keys = error.path().iter().map(Segment::to_string);
        let begin = match keys.next().as_deref() {
            Some("metadata") => &template.metadata,
            Some("spec") => &template.spec,
            _ => &template.pointer,
        };
        let keys: Vec<_> = keys.map(|key| key.trim_matches(['[', ']']).replace('~', "~0").replace('/', "~1")).collect();
        let pointer = [begin.as_str()].into_iter().chain(keys.iter().map(String::as_str)).collect::<Vec<_>>().join("/");
        let message = error.inner().to_string();
        // The line and column are those of our serialized text, not of the user's file.
        let message = message.split(" at line ").next().unwrap_or_default();
        let message = format!("{}: {message}", pointer.trim_start_matches('/').replace('/', ".").replace("~1", "/"));
        Error::NotAPod { name: template.name.clone(), pointer, message }
    })
}
