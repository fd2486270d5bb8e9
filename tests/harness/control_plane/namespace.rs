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

    /// Creates `ReadWriteMany` claims that are marked as writable. They wait for a volume for ever: nothing here provides one.
    pub(crate) fn claims(&self, names: &[&str]) {
        let claims = names.iter().map(|name| claim(name).to_string());
        self.create(&claims.collect::<Vec<_>>().join("\n---\n")).unwrap();
    }

    /// Creates a `ReadWriteMany` claim, not proven, and the volume that it is bound to, with these fields beside the usual ones;
    /// the volume's name.
    pub(crate) fn bound_claim(&self, name: &str, fields: &Value) -> String {
        let volume = format!("{}-{name}", self.name);
        let mut spec = json!({
            "capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteMany"], "persistentVolumeReclaimPolicy": "Retain",
            "claimRef": {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "namespace": self.name, "name": name},
        });
        spec.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        let object =
            json!({"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": volume}, "spec": spec});
        self.create(&format!("{object}\n---\n{}", unproven_claim(name))).unwrap();
        let bound = "--for=jsonpath={.status.phase}=Bound";
        self.kubectl(&["wait", bound, &format!("persistentvolumeclaim/{name}"), "--timeout=60s"]).unwrap();
        volume
    }

    /// Creates the same without the mark.
    pub(crate) fn unproven_claims(&self, names: &[&str]) {
        for name in names {
            self.create(&unproven_claim(name).to_string()).unwrap();
        }
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

/// A claim that can be mounted everywhere, and that every user can write to.
pub(crate) fn claim(name: &str) -> Value {
    let metadata = json!({"name": name, "annotations": {"dynamo-cache.io/writable": "true"}});
    let spec = json!({"accessModes": ["ReadWriteMany"], "resources": {"requests": {"storage": "1Gi"}}});
    json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": metadata, "spec": spec})
}

/// The same without a word on who can write to it.
fn unproven_claim(name: &str) -> Value {
    let mut claim = claim(name);
    claim["metadata"]["annotations"].take();
    claim
}

/// The source of a volume that a CSI driver mounts, for [`Namespace::bound_claim`].
pub(crate) fn csi(driver: &str) -> Value {
    json!({"csi": {"driver": driver, "volumeHandle": "handle"}})
}

/// The same for a volume that only nodes with this label can mount; the rest of its source is in `fields`.
pub(crate) fn tied_to(label: (&str, &str), mut fields: Value) -> Value {
    let one = json!({"key": label.0, "operator": "In", "values": [label.1]});
    fields["nodeAffinity"] = json!({"required": {"nodeSelectorTerms": [{"matchExpressions": [one]}]}});
    fields
}

/// A node with this label, on which nothing runs.
pub(crate) fn node(name: &str, label: (&str, &str)) -> Value {
    // No DaemonSet of another test creates a pod for it.
    let taints = json!([{"key": "dynamo-cache.test", "effect": "NoSchedule"}]);
    let metadata = json!({"name": name, "labels": {label.0: label.1}});
    json!({"apiVersion": "v1", "kind": "Node", "metadata": metadata, "spec": {"taints": taints}})
}
