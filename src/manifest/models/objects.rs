//! The models of a whole object: those of its pods, and those of Dynamo's objects that name one without a pod.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::{ConfigMaps, ContainerModels, NamedModel, Purpose, hub_name, of_pod};
use crate::manifest::pod_templates;

/// The models that one pod, pod template or object names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ObjectModels {
    /// Kind and name, and the component or the pointer if the object has several pods: `DynamoGraphDeployment/graph worker`.
    pub(crate) name: String,
    /// The namespace, if the object names one.
    pub(crate) namespace: Option<String>,
    /// What its containers name.
    pub(crate) containers: Vec<ContainerModels>,
}

/// The names of the `ConfigMaps` from which the pods of objects take variables.
pub(crate) fn referenced_config_maps(objects: &[Value]) -> BTreeSet<String> {
    let pods = objects.iter().flat_map(|object| {
        let templates = pod_templates::find(object, &[]).found;
        templates.into_iter().map(|template| json!({"spec": template.parts(object).1}))
    });
    pods.flat_map(|pod| ConfigMaps::referenced_by(&pod)).collect()
}

/// The models that an object names, or the objects of a list: the pods of every kind that `inject` knows, graphs of both versions, and
/// the fields of a `DynamoGraphDeploymentRequest` and of a `DynamoModel`. Those that name none are omitted.
pub(crate) fn of_object(object: &Value, config_maps: &ConfigMaps) -> Vec<ObjectModels> {
    let mut all = Vec::new();
    for template in pod_templates::find(object, &[]).found {
        let (metadata, spec) = template.parts(object);
        let pod = json!({"metadata": with_inherited(metadata, &template), "spec": spec});
        let containers = of_pod(&pod, config_maps);
        all.push(ObjectModels { name: template.name, namespace: template.namespace, containers });
    }
    pod_templates::visit(object, &mut |object, kind, _| {
        let (pointer, purpose) = match kind.name {
            _ if kind.is("nvidia.com", "DynamoGraphDeploymentRequest") => ("/spec/model", Purpose::Weights),
            _ if kind.is("nvidia.com", "DynamoModel") => ("/spec/source/uri", Purpose::Lora),
            _ => return,
        };
        let value = object.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
        let Some(model) = hub_name::read(value) else { return };
        let by = pointer.trim_start_matches('/').replace('/', ".");
        let model = NamedModel { name: model.name, revision: model.revision, purpose, by };
        all.push(ObjectModels {
            name: pod_templates::name(object),
            namespace: object.pointer("/metadata/namespace").and_then(Value::as_str).map(str::to_owned),
            containers: vec![ContainerModels { models: vec![model], ..ContainerModels::default() }],
        });
    });
    all.retain(|object| !object.containers.is_empty());
    all
}

/// The metadata of a template with what its controller adds, by which a pod may be recognised.
fn with_inherited(metadata: Option<&Value>, template: &pod_templates::Template) -> Value {
    let mut metadata = metadata.filter(|metadata| metadata.is_object()).cloned().unwrap_or_else(|| json!({}));
    for (key, added) in [("labels", &template.labels), ("annotations", &template.annotations)] {
        if added.is_empty() {
            continue;
        }
        if !metadata[key].is_object() {
            metadata[key] = json!({});
        }
        for (name, value) in added {
            if metadata[key].get(name).is_none() {
                metadata[key][name.as_str()] = value.as_str().into();
            }
        }
    }
    metadata
}
