//! A namespace of its own for a test.

use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Map, Value, json};

use super::{ControlPlane, Output};
use crate::harness::program::Run;
use crate::harness::wait_for;

/// A namespace, ready for pods.
pub(crate) struct Namespace<'p> {
    plane: &'p ControlPlane,
    /// What it is called: after the test, so that a log can be read.
    pub(crate) name: String,
}

impl<'p> Namespace<'p> {
    /// A namespace that asks for caches, with these annotations after `dynamo-cache.io/`.
    pub(crate) fn opted_in(plane: &'p ControlPlane, annotations: &[(&str, &str)]) -> Self {
        let annotations = annotations.iter().map(|(name, value)| (format!("dynamo-cache.io/{name}"), json!(value)));
        Self::new(plane, &json!({"dynamo-cache.io/inject": "enabled"}), &annotations.collect())
    }

    /// A namespace that asks for nothing, with these annotations after `dynamo-cache.io/` all the same.
    pub(crate) fn annotated(plane: &'static ControlPlane, annotations: &[(&str, &str)]) -> Self {
        let annotations = annotations.iter().map(|(name, value)| (format!("dynamo-cache.io/{name}"), json!(value)));
        Self::new(plane, &json!({}), &annotations.collect())
    }

    /// A namespace that asks for nothing.
    pub(crate) fn plain(plane: &'p ControlPlane) -> Self {
        Self::new(plane, &json!({}), &Map::new())
    }

    fn new(plane: &'p ControlPlane, labels: &Value, annotations: &Map<String, Value>) -> Self {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let test = std::thread::current().name().unwrap_or_default().replace('_', "-");
        let test: String = test.rsplit("::").next().unwrap_or_default().chars().take(50).collect();
        let name = format!("t{}-{test}", NUMBER.fetch_add(1, Ordering::Relaxed));
        let name = name.trim_end_matches('-').to_owned();
        let metadata = json!({"name": name, "labels": labels, "annotations": annotations});
        let file = plane.file(&json!({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata}).to_string());
        plane.kubectl(&["create", "-f", &file]).unwrap();
        // The API server creates no pod before this is there, and the controller manager takes a moment.
        let wait = ["wait", "--for=create", "serviceaccount/default", "--timeout=60s", "--namespace", &name];
        plane.kubectl(&wait).unwrap();
        Namespace { plane, name }
    }

    /// Creates `ReadWriteMany` claims, which wait for a volume for ever: nothing here provides one.
    pub(crate) fn claims(&self, names: &[&str]) {
        let claims = names.iter().map(|name| claim(name).to_string());
        self.create(&claims.collect::<Vec<_>>().join("\n---\n")).unwrap();
    }

    /// Applies manifests, in YAML or JSON.
    ///
    /// # Errors
    /// What kubectl said, where it failed.
    pub(crate) fn apply(&self, manifests: &str) -> Result<Output, String> {
        self.plane.kubectl(&["apply", "--namespace", &self.name, "-f", &self.plane.file(manifests)])
    }

    /// Creates what manifests describe, in YAML or JSON.
    ///
    /// # Errors
    /// What kubectl said, where it failed.
    pub(crate) fn create(&self, manifests: &str) -> Result<Output, String> {
        self.plane.kubectl(&["create", "--namespace", &self.name, "-f", &self.plane.file(manifests)])
    }

    /// Has it deleted, and does not wait until it is gone.
    pub(crate) fn delete(&self) {
        self.plane.kubectl(&["delete", "namespace", &self.name, "--wait=false"]).unwrap();
    }

    /// Runs kubectl in this namespace.
    ///
    /// # Errors
    /// What it said, where it failed.
    pub(crate) fn kubectl(&self, arguments: &[&str]) -> Result<Output, String> {
        self.plane.kubectl(&[&["--namespace", &self.name], arguments].concat())
    }

    /// Runs dynamo-cache in this namespace.
    pub(crate) fn dynamo_cache(&self, arguments: &[&str]) -> Run {
        self.plane.dynamo_cache(&[arguments, &["--namespace", &self.name]].concat())
    }

    /// What a pod would be stored as; it is not created.
    pub(crate) fn dry_run(&self, pod: &str) -> Value {
        let file = self.plane.file(pod);
        let create = ["create", "--dry-run=server", "--output=json", "--namespace", &self.name, "-f", &file];
        serde_json::from_str(&self.plane.kubectl(&create).unwrap().out).unwrap()
    }

    /// A stored pod.
    pub(crate) fn pod(&self, name: &str) -> Value {
        self.plane.read(&["pod", name, "--namespace", &self.name])
    }

    /// The first pod that a controller has stored with this label.
    pub(crate) fn pod_of_controller(&self, label: &str) -> Value {
        wait_for(&format!("a pod with label {label} in {}", self.name), || {
            let mut list = self.plane.read(&["pods", "--namespace", &self.name, "--selector", label]);
            list["items"].get_mut(0).map(Value::take).ok_or("there is none".to_owned())
        })
    }
}

/// A claim that can be mounted everywhere.
pub(crate) fn claim(name: &str) -> Value {
    let spec = json!({"accessModes": ["ReadWriteMany"], "resources": {"requests": {"storage": "1Gi"}}});
    json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": name}, "spec": spec})
}
