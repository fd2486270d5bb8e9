//! The StorageClasses of the cluster: when each binds the claims that name it.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use k8s_openapi::api::storage::v1::StorageClass;
use kube::{Client, Resource as _};
use serde::Deserialize;
use tokio::sync::watch;

use super::collection::{self, Collection};
use super::projection::Fields;
use super::skipped::Skipped;
use super::store::{Limits, Store};
use crate::admission::claim::BindingMode;
use crate::metrics::{Kind, Metrics};

/// Bytes of all StorageClasses that are stored: thousands. Only an administrator creates them.
const STORED: usize = 1 << 20;

/// Bytes of a mode's name.
const WORD: usize = 256;

/// The StorageClasses of the cluster.
pub(super) struct StorageClasses {
    collection: Collection,
    store: Store<BindingMode>,
    /// Whether all of them were ever known.
    listed: watch::Sender<bool>,
    metrics: Arc<Metrics>,
}

/// What is read of a StorageClass. Each field is one of `fields` too: nothing else arrives here.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Narrow<'a> {
    #[serde(borrow)]
    volume_binding_mode: Option<Cow<'a, str>>,
}

/// The fields of `Narrow`.
fn fields() -> Fields {
    collection::object(Vec::new(), vec![("volumeBindingMode", Fields::Text(WORD))])
}

fn read(text: &[u8]) -> Result<BindingMode, serde_json::Error> {
    let Narrow { volume_binding_mode } = serde_json::from_slice(text)?;
    Ok(BindingMode::named(volume_binding_mode.as_deref()))
}

impl StorageClasses {
    pub(super) fn new(client: &Client, metrics: &Arc<Metrics>) -> Self {
        let limits = Limits { bytes: STORED, weigh: |_| 0, unknown: Some(BindingMode::WaitForFirstConsumer) };
        StorageClasses {
            collection: Collection::new(client, StorageClass::url_path(&(), None), false, fields()),
            store: Store::new(limits, Skipped::new(Kind::StorageClass, metrics)),
            listed: watch::Sender::new(false),
            metrics: Arc::clone(metrics),
        }
    }

    /// Watches, for ever. `tell` is called whenever all of them are known, and when the watch fails.
    pub(super) async fn follow(&self, tell: impl Fn(Result<(), String>)) {
        let tell = |known: Result<(), String>| {
            if known.is_ok() {
                self.listed.send_replace(true);
            }
            tell(known);
        };
        self.store.follow(&self.collection, read, (Kind::StorageClass, &self.metrics), tell).await;
    }

    /// When a class binds; `None` where there is no such class. Before all of them are known, each counts as one that waits for
    /// a pod: no claim is skipped for want of knowledge.
    pub(super) fn mode(&self, class: &str) -> Option<BindingMode> {
        match self.store.find("", class) {
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
