//! The review that an API server would send for a pod, or for the pods that a workload makes.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::bail;
use serde_json::{Value, json};

use crate::command::object;
use crate::manifest::input::Input;
use crate::manifest::pod_templates::{Template, templates};

/// Where the example is.
const EXAMPLE_NAME: &str = "manifests/examples/vllm-worker.yaml";

/// What is tried unless something else is.
const EXAMPLE: &str = include_str!("../../../manifests/examples/vllm-worker.yaml");

/// The namespace that the review says.
const NAMESPACE: &str = "default";

/// What is asked about.
#[derive(Debug)]
pub(super) struct Question {
    /// What the pod comes from, for people.
    pub(super) name: String,
    /// How many pods and pod templates there are where it comes from.
    pub(super) of: usize,
    /// The pod as it is sent.
    pub(super) pod: Value,
}

impl Question {
    /// Reads a file, `-` for standard input, none for the example: its first pod or pod template.
    ///
    /// # Errors
    /// It cannot be read, or there is no pod in it.
    pub(super) fn read(file: Option<&Path>) -> anyhow::Result<Self> {
        let example = || Input { name: EXAMPLE_NAME.to_owned(), text: EXAMPLE.to_owned() };
        let input = file.map_or_else(|| Ok(example()), Input::read)?;
        let (mut first, mut of) = (None, 0);
        for document in input.documents()? {
            let templates = templates(&document.value, &[], &mut BTreeSet::new());
            of += templates.found.len();
            if let Some(template) = templates.found.first().filter(|_| first.is_none()) {
                first = Some((template.name.clone(), pod(&document.value, template)));
            }
        }
        let Some((name, pod)) = first else {
            bail!(
                "{}: there is no pod in it, and no pod template that is known; what an operator makes pods of is changed \
                 when it makes them",
                input.name
            )
        };
        Ok(Question { name, of, pod })
    }

    /// The review: the words of an API server, without those that we do not read.
    pub(super) fn review(&self) -> Value {
        let mut review = object::of(include_str!("review.json"));
        let request = &mut review["request"];
        request["namespace"] = NAMESPACE.into();
        request["object"] = self.pod.clone();
        review
    }
}

/// The pod that a controller makes of its template, as far as it matters here.
fn pod(document: &Value, template: &Template) -> Value {
    let part = |pointer: &str| document.pointer(pointer).filter(|part| part.is_object()).cloned();
    let (mut metadata, mut spec) = (json!({}), part(&template.spec).unwrap_or_else(|| json!({})));
    let given = part(&template.metadata).unwrap_or_default();
    for (key, is_fit) in [
        ("annotations", Value::is_object as fn(&Value) -> bool),
        ("generateName", Value::is_string),
        ("labels", Value::is_object),
        ("name", Value::is_string),
    ] {
        if let Some(value) = given.get(key).filter(|value| is_fit(value)) {
            metadata[key] = value.clone();
        }
    }
    let owner = template.name.rsplit('/').next().unwrap_or_default();
    if metadata.get("name").is_none() {
        metadata["generateName"] = format!("{owner}-").into();
    }
    metadata["namespace"] = NAMESPACE.into();
    for (key, value) in &template.labels {
        metadata["labels"][*key] = value.as_str().into();
    }
    if !template.volumes.is_empty() {
        let mut volumes = spec.get("volumes").and_then(Value::as_array).cloned().unwrap_or_default();
        volumes.extend(
            template
                .volumes
                .iter()
                .map(|name| json!({"name": name, "persistentVolumeClaim": {"claimName": format!("{name}-{owner}-0")}})),
        );
        spec["volumes"] = volumes.into();
    }
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec})
}
