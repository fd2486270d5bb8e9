//! The dynamo-cache annotations of the namespaces that opted in. Nothing else of a namespace is requested or stored.

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::api::core::v1::Namespace;
use kube::{Client, Resource as _};
use serde::Deserialize;
use smol_str::SmolStr;
use tokio::sync::watch;

use super::collection::{self, Collection};
use super::projection::Fields;
use super::store::{Limits, Store};
use crate::admission::annotation::PREFIX;
use crate::admission::dns_name;
use crate::cluster::read_through::{Budget, ReadThrough};
use crate::cluster::skipped_objects::Skipped;
use crate::metrics::{Kind, Metrics};

/// The most bytes of dynamo-cache annotations on one namespace. All settings together take less than a tenth.
const MAX_ANNOTATIONS: usize = 64 * 1024;

/// The most bytes of stored namespaces.
const MAX_STORED: usize = 16 << 20;

/// The annotations of namespaces that opted in.
#[derive(Debug)]
pub struct Namespaces {
    /// Requests metadata only.
    collection: Arc<Collection>,
    store: Store<StoredNamespace>,
    read_through: ReadThrough<Arc<[(String, String)]>>,
    /// Whether a list was ever complete.
    listed: watch::Sender<bool>,
    metrics: Arc<Metrics>,
}

/// A stored namespace.
#[derive(Clone, Debug)]
struct StoredNamespace {
    /// Names and values. `None` if the annotations could not be parsed.
    annotations: Option<Arc<[(String, String)]>>,
}

/// The fields of a namespace. `fields` has the same list, so nothing else is deserialized.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct RawNamespace {
    metadata: Metadata,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Metadata {
    annotations: BTreeMap<String, String>,
}

/// The fields of `RawNamespace`. Annotations without our prefix are skipped, because they may be of any size.
fn fields() -> Fields {
    collection::object_fields(vec![("annotations", Fields::Strings(PREFIX, MAX_ANNOTATIONS))], Vec::new())
}

fn read(text: &[u8]) -> Result<Arc<[(String, String)]>, serde_json::Error> {
    let RawNamespace { metadata } = serde_json::from_slice(text)?;
    Ok(metadata.annotations.into_iter().collect())
}

/// The bytes of annotations: their text, and two strings each.
fn weigh(annotations: &[(String, String)]) -> usize {
    annotations.iter().map(|(name, value)| name.len() + value.len() + size_of::<(String, String)>()).sum()
}

impl Namespaces {
    /// The namespaces that a label selector selects: those for which the webhook is called.
    pub(super) fn new(client: &Client, selector: &str, budget: &Arc<Budget>, metrics: &Arc<Metrics>) -> Self {
        let weigh = |stored: &StoredNamespace| stored.annotations.as_deref().map_or(0, weigh);
        let unknown = Some(StoredNamespace { annotations: None });
        let limits = Limits { bytes: MAX_STORED, weigh, unknown };
        let collection = Collection::new(client, Namespace::url_path(&(), None), true, fields());
        Namespaces {
            collection: Arc::new(collection.with_labels(selector)),
            store: Store::new(limits, Skipped::new(Kind::Namespace, metrics)),
            read_through: ReadThrough::new(Kind::Namespace, budget, metrics),
            listed: watch::Sender::new(false),
            metrics: Arc::clone(metrics),
        }
    }

    /// Watches namespaces for ever. `on_change` gets `Ok` with each complete list and the reason when the watch fails.
    pub async fn follow(&self, on_change: impl Fn(Result<(), String>)) {
        let on_change = |known: Result<(), String>| {
            if known.is_ok() {
                self.listed.send_replace(true);
            }
            on_change(known);
        };
        let read = |text: &[u8]| Ok(StoredNamespace { annotations: Some(read(text)?) });
        self.store.follow(&self.collection, read, Kind::Namespace, &self.metrics, on_change).await;
    }

    /// Whether a namespace is known to have opted in. The watch delivers a new one after a moment.
    pub(super) fn contains(&self, name: &str) -> bool {
        dns_name::is_label(name) && self.store.contains("", name)
    }

    /// The names of the namespaces that opted in. Waits for the first complete list.
    pub(super) async fn opted_in(&self) -> Vec<SmolStr> {
        // The sender belongs to `self`, so this cannot fail.
        let _ = self.listed.subscribe().wait_for(|listed| *listed).await;
        self.store.names("")
    }

    /// The dynamo-cache annotations of a namespace, or none if they cannot be determined. They are read from the API
    /// server if the watch has not delivered the namespace, or if its annotations could not be parsed.
    pub(super) async fn annotations(&self, name: &str) -> Arc<[(String, String)]> {
        if let Some(StoredNamespace { annotations: Some(annotations) }) = self.store.get("", name) {
            return annotations;
        }
        self.read_through.get::<Namespace>(&self.collection, None, name, read).await.unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{MAX_ANNOTATIONS, fields, read};
    use crate::cluster::projection::{Part, Projected, Projection};

    fn kept(object: &serde_json::Value) -> Projected {
        let (json, fields) = (object.to_string(), fields());
        let Ok(Some(Part::Document(kept))) = Projection::new(&fields).advance(&mut json.as_bytes()) else {
            panic!("one document")
        };
        kept
    }

    #[test]
    fn only_dynamo_cache_annotations_of_a_namespace_are_read() {
        let annotations =
            json!({"dynamo-cache.io/skip": "compile", "dynamo-cache.io/number": 7, "large": "x".repeat(1 << 20)});
        let kept = kept(&json!({"metadata": {"name": "a", "annotations": annotations, "managedFields": "none"}}));
        assert!(!kept.truncated && kept.text.len() < 200);
        assert_eq!(*read(&kept.text).unwrap(), [("dynamo-cache.io/skip".to_owned(), "compile".to_owned())]);
    }

    #[test]
    fn dynamo_cache_annotations_beyond_the_limit_are_cut() {
        let annotations = json!({"dynamo-cache.io/skip": "x".repeat(MAX_ANNOTATIONS)});
        let kept = kept(&json!({"metadata": {"name": "a", "annotations": annotations}}));
        assert!(kept.truncated && kept.text.len() < 200);
    }
}
