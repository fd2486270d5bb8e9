//! Namespaces and claims in the same input as the pods: what the cluster will know once the input is applied.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::{Facts, PodFacts, StorageClasses, claim};
use crate::admission::annotation::PREFIX;
use crate::admission::claim::Claims;
use crate::manifest::pod_templates;
use crate::manifest::pod_templates::visit;
use crate::manifest::report::few;
use crate::yaml;

/// The Namespaces and claims of an input.
#[derive(Clone, Debug, Default)]
pub(crate) struct Declared {
    /// The annotations of each Namespace, by name.
    namespaces: BTreeMap<String, Vec<(String, String)>>,
    /// The claims of each namespace, by its name; of objects without one, by nothing.
    claims: BTreeMap<String, Claims>,
}

impl Declared {
    /// Whether a text has a word without which it declares nothing.
    pub(crate) fn may_be_in(text: &str) -> bool {
        ["Namespace", "PersistentVolumeClaim", "StorageClass", "pvcs"].iter().any(|word| text.contains(word))
    }

    /// Collects them from documents.
    pub(crate) fn from_documents<'d>(documents: impl Iterator<Item = &'d Value>) -> Declared {
        let (mut namespaces, mut claims, mut classes) = (BTreeMap::new(), Vec::new(), Vec::new());
        for document in documents {
            visit(document, &mut |object, kind, _| {
                let Some(name) = object.pointer("/metadata/name").and_then(Value::as_str) else { return };
                if kind.is("", "Namespace") {
                    let mut annotations = Facts::from_namespace(Some(object)).namespace;
                    annotations.retain(|(key, _)| key.starts_with(PREFIX));
                    namespaces.insert(name.to_owned(), annotations);
                } else if kind.is("", "PersistentVolumeClaim") {
                    claims.push((name.to_owned(), Cow::Borrowed(object)));
                } else if kind.is("storage.k8s.io", "StorageClass") {
                    classes.push(object);
                }
                claims.extend(
                    pod_templates::claims(object, kind).into_iter().map(|(name, claim)| (name, Cow::Owned(claim))),
                );
            });
        }
        let classes = (!classes.is_empty()).then(|| StorageClasses::from_objects(classes));
        let mut declared = Declared { namespaces, claims: BTreeMap::new() };
        for (name, object) in claims {
            let namespace = declared.namespace_of(namespace(&object)).to_owned();
            declared.claims.entry(namespace).or_default().insert(name, claim(&object, classes.as_ref()));
        }
        declared
    }

    /// What counts for the pods of an object in a namespace, with the facts that options give. Options win: annotations each by
    /// its name, claims as a whole.
    pub(crate) fn facts_of<'f>(&'f self, facts: &'f Facts, namespace: Option<&str>) -> PodFacts<'f> {
        let namespace = self.namespace_of(namespace);
        let mut annotations = Cow::Borrowed(facts.namespace.as_slice());
        for (key, value) in self.namespaces.get(namespace).into_iter().flatten() {
            if !facts.namespace.iter().any(|(known, _)| known == key) {
                annotations.to_mut().push((key.clone(), value.clone()));
            }
        }
        PodFacts { annotations, claims: facts.claims.as_ref(), declared: self.claims.get(namespace) }
    }

    /// The line that says what counts for the pods in some namespaces, unless options say otherwise.
    pub(crate) fn note(&self, facts: &Facts, namespaces: &BTreeSet<Option<&str>>) -> Option<String> {
        let used: BTreeSet<_> = namespaces.iter().map(|namespace| self.namespace_of(*namespace)).collect();
        let names = self.namespaces.keys().filter(|name| used.contains(name.as_str()));
        let mut names: Vec<_> = names.map(|name| format!("Namespace/{name}")).collect();
        if facts.claims.is_none() {
            let claims = used.iter().filter_map(|name| self.claims.get(*name)).flat_map(Claims::keys);
            names.extend(claims.map(|name| format!("PersistentVolumeClaim/{name}")));
        }
        (!names.is_empty()).then(|| {
            let names = few(&names);
            format!("facts from the input itself: {names}; --namespace-annotation, --claim and --claims override them")
        })
    }

    /// The namespace of an object. One without is taken for an object of the only Namespace of the input, if there is one.
    fn namespace_of<'n>(&'n self, namespace: Option<&'n str>) -> &'n str {
        let mut names = self.namespaces.keys();
        match (namespace, names.next(), names.next()) {
            (Some(namespace), ..) => namespace,
            (None, Some(only), None) => only,
            _ => "",
        }
    }
}

/// Something in a Namespace or claim that counts, and has another type than it should.
pub(crate) struct Mistake {
    /// The object.
    pub(crate) name: String,
    /// The JSON Pointer of the value.
    pub(crate) pointer: String,
    /// What is wrong.
    pub(crate) message: String,
}

/// Finds an annotation of ours that is no text, or access modes that are no list, in the Namespaces and claims of a document.
pub(crate) fn find_mistake(document: &Value) -> Option<Mistake> {
    let mut mistakes = Vec::new();
    visit(document, &mut |object, kind, at| {
        let is_claim = kind.is("", "PersistentVolumeClaim");
        if !is_claim && !kind.is("", "Namespace") {
            return;
        }
        let mut mistake = |below: &str, value: &Value, expected: &str| {
            let path = below.trim_start_matches('/').replace('/', ".").replace("~1", "/");
            let message = format!("{path}: invalid type: {}, expected {expected}", yaml::kind(value));
            mistakes.push(Mistake { name: pod_templates::name(object), pointer: format!("{at}{below}"), message });
        };
        let annotations = object.pointer("/metadata/annotations").and_then(Value::as_object);
        let ours = annotations.into_iter().flatten().filter(|(key, _)| key.starts_with(PREFIX));
        for (key, value) in ours.filter(|(_, value)| !value.is_string() && !value.is_null()) {
            mistake(&format!("/metadata/annotations/{}", pod_templates::escape(key)), value, "a string");
        }
        let modes = object.pointer("/spec/accessModes").filter(|modes| is_claim && !modes.is_array());
        if let Some(modes) = modes.filter(|modes| !modes.is_null()) {
            mistake("/spec/accessModes", modes, "a list");
        }
    });
    mistakes.into_iter().next()
}

/// The namespace in the metadata of an object.
pub(crate) fn namespace(object: &Value) -> Option<&str> {
    object.pointer("/metadata/namespace").and_then(Value::as_str)
}
