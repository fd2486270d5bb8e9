//! A case folder as the API server gets it: a pod, and the namespace and claims around it.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use dynamo_cache::admission::{annotation, settings};
use serde_json::{Map, Value, json};

/// The claims of the settings' defaults.
const CLAIMS: [&str; 2] = ["model-cache", "compilation-cache"];

/// A case folder.
pub(super) struct Case {
    /// The folder's name, a sentence.
    pub(super) name: String,
    /// What its pod is called, which decides nothing.
    pub(super) pod: String,
    /// The pod as the case has it created.
    pub(super) object: Value,
    /// The pod as it shall be stored; the names that the API server and we agree on are skipped.
    pub(super) expected: Value,
    /// The namespace in which it is created.
    pub(super) setup: NamespaceSetup,
}

/// What a case wants of its namespace.
#[derive(Clone, PartialEq)]
pub(super) struct NamespaceSetup {
    opted_in: bool,
    annotations: Value,
    claims: Vec<Value>,
    classes: Vec<Value>,
}

impl Case {
    pub(super) fn read(number: usize, folder: &Path) -> Self {
        let required =
            |name: &str| yaml(&folder.join(name)).unwrap_or_else(|| panic!("{} has no {name}", folder.display()));
        let mut object = required("object.yaml");
        let mut expected = with_version(&required("expected.yaml"));
        for pod in [&mut object, &mut expected] {
            if let Some(metadata) = pod["metadata"].as_object_mut() {
                // Given by the API server, or by us in `created`.
                for given in ["creationTimestamp", "generateName", "name", "namespace", "resourceVersion", "uid"] {
                    metadata.remove(given);
                }
            }
        }
        let namespace = yaml(&folder.join("namespace.yaml"));
        let own = namespace.map_or(Value::Null, |mut namespace| namespace["metadata"]["annotations"].take());
        // The webhook here has the chart's own settings. Those of a case become annotations of its namespace. Where one
        // has no annotation, what it leads to is created, in a namespace that asks for nothing: the API server has to
        // accept it all the same.
        let settings = annotations_of(&yaml(&folder.join("config.yaml")).unwrap_or_default());
        let opted_in = settings.is_some();
        let mut annotations = settings.unwrap_or_default();
        annotations.extend(own.as_object().cloned().unwrap_or_default());
        let annotations = Value::Object(annotations);
        let objects = match yaml(&folder.join("claims.yaml")) {
            _ if !opted_in => Vec::new(),
            // Every claim that is named exists.
            None => named(&expected).union(&named(&object)).map(|name| claim(name)).collect(),
            Some(mut list) => match list["items"].take() {
                Value::Array(items) => items,
                _ => vec![list],
            },
        };
        let (classes, claims) = objects.into_iter().partition(|object| object["kind"] == "StorageClass");
        if !opted_in {
            object = expected.clone();
        }
        let name = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
        Case {
            name,
            pod: format!("case-{number}"),
            object,
            expected,
            setup: NamespaceSetup { opted_in, annotations, claims, classes },
        }
    }

    /// What is created: the pod, in its namespace.
    pub(super) fn created(&self, namespace: &str) -> Value {
        let mut pod = self.object.clone();
        pod["metadata"]["name"] = json!(self.pod);
        pod["metadata"]["namespace"] = json!(namespace);
        pod
    }
}

impl NamespaceSetup {
    /// The namespace, under the name it got.
    pub(super) fn namespace(&self, name: &str) -> Value {
        let labels = if self.opted_in { json!({"dynamo-cache.io/inject": "enabled"}) } else { json!({}) };
        let metadata = json!({"name": name, "labels": labels, "annotations": self.annotations});
        json!({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})
    }

