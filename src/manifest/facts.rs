//! What the cluster knows of the pods' namespace, or files in its place: annotations and claims.

pub(crate) mod declared;

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use k8s_openapi::jiff::Timestamp;
use serde_json::Value;

use crate::admission::claim::{BINDING_TIMEOUT, BindingMode, Claim, Claims, WRITABLE, Wait, Writable};
use crate::cli::OfflineFacts;
use crate::manifest::input::Input;

/// The facts of one namespace.
#[derive(Clone, Debug, Default)]
pub(crate) struct Facts {
    /// The namespace's annotations.
    pub(crate) namespace: Vec<(String, String)>,
    /// The claims that exist; `None` if every claim counts as existing.
    pub(crate) claims: Option<Claims>,
}

/// What counts for the pods of one object: facts, and what the input itself declares in their namespace.
pub(crate) struct PodFacts<'f> {
    /// The namespace's annotations.
    pub(crate) annotations: Cow<'f, [(String, String)]>,
    /// The claims that exist; `None` if every claim counts as existing.
    claims: Option<&'f Claims>,
    /// Claims of the same input as the pods. They count if every claim counts as existing.
    declared: Option<&'f Claims>,
}

impl<'f> PodFacts<'f> {
    /// What is known of the claims that a pod asks for.
    pub(crate) fn claims_for<'n>(&self, names: impl Iterator<Item = &'n str>) -> Cow<'f, Claims> {
        if let Some(claims) = self.claims {
            return Cow::Borrowed(claims);
        }
        let fact = |name: &str| self.declared.and_then(|declared| declared.get(name)).cloned().unwrap_or_default();
        Cow::Owned(names.map(|name| (name.to_owned(), fact(name))).collect())
    }
}

impl Facts {
    /// Reads the files and values that options give.
    ///
    /// # Errors
    /// Which file cannot be read, and where in it.
    pub(crate) fn from_options(options: &OfflineFacts) -> anyhow::Result<Facts> {
        let mut namespace = options.namespace_file.as_deref().map(annotations).transpose()?.unwrap_or_default();
        for (key, value) in &options.namespace_annotation {
            namespace.retain(|(earlier, _)| earlier != key);
            namespace.push((key.clone(), value.clone()));
        }
        let mut found = options.claims.as_deref().map(claims).transpose()?;
        for (name, access) in &options.claim {
            let claim = Claim { access: *access, ..Claim::default() };
            found.get_or_insert_with(Claims::new).insert(name.clone(), claim);
        }
        Ok(Facts { namespace, claims: found })
    }

    /// The same with every claim proven to be writable.
    pub(crate) fn with_proven_claims(mut self) -> Facts {
        for claim in self.claims.iter_mut().flat_map(Claims::values_mut) {
            claim.writable = Writable::Everybody;
        }
        self
    }

    /// Reads the facts from the Namespace object, if it could be read, and the objects of its claims. Without the
    /// StorageClasses, every claim that waits for a volume counts as one that gets it.
    pub(crate) fn from_objects(namespace: Option<&Value>, claims: &[Value], classes: Option<&StorageClasses>) -> Facts {
        let named = claims.iter().filter_map(|object| {
            Some((object.pointer("/metadata/name")?.as_str()?.to_owned(), claim(object, classes)))
        });
        Facts { claims: Some(named.collect()), ..Facts::from_namespace(namespace) }
    }

    /// Reads the annotations of the Namespace object, if it could be read; the claims stay unknown.
    pub(crate) fn from_namespace(namespace: Option<&Value>) -> Facts {
        let annotations = namespace.and_then(|object| object.pointer("/metadata/annotations")?.as_object());
        let annotations = annotations.into_iter().flatten();
        let annotations = annotations.filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned())));
        Facts { namespace: annotations.collect(), claims: None }
    }
}

/// The binding mode of each StorageClass, by name.
#[derive(Clone, Debug, Default)]
pub(crate) struct StorageClasses(BTreeMap<String, BindingMode>);

impl StorageClasses {
    /// Reads StorageClass objects from the API or from a file.
    pub(crate) fn from_objects<'o>(objects: impl IntoIterator<Item = &'o Value>) -> StorageClasses {
        let class = |object: &Value| {
            let mode = BindingMode::named(object.get("volumeBindingMode").and_then(Value::as_str));
            Some((object.pointer("/metadata/name")?.as_str()?.to_owned(), mode))
        };
        StorageClasses(objects.into_iter().filter_map(class).collect())
    }
}

