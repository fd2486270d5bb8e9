//! The search for pods in one object.

use serde_json::Value;

use super::object::name;
use super::{Pod, Template};

/// The search for pods in one object.
pub(super) struct Search<'d> {
    /// The object.
    pub(super) object: &'d Value,
    /// Its JSON Pointer in the document.
    pub(super) at: String,
    /// The pods and pod templates that were found.
    pub(super) found: Vec<Template>,
    /// The pointers of pods that only the controller knows.
    pub(super) hidden: Vec<String>,
}

impl<'d> Search<'d> {
    /// Begins the search in an object at a pointer.
    pub(super) fn new(object: &'d Value, at: String) -> Self {
        Search { object, at, found: Vec::new(), hidden: Vec::new() }
    }

    /// Adds the value at a pointer below the object as a pod template.
    pub(super) fn template(&mut self, pointer: &str) {
        let pointer = format!("{}{pointer}", self.at);
        let pod = Pod::Parts { metadata: Some(format!("{pointer}/metadata")), spec: format!("{pointer}/spec") };
        let template = self.new_template(pointer, pod);
        self.found.push(template);
    }

    /// A template without what a controller adds.
    pub(super) fn new_template(&self, pointer: String, pod: Pod) -> Template {
        let (volumes, labels, annotations) = (Vec::new(), Vec::new(), Vec::new());
        let namespace = self.object.pointer("/metadata/namespace").and_then(Value::as_str).map(str::to_owned);
        Template { name: name(self.object), pointer, namespace, pod, volumes, labels, annotations }
    }

    /// Records pods that only the controller knows.
    pub(super) fn hide(&mut self, pointer: &str) {
        self.hidden.push(pointer.to_owned());
    }

    /// Adds the claim templates at a pointer as volumes of the pods from index `from` on.
    pub(super) fn with_volumes(&mut self, from: usize, pointer: &str) {
        let claims = self.object.pointer(pointer).and_then(Value::as_array);
        let names = claims.into_iter().flatten().filter_map(|claim| claim.pointer("/metadata/name")?.as_str());
        let names: Vec<_> = names.map(str::to_owned).collect();
        for template in self.found.iter_mut().skip(from) {
            template.volumes.clone_from(&names);
        }
    }

    /// The name of the object.
    pub(super) fn own_name(&self) -> &'d str {
        self.object.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default()
    }

    /// Adds what the controller of `LeaderWorkerSet` puts on its pods, to the templates from index `from` on.
    pub(super) fn of_set(&mut self, from: usize, name: &str, size: Option<u64>) {
        for template in self.found.iter_mut().skip(from) {
            template.labels.push((SET_NAME.to_owned(), name.to_owned()));
            template.annotations.push((SET_SIZE.to_owned(), size.unwrap_or(1).to_string()));
        }
    }
}

/// The label with the set's name that `LeaderWorkerSet` puts on its pods, and the annotation with the pods in a group.
pub(super) const SET_NAME: &str = "leaderworkerset.sigs.k8s.io/name";
pub(super) const SET_SIZE: &str = "leaderworkerset.sigs.k8s.io/size";