    /// The claims as a person would create them.
    pub(super) fn claims(&self, namespace: &str) -> Vec<Value> {
        let created = |claim: &Value| {
            let mut spec = json!({"resources": {"requests": {"storage": "1Gi"}}});
            for field in ["accessModes", "storageClassName", "volumeMode"] {
                spec[field] = claim["spec"][field].clone();
            }
            let mut metadata = json!({"name": claim["metadata"]["name"], "namespace": namespace});
            if is_being_deleted(claim) {
                metadata["finalizers"] = json!(["dynamo-cache.io/still-needed"]);
            }
            metadata["annotations"] = json!(claim["metadata"]["annotations"].as_object().cloned().unwrap_or_default());
            if claim["status"]["phase"] == "Lost" {
                spec["volumeName"] = json!("gone");
                metadata["annotations"]["pv.kubernetes.io/bind-completed"] = json!("yes");
            }
            json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": metadata, "spec": spec})
        };
        self.claims.iter().map(created).collect()
    }

    /// The StorageClasses that its claims name. They belong to no namespace, so cases that use a name agree on what it means.
    pub(super) fn classes(&self) -> &[Value] {
        &self.classes
    }

    /// The claims that are being deleted.
    pub(super) fn being_deleted(&self) -> impl Iterator<Item = &str> {
        self.claims
            .iter()
            .filter(|claim| is_being_deleted(claim))
            .filter_map(|claim| claim["metadata"]["name"].as_str())
    }

    /// The claims whose volume is gone.
    pub(super) fn lost(&self) -> impl Iterator<Item = &str> {
        let lost = self.claims.iter().filter(|claim| claim["status"]["phase"] == "Lost");
        lost.filter_map(|claim| claim["metadata"]["name"].as_str())
    }
}

/// A settings file as annotations of a namespace; none where one of the settings has no annotation.
fn annotations_of(config: &Value) -> Option<Map<String, Value>> {
    let mut annotations = Map::new();
    let text = |value: &Value| json!(value.as_str().map_or_else(|| value.to_string(), str::to_owned));
    let mut add = |key: &str, value: &Value| {
        let setting = settings::ALL.iter().find(|setting| setting.key == Some(key))?;
        annotations.insert(format!("{}{}", annotation::PREFIX, setting.annotation?), text(value));
        Some(())
    };
    for (name, value) in config.as_object().into_iter().flatten() {
        match value {
            _ if name == "apiVersion" || name == "kind" => {}
            Value::Object(section) => {
                section.iter().try_for_each(|(key, value)| add(&format!("{name}.{key}"), value))?;
            }
            value => add(name, value)?,
        }
    }
    Some(annotations)
}

/// The claims of the settings' defaults, and those that a pod's volumes and annotations name.
fn named(pod: &Value) -> BTreeSet<String> {
    let volumes = pod["spec"]["volumes"].as_array().map(Vec::as_slice).unwrap_or_default();
    let mounted = volumes.iter().map(|volume| &volume["persistentVolumeClaim"]["claimName"]);
    let selected = ["dynamo-cache.io/model-claim", "dynamo-cache.io/compile-claim"];
    let selected = selected.iter().map(|annotation| &pod["metadata"]["annotations"][annotation]);
    let names = mounted.chain(selected).filter_map(Value::as_str).chain(CLAIMS);
    // What is no name cannot exist.
    let is_name = |name: &&str| name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "-.".contains(c));
    names.filter(is_name).filter(|name| !name.is_empty()).map(str::to_owned).collect()
}

fn is_being_deleted(claim: &Value) -> bool {
    claim["metadata"].get("deletionTimestamp").is_some()
}

fn claim(name: &str) -> Value {
    let metadata = json!({"name": name, "annotations": {"dynamo-cache.io/writable": "true"}});
    json!({"metadata": metadata, "spec": {"accessModes": ["ReadWriteMany"]}})
}

fn yaml(file: &Path) -> Option<Value> {
    let text = fs::read_to_string(file).ok()?;
    Some(serde_saphyr::from_str(&text).unwrap_or_else(|why| panic!("{}: {why}", file.display())))
}

/// Expectations say `VERSION` where the status and the image of mode staged say ours.
fn with_version(expected: &Value) -> Value {
    let text = expected.to_string().replace("VERSION", env!("CARGO_PKG_VERSION"));
    serde_json::from_str(&text).expect("a version is a part of a text")
}
