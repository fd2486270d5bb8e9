//! Reads the pod of a template, with what its controller adds.

use std::borrow::Cow;

use serde_json::Value;
use serde_path_to_error::Segment;

use super::Error;
use crate::admission::pod::{Entries, Metadata, Pod, Strings, Text};
use crate::manifest::pod_templates::{self, Template, escape, key_of};

/// Parses the pod that a template describes.
///
/// # Errors
/// Where in the document something has another type than in a pod.
pub(super) fn pod<'t>(text: &'t str, template: &Template, document: &Value) -> Result<Pod<'t>, Error> {
    serde_path_to_error::deserialize(&mut serde_json::Deserializer::from_str(text)).map_err(|error| {
        let keys = error.path().iter().map(Segment::to_string);
        let keys: Vec<_> = keys.map(|key| escape(key.trim_matches(['[', ']']))).collect();
        let pointer = pointer(template, document, &keys);
        let message = error.inner().to_string();
        // The line and column are those of our serialized text, not of the user's file.
        let message = message.split(" at line ").next().unwrap_or_default();
        // A sketch is not in the file.
        let is_sketch = matches!(template.pod, pod_templates::Pod::Sketch { .. });
        let path = if is_sketch { keys.join("/") } else { pointer.clone() };
        let message = format!("{}: {message}", path.trim_start_matches('/').replace('/', ".").replace("~1", "/"));
        Error::NotAPod { name: template.name.clone(), pointer, message }
    })
}

/// The JSON Pointer in the document of what is behind some keys in the pod.
fn pointer(template: &Template, document: &Value, keys: &[String]) -> String {
    let (part, below) = keys.split_first().map_or(("", &[][..]), |(part, below)| (part.as_str(), below));
    let behind = |begin: &str| [&[begin.to_owned()], below].concat().join("/");
    match &template.pod {
        pod_templates::Pod::Parts { metadata: Some(metadata), .. } if part == "metadata" => behind(metadata),
        pod_templates::Pod::Parts { spec, .. } if part == "spec" => behind(spec),
        pod_templates::Pod::Parts { .. } => behind(&template.pointer),
        pod_templates::Pod::Patched { pod, patch, base, .. } => {
            let found = [patch, base].into_iter().find_map(|part| {
                let below = below_in(document.pointer(part)?, pod, keys)?;
                Some(format!("{part}{below}"))
            });
            found.unwrap_or_else(|| patch.clone())
        }
        pod_templates::Pod::Sketch { .. } => template.pointer.clone(),
    }
}

/// Where a template or patch has what the pod that is made of it has behind some keys; the items of lists have other indexes.
fn below_in(part: &Value, pod: &Value, keys: &[String]) -> Option<String> {
    let (mut at, mut own, mut below, mut field) = (pod, part, String::new(), "");
    for key in keys {
        let next = at.pointer(&format!("/{key}"))?;
        let own_key = match (own, key_of(field)) {
            (Value::Array(items), Some(id)) => items.iter().position(|item| item.get(id) == next.get(id))?.to_string(),
            _ => key.clone(),
        };
        own = own.pointer(&format!("/{own_key}"))?;
        below = format!("{below}/{own_key}");
        (at, field) = (next, key);
    }
    Some(below)
}

/// Adds labels, annotations and volumes that are on the pods when the webhook sees them, but never in the output.
pub(super) fn add_what_the_controller_adds<'t>(pod: &mut Pod<'t>, template: &'t Template) {
    pod.templates.clone_from(&template.volumes);
    if template.labels.is_empty() && template.annotations.is_empty() {
        return;
    }
    let metadata = pod.metadata.get_or_insert_with(Metadata::default);
    add(&mut metadata.labels, &template.labels);
    add(&mut metadata.annotations, &template.annotations);
}

/// Adds the entries that the pod does not have itself.
fn add<'t>(entries: &mut Option<Strings<'t>>, added: &'t [(String, String)]) {
    if added.is_empty() {
        return;
    }
    let entries = entries.get_or_insert_with(Entries::default);
    for (key, value) in added {
        if !entries.0.iter().any(|(known, _)| known.0 == *key) {
            entries.0.push((Text(Cow::Borrowed(key)), Text(Cow::Borrowed(value))));
        }
    }
}
