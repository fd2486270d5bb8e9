//! Our annotations on the namespaces that opted in; nothing else of a namespace is asked for or kept.

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::api::core::v1::Namespace;
use kube::{Client, Resource as _};
use serde::Deserialize;
use tokio::sync::watch;

use super::collection::{self, Collection};
use super::projection::Fields;
use super::skipped::Skipped;
use super::store::{Limits, Store};
use crate::admission::annotation::PREFIX;
use crate::cluster::read_through::{Budget, Live};
use crate::metrics::{Kind, Metrics};

/// Bytes of our annotations on one namespace. All of our settings together take less than a tenth.
const ANNOTATIONS: usize = 64 * 1024;

/// Bytes of all namespaces that are stored.
const STORED: usize = 16 << 20;

/// Names and values.
type Annotations = Arc<[(String, String)]>;

/// The annotations of namespaces.
#[derive(Debug)]
pub struct Namespaces {
    /// Of metadata alone: the API server sends no more.
    collection: Arc<Collection>,
    /// None stands for annotations that are not known.
    store: Store<Option<Annotations>>,
    live: Live<Annotations>,
    /// Whether all of them were ever known.
    listed: watch::Sender<bool>,
    metrics: Arc<Metrics>,
}

/// What is read of a namespace. Each field is one of `fields` too: nothing else arrives here.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Narrow {
    metadata: Metadata,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Metadata {
    annotations: BTreeMap<String, String>,
}

/// The fields of `Narrow`: of annotations our own, for others may be of any size.
fn fields() -> Fields {
    collection::object(vec![("annotations", Fields::Strings(PREFIX, ANNOTATIONS))], Vec::new())
}

fn read(text: &[u8]) -> Result<Annotations, serde_json::Error> {
    let Narrow { metadata } = serde_json::from_slice(text)?;
    Ok(metadata.annotations.into_iter().collect())
}

/// Bytes of annotations, and of the two strings of each.
fn weigh(annotations: &[(String, String)]) -> usize {
    annotations.iter().map(|(name, value)| name.len() + value.len() + size_of::<(String, String)>()).sum()
}

impl Namespaces {
    /// Those that a label selector selects: whom the webhook is called for.
    pub(super) fn of(client: &Client, selector: &str, budget: &Arc<Budget>, metrics: &Arc<Metrics>) -> Self {
        let weigh = |known: &Option<Annotations>| known.as_deref().map_or(0, weigh);
        let limits = Limits { bytes: STORED, weigh, unknown: Some(None) };
        let collection = Collection::new(client, Namespace::url_path(&(), None), true, fields());
        Namespaces {
            collection: Arc::new(collection.labelled(selector)),
            store: Store::new(limits, Skipped::new(Kind::Namespace, metrics)),
            live: Live::new(Kind::Namespace, budget, metrics),
            listed: watch::Sender::new(false),
            metrics: Arc::clone(metrics),
        }
    }

    /// Watches, for ever. `tell` is called whenever all of them are known, and when the watch fails.
    pub async fn follow(&self, tell: impl Fn(Result<(), String>)) {
        let tell = |known: Result<(), String>| {
            if known.is_ok() {
                self.listed.send_replace(true);
            }
            tell(known);
        };
        let read = |text: &[u8]| read(text).map(Some);
        self.store.follow(&self.collection, read, (Kind::Namespace, &self.metrics), tell).await;
    }

    /// Whether a namespace is known to have opted in; one that did a moment ago is not yet.
    pub(super) fn has(&self, name: &str) -> bool {
        self.store.find("", name).is_some()
    }

    /// The names of those that opted in, as soon as all of them are known.
    pub(super) async fn opted_in(&self) -> Vec<Box<str>> {
        // Its sender is here, so it never ends before.
        let _ = self.listed.subscribe().wait_for(|listed| *listed).await;
        self.store.names("")
    }

    /// Our annotations on a namespace; none where they are not known. Of one that opted in a moment ago, or never, or whose
    /// annotations could not be read, they are read.
    pub(super) async fn annotations(&self, name: &str) -> Annotations {
        if let Some(Some(annotations)) = self.store.find("", name) {
            return annotations;
        }
        self.live.object::<Namespace>(&self.collection, (None, name), read).await.unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{ANNOTATIONS, fields, read};
    use crate::cluster::projection::{Kept, Part, Projection};

    fn kept(object: &serde_json::Value) -> Kept {
        let (json, fields) = (object.to_string(), fields());
        let Ok(Some(Part::Document(kept))) = Projection::new(&fields).advance(&mut json.as_bytes()) else {
            panic!("one document")
        };
        kept
    }

    #[test]
    fn of_a_namespace_our_annotations_are_read_and_no_others() {
        let annotations =
            json!({"dynamo-cache.io/skip": "compile", "dynamo-cache.io/number": 7, "large": "x".repeat(1 << 20)});
        let kept = kept(&json!({"metadata": {"name": "a", "annotations": annotations, "managedFields": "none"}}));
        assert!(!kept.cut && kept.text.len() < 200);
        assert_eq!(*read(&kept.text).unwrap(), [("dynamo-cache.io/skip".to_owned(), "compile".to_owned())]);
    }

    #[test]
    fn annotations_of_ours_without_measure_are_not_taken() {
        let annotations = json!({"dynamo-cache.io/skip": "x".repeat(ANNOTATIONS)});
        let kept = kept(&json!({"metadata": {"name": "a", "annotations": annotations}}));
        assert!(kept.cut && kept.text.len() < 200);
    }
}
