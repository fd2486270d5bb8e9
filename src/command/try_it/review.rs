//! The review that an API server would send for a pod, or for a pod that a workload creates.

use std::path::Path;

use anyhow::bail;
use serde_json::{Value, json};

use crate::manifest::input::{Input, embedded_json};
use crate::manifest::pod_templates;
use crate::manifest::pod_templates::Template;

/// The name of the example.
const EXAMPLE_NAME: &str = "manifests/examples/vllm-worker.yaml";

/// The example that is used without a file.
const EXAMPLE: &str = include_str!("../../../manifests/examples/vllm-worker.yaml");

/// The namespace in the review.
const NAMESPACE: &str = "default";

/// A pod to review.
#[derive(Debug)]
pub(super) struct Review {
    /// The kind and name of the object that the pod comes from.
    pub(super) name: String,
    /// How many pods and pod templates the file has.
    pub(super) total: usize,
    /// The pod in the review.
    pub(super) pod: Value,
}

impl Review {
    /// Reads the first pod or pod template of a file; `-` is standard input, and `None` the example.
    ///
    /// # Errors
    /// The file cannot be read, or has no pod.
    pub(super) fn read(file: Option<&Path>) -> anyhow::Result<Self> {
        let example = || Input { name: EXAMPLE_NAME.to_owned(), text: EXAMPLE.to_owned() };
        let input = file.map_or_else(|| Ok(example()), Input::read)?;
        let (mut first, mut total) = (None, 0);
        for document in input.documents()? {
            let templates = pod_templates::find(&document.value, &[]);
            total += templates.found.len();
            if let Some(template) = templates.found.first().filter(|_| first.is_none()) {
                first = Some((template.name.clone(), pod(&document.value, template)));
            }
        }
        let Some((name, pod)) = first else {
            bail!(
                "{}: the file has no pod and no known pod template; pods of an operator are changed when the operator \
                 creates them",
                input.name
            )
        };
        Ok(Review { name, total, pod })
    }

    /// The AdmissionReview as an API server would send it, without the fields that the webhook does not read.
    pub(super) fn to_json(&self) -> Value {
        let mut review = embedded_json(include_str!("review.json"));
        let request = &mut review["request"];
        request["namespace"] = NAMESPACE.into();
        request["object"] = self.pod.clone();
        // Behind all other metadata, as an API server has them.
        request["object"]["metadata"]["managedFields"] = json!([{
            "manager": "kubectl",
            "operation": "Update",
            "apiVersion": "v1",
            "fieldsType": "FieldsV1",
            "fieldsV1": {"f:spec": {"f:containers": {"k:{\"name\":\"main\"}": {".": {}, "f:image": {}, "f:name": {}}}}},
        }]);
        review
    }
}

/// The pod that a controller would create from its template, as far as the decision depends on it.
fn pod(document: &Value, template: &Template) -> Value {
    let (template_metadata, template_spec) = template.parts(document);
    let template_spec = template_spec.filter(|part| part.is_object()).cloned();
    let (mut metadata, mut spec) = (json!({}), template_spec.unwrap_or_else(|| json!({})));
    let template_metadata = template_metadata.filter(|part| part.is_object()).cloned().unwrap_or_default();
    for (key, is_valid) in [
        ("annotations", Value::is_object as fn(&Value) -> bool),
        ("generateName", Value::is_string),
        ("labels", Value::is_object),
        ("name", Value::is_string),
    ] {
        if let Some(value) = template_metadata.get(key).filter(|value| is_valid(value)) {
            metadata[key] = value.clone();
        }
    }
    let owner = template.name.rsplit('/').next().unwrap_or_default();
    if metadata.get("name").is_none() {
        metadata["generateName"] = format!("{owner}-").into();
    }
    metadata["namespace"] = NAMESPACE.into();
    for (field, added) in [("labels", &template.labels), ("annotations", &template.annotations)] {
        for (key, value) in added {
            if metadata.get(field).and_then(|own| own.get(key)).is_none() {
                metadata[field][key] = value.as_str().into();
            }
        }
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
