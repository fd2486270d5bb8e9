//! The StorageClasses of the cluster, each reduced to its volume binding mode.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use k8s_openapi::api::storage::v1::StorageClass;
use kube::{Client, Resource as _};
use serde::Deserialize;
use tokio::sync::watch;

use super::collection::{self, Collection};
use super::projection::Fields;
use super::store::{Limits, Store};
use crate::admission::claim::BindingMode;
use crate::cluster::skipped_objects::Skipped;
use crate::metrics::{Kind, Metrics};

/// The most bytes of stored StorageClasses: enough for thousands. Only administrators create them.
const MAX_STORED: usize = 1 << 20;

/// The most bytes of the name of a mode.
const MAX_VALUE: usize = 256;

/// The StorageClasses of the cluster.
pub(super) struct StorageClasses {
    collection: Collection,
    store: Store<BindingMode>,
    /// Whether a list was ever complete.
    listed: watch::Sender<bool>,
    metrics: Arc<Metrics>,
}

/// The fields of a StorageClass. `fields` has the same list, so nothing else is deserialized.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct RawStorageClass<'a> {
    #[serde(borrow)]
    volume_binding_mode: Option<Cow<'a, str>>,
}

/// The fields of `RawStorageClass`.
fn fields() -> Fields {
    collection::object_fields(Vec::new(), vec![("volumeBindingMode", Fields::Text(MAX_VALUE))])
}

fn read(text: &[u8]) -> Result<BindingMode, serde_json::Error> {
    let RawStorageClass { volume_binding_mode } = serde_json::from_slice(text)?;
    Ok(BindingMode::named(volume_binding_mode.as_deref()))
}

impl StorageClasses {
    pub(super) fn new(client: &Client, metrics: &Arc<Metrics>) -> Self {
        let limits = Limits { bytes: MAX_STORED, weigh: |_| 0, unknown: Some(BindingMode::WaitForFirstConsumer) };
        StorageClasses {
            collection: Collection::new(client, StorageClass::url_path(&(), None), false, fields()),
            store: Store::new(limits, Skipped::new(Kind::StorageClass, metrics)),
            listed: watch::Sender::new(false),
            metrics: Arc::clone(metrics),
        }
    }

    /// Watches StorageClasses for ever. `on_change` gets `Ok` with each complete list and the reason when the watch
    /// fails.
    pub(super) async fn follow(&self, on_change: impl Fn(Result<(), String>)) {
        let on_change = |known: Result<(), String>| {
            if known.is_ok() {
                self.listed.send_replace(true);
            }
            on_change(known);
        };
        self.store.follow(&self.collection, read, Kind::StorageClass, &self.metrics, on_change).await;
    }

    /// The binding mode of a class, or `None` if the class does not exist. Before the first complete list every class
    /// counts as one that waits for a pod, so that no claim is skipped for lack of knowledge.
    pub(super) fn mode(&self, class: &str) -> Option<BindingMode> {
        match self.store.get("", class) {
            None if !*self.listed.borrow() => Some(BindingMode::WaitForFirstConsumer),
            found => found,
        }
    }
}

impl fmt::Debug for StorageClasses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StorageClasses").finish_non_exhaustive()
    }
}
