//! What a cluster knows, or by files would know: the namespace's annotations, which claims exist.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::Value;

use crate::admission::claim::{Claim, Claims};
use crate::cli::Known;
use crate::command::input::Input;

/// What a cluster knows of the pods' namespace.
#[derive(Clone, Debug, Default)]
pub(super) struct Facts {
    /// The namespace's annotations.
    pub(super) namespace: Vec<(String, String)>,
    /// The claims that exist; none: all that are asked for.
    pub(super) claims: Option<Claims>,
}

impl Facts {
    /// Reads the files that options name.
    ///
    /// # Errors
    /// Which file cannot be read, and where in it.
    pub(super) fn gather(known: &Known) -> anyhow::Result<Facts> {
        let mut namespace = known.namespace_file.as_deref().map(annotations).transpose()?.unwrap_or_default();
        for (key, value) in &known.namespace_annotation {
            namespace.retain(|(known, _)| known != key);
            namespace.push((key.clone(), value.clone()));
        }
        let mut found = known.claims.as_deref().map(claims).transpose()?;
        for (name, access) in &known.claim {
            let claim = Claim { access: *access, ..Claim::default() };
            found.get_or_insert_with(Claims::new).insert(name.clone(), claim);
        }
        Ok(Facts { namespace, claims: found })
    }

    /// What a namespace's object tells, where there is one, and the objects of its claims.
    pub(super) fn of_objects(namespace: Option<&Value>, claims: &[Value]) -> Facts {
        let named = claims
            .iter()
            .filter_map(|object| Some((object.pointer("/metadata/name")?.as_str()?.to_owned(), claim(object))));
        Facts { claims: Some(named.collect()), ..Facts::of_namespace(namespace) }
    }

    /// What a namespace's object tells, where there is one.
    pub(super) fn of_namespace(namespace: Option<&Value>) -> Facts {
        let annotations = namespace.and_then(|object| object.pointer("/metadata/annotations")?.as_object());
        let annotations = annotations.into_iter().flatten();
        let annotations = annotations.filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned())));
        Facts { namespace: annotations.collect(), claims: None }
    }
}

/// The annotations of the namespace in a file.
fn annotations(file: &Path) -> anyhow::Result<Vec<(String, String)>> {
    let input = Input::read(file)?;
    let documents = input.documents()?;
    let [document] = documents.as_slice() else {
        anyhow::bail!("{}: one Namespace is expected, not {} documents", input.name, documents.len());
    };
    if kind(&document.value) != "Namespace" {
        return Err(input.wrong([format!("{}: a Namespace is expected", document.at)]));
    }
    let annotations = document.value.pointer("/metadata/annotations").and_then(Value::as_object);
    let text = |(key, value): (&String, &Value)| match value.as_str() {
        Some(value) => Ok((key.clone(), value.to_owned())),
        None => Err(input.wrong([format!("{}: the value of annotation {key} must be text, in quotes", document.at)])),
    };
    annotations.into_iter().flatten().map(text).collect()
}

/// The claims in a file.
fn claims(file: &Path) -> anyhow::Result<Claims> {
    let input = Input::read(file)?;
    let (mut claims, mut namespaces) = (Claims::new(), BTreeSet::new());
    for document in input.documents()? {
        let whole = &document.value;
        let items = whole.get("items").and_then(Value::as_array).filter(|_| kind(whole).ends_with("List"));
        // Items of a PersistentVolumeClaimList do not repeat their kind.
        let in_typed_list = kind(whole) == "PersistentVolumeClaimList";
        for object in items.map_or(std::slice::from_ref(whole), Vec::as_slice) {
            let is_claim = kind(object) == "PersistentVolumeClaim" || (in_typed_list && kind(object).is_empty());
            let namespace = object.pointer("/metadata/namespace").and_then(Value::as_str);
            namespaces.extend(namespace.map(str::to_owned));
            match object.pointer("/metadata/name").and_then(Value::as_str) {
                Some(name) if is_claim => claims.insert(name.to_owned(), claim(object)),
                _ => return Err(input.wrong([format!("{}: only PersistentVolumeClaims are expected", document.at)])),
            };
        }
    }
    if namespaces.len() > 1 {
        let namespaces = namespaces.into_iter().collect::<Vec<_>>().join(", ");
        anyhow::bail!(
            "{}: claims of several namespaces ({namespaces}); give those of the pods' own: kubectl get pvc -n NAMESPACE -o yaml",
            input.name
        );
    }
    Ok(claims)
}

fn claim(object: &Value) -> Claim {
    let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str);
    let modes = object.pointer("/spec/accessModes").and_then(Value::as_array);
    let modes = modes.into_iter().flatten().filter_map(Value::as_str);
    let deleted = text("/metadata/deletionTimestamp").is_some();
    Claim::of(deleted, text("/status/phase"), text("/spec/volumeMode"), modes)
}

fn kind(object: &Value) -> &str {
    object.get("kind").and_then(Value::as_str).unwrap_or_default()
}
