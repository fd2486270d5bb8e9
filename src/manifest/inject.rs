//! One document, changed as its pods would be.

use std::borrow::Cow;
use std::collections::BTreeSet;

use serde::Serialize;
use serde_json::{Value, json};
use serde_path_to_error::Segment;

use crate::admission::Evaluation;
use crate::admission::claim::Claim;
use crate::admission::pod::{Metadata, Pod, Strings, Text};
use crate::manifest::context::World;
use crate::manifest::explanation::{Account, Judged};
use crate::manifest::pod_templates;
use crate::manifest::pod_templates::Template;
use crate::manifest::report;
use crate::yaml;

/// A document before and after.
pub(crate) struct Changed {
    /// What it is, in short: `Deployment/worker`.
    pub(crate) name: String,
    /// As it was read.
    pub(crate) before: Value,
    /// As it is now.
    pub(crate) after: Value,
    /// What was done, as JSON Patch of the document.
    pub(crate) operations: Vec<Value>,
    /// What there is to tell of its pods and templates, a line each.
    pub(crate) told: Vec<String>,
    /// Its objects of other kinds that may have pods, and of which it is not known where.
    pub(crate) unknown: Vec<String>,
    /// What there is to tell of objects whose pods only an operator knows, a line each.
    pub(crate) of_operators: Vec<String>,
    /// How each of its pods or templates was decided.
    pub(crate) accounts: Vec<Account>,
}

/// Why a document cannot be changed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// Something is in the place of a pod and is none.
    #[error("{name}: {message}")]
    NotAPod {
        /// What has the pod.
        name: String,
        /// The pointer of what is wrong in it.
        pointer: String,
        /// What is wrong with it.
        message: String,
    },
    /// Kubernetes has objects only.
    #[error("an object of Kubernetes is expected, not {0}")]
    NotAnObject(&'static str),
    /// The patch that we made does not fit the document that we made it for.
    #[error("our own patch does not apply: {0}")]
    Patch(#[from] json_patch::PatchError),
    /// What we made of the document is not what serde makes of it.
    #[error("our own patch cannot be written: {0}")]
    Written(#[from] serde_json::Error),
}

/// Changes the pods and pod templates in a document.
///
/// # Errors
/// What is in the place of a pod and is none.
pub(crate) fn change<'o>(
    document: Value,
    world: &World,
    pointers: &'o [String],
    unused: &mut BTreeSet<&'o str>,
) -> Result<Changed, Error> {
    if !document.is_object() {
        return Err(Error::NotAnObject(yaml::kind(&document)));
    }
    let name = pod_templates::name(&document);
    let (after, before) = (document.clone(), document);
    let (operations, told, accounts) = (Vec::new(), Vec::new(), Vec::new());
    let mut changed =
        Changed { name, before, after, operations, told, unknown: Vec::new(), of_operators: Vec::new(), accounts };
    let templates = pod_templates::templates(&changed.before, pointers, unused);
    for ignored in &templates.ignored {
        changed.told.push(report::ignored(ignored));
    }
    for (name, namespace) in &templates.of_operators {
        let namespace = namespace.as_deref().unwrap_or("NAMESPACE");
        changed.of_operators.push(format!(
            "{name}: its operator makes the pods, and the webhook changes them when they are made; nothing to do here: \
             `dynamo-cache preview -n {namespace}` shows those that run"
        ));
    }
    changed.unknown = templates.unknown;
    for template in &templates.found {
        decide(template, world, &mut changed)?;
    }
    if !changed.operations.is_empty() {
        let patch: json_patch::Patch = serde_json::from_value(Value::Array(changed.operations.clone()))?;
        json_patch::patch(&mut changed.after, &patch)?;
    }
    Ok(changed)
}

/// Has the core decide about the pods of a template.
fn decide(template: &Template, world: &World, changed: &mut Changed) -> Result<(), Error> {
    /// A pod out of parts of a document.
    #[derive(Serialize)]
    struct Parts<'d> {
        metadata: Option<&'d Value>,
        spec: Option<&'d Value>,
    }
    let part = |pointer: &str| changed.before.pointer(pointer);
    if let Some(place) = part(&template.place).filter(|place| !place.is_object()) {
        let (name, pointer) = (template.name.clone(), template.place.clone());
        let message = format!("a pod template is expected, not {}", yaml::kind(place));
        return Err(Error::NotAPod { name, pointer, message });
    }
    let text = serde_json::to_string(&Parts { metadata: part(&template.metadata), spec: part(&template.spec) })?;
    let mut pod = read(&text, template)?;
    pod.templates.clone_from(&template.volumes);
    let begins_without_metadata = pod.metadata.is_none();
    if !template.labels.is_empty() {
        // What a controller labels its pods with is there when the webhook sees them, and never in the output.
        let labels = pod.metadata.get_or_insert_with(Metadata::default).labels.get_or_insert_with(Strings::default);
        for (key, value) in &template.labels {
            labels.0.push((Text(Cow::Borrowed(key)), Text(Cow::Borrowed(value))));
        }
    }
    let evaluation = Evaluation::new(&pod, &world.settings, &world.facts.namespace);
    let claims = match &world.facts.claims {
        Some(claims) => Cow::Borrowed(claims),
        None => Cow::Owned(evaluation.claims().map(|name| (name.to_owned(), Claim::default())).collect()),
    };
    let judged = Judged::of(&evaluation);
    let outcome = evaluation.decide(&claims);
    changed.accounts.push(Account::of(&template.name, &pod, &judged, &outcome, world));
    changed.told.extend(report::outcome(&template.name, &outcome));
    if begins_without_metadata && pod.metadata.is_some() && !outcome.operations.is_empty() {
        changed.operations.push(json!({ "op": "add", "path": template.metadata, "value": {} }));
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
        changed.operations.push(operation);
    }
    Ok(())
}

/// Reads a pod out of the text of its parts.
fn read<'t>(text: &'t str, template: &Template) -> Result<Pod<'t>, Error> {
    serde_path_to_error::deserialize(&mut serde_json::Deserializer::from_str(text)).map_err(|error| {
        let mut keys = error.path().iter().map(Segment::to_string);
        let begin = match keys.next().as_deref() {
            Some("metadata") => &template.metadata,
            Some("spec") => &template.spec,
            _ => &template.place,
        };
        let keys: Vec<_> = keys.map(|key| key.trim_matches(['[', ']']).replace('~', "~0").replace('/', "~1")).collect();
        let pointer = [begin.as_str()].into_iter().chain(keys.iter().map(String::as_str)).collect::<Vec<_>>().join("/");
        let message = error.inner().to_string();
        // The column would be one of our own text, not of the user's.
        let message = message.split(" at line ").next().unwrap_or_default();
        let message = format!("{}: {message}", pointer.trim_start_matches('/').replace('/', ".").replace("~1", "/"));
        Error::NotAPod { name: template.name.clone(), pointer, message }
    })
}