/// Reads the annotations of the one Namespace in a file.
fn annotations(file: &Path) -> anyhow::Result<Vec<(String, String)>> {
    let input = Input::read(file)?;
    let documents = input.documents()?;
    let [document] = documents.as_slice() else {
        anyhow::bail!("{}: expected one Namespace, found {} documents", input.name, documents.len());
    };
    if kind(&document.value) != "Namespace" {
        return Err(input.error([format!("{}: expected a Namespace", document.at)]));
    }
    let annotations = document.value.pointer("/metadata/annotations").and_then(Value::as_object);
    let text = |(key, value): (&String, &Value)| match value.as_str() {
        Some(value) => Ok((key.clone(), value.to_owned())),
        None => Err(input.error([format!("{}: the value of annotation {key} must be text, in quotes", document.at)])),
    };
    annotations.into_iter().flatten().map(text).collect()
}

/// Reads the claims in a file, which may contain StorageClasses too.
fn claims(file: &Path) -> anyhow::Result<Claims> {
    let input = Input::read(file)?;
    let documents = input.documents()?;
    let (mut claims, mut classes, mut namespaces) = (Vec::new(), Vec::new(), BTreeSet::new());
    for document in &documents {
        let whole = &document.value;
        let items = whole.get("items").and_then(Value::as_array).filter(|_| kind(whole).ends_with("List"));
        for object in items.map_or(std::slice::from_ref(whole), Vec::as_slice) {
            // Items of a typed list, such as a PersistentVolumeClaimList, do not repeat their kind.
            let kind = if kind(object).is_empty() { kind(whole).trim_end_matches("List") } else { kind(object) };
            let name = object.pointer("/metadata/name").and_then(Value::as_str);
            match (kind, name) {
                ("PersistentVolumeClaim", Some(name)) => claims.push((name, object)),
                ("StorageClass", Some(_)) => classes.push(object),
                _ => {
                    let what = "expected only PersistentVolumeClaims and StorageClasses";
                    return Err(input.error([format!("{}: {what}", document.at)]));
                }
            }
            let namespace = object.pointer("/metadata/namespace").and_then(Value::as_str);
            namespaces.extend(namespace.map(str::to_owned));
        }
    }
    if namespaces.len() > 1 {
        let namespaces = namespaces.into_iter().collect::<Vec<_>>().join(", ");
        anyhow::bail!(
            "{}: claims of several namespaces ({namespaces}); pass those of the pods' namespace only: kubectl get pvc -n NAMESPACE -o yaml",
            input.name
        );
    }
    let classes = (!classes.is_empty()).then(|| StorageClasses::from_objects(classes));
    Ok(claims.into_iter().map(|(name, object)| (name.to_owned(), claim(object, classes.as_ref()))).collect())
}

fn claim(object: &Value, classes: Option<&StorageClasses>) -> Claim {
    let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str);
    let modes = object.pointer("/spec/accessModes").and_then(Value::as_array);
    let modes = modes.into_iter().flatten().filter_map(Value::as_str);
    let deleted = text("/metadata/deletionTimestamp").is_some();
    let annotations = object.pointer("/metadata/annotations");
    let writable = annotations.and_then(|annotations| annotations.get(WRITABLE)?.as_str());
    let mut claim = Claim::new(deleted, text("/status/phase"), text("/spec/volumeMode"), modes, writable);
    let waited = text("/metadata/creationTimestamp").filter(|_| text("/status/phase") == Some("Pending")).and_then(age);
    if let (Some(classes), Some(class), Some(waited)) = (classes, text("/spec/storageClassName"), waited) {
        claim.binding = Wait { class, waited }.binding(BINDING_TIMEOUT, |class| classes.0.get(class).copied());
    }
    claim
}

/// The time since a timestamp; `None` if it lies in the future.
fn age(created: &str) -> Option<Duration> {
    let created = created.parse::<Timestamp>().ok()?;
    Duration::try_from(Timestamp::now().duration_since(created)).ok()
}

fn kind(object: &Value) -> &str {
    object.get("kind").and_then(Value::as_str).unwrap_or_default()
}
