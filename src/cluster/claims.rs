//! The claims of all namespaces, each reduced to what decides.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use kube::{Client, Resource as _};
use serde::Deserialize;

use super::collection::{self, Collection};
use super::live::Live;
use super::projection::Fields;
use super::reflector::Object;
use super::skipped::Skipped;
use super::store::{Limits, Store};
use crate::admission::claim::Claim;
use crate::metrics::{Kind, Metrics, Skip};

/// Bytes of all claims that are stored. A hundred thousand with usual names take twenty million; with the longest, 85,000
/// fit.
const STORED: usize = 32 << 20;

/// Bytes of a word: a phase, a mode, a time.
const WORD: usize = 256;

/// The claims of all namespaces.
pub struct Claims {
    collection: Arc<Collection>,
    store: Store<Claim>,
    live: Live<Claim>,
    metrics: Arc<Metrics>,
}

/// What is read of a claim. Each field is one of `fields` too: nothing else arrives here.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Narrow<'a> {
    #[serde(borrow)]
    metadata: Metadata<'a>,
    #[serde(borrow)]
    spec: Spec<'a>,
    #[serde(borrow)]
    status: Status<'a>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Metadata<'a> {
    /// Whether there is one is all that matters.
    #[serde(borrow)]
    deletion_timestamp: Option<Cow<'a, str>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Spec<'a> {
    #[serde(borrow)]
    access_modes: Vec<Cow<'a, str>>,
    #[serde(borrow)]
    volume_mode: Option<Cow<'a, str>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Status<'a> {
    #[serde(borrow)]
    phase: Option<Cow<'a, str>>,
}

/// The fields of `Narrow`.
fn fields() -> Fields {
    let spec = vec![("accessModes", Fields::Texts(WORD)), ("volumeMode", Fields::Text(WORD))];
    let status = vec![("phase", Fields::Text(WORD))];
    collection::object(
        vec![("deletionTimestamp", Fields::Text(WORD))],
        vec![("spec", Fields::Object(spec)), ("status", Fields::Object(status))],
    )
}

/// What decides; the access modes are those of the `spec`, as the contract says.
fn read(text: &[u8]) -> Result<Claim, serde_json::Error> {
    let Narrow { metadata, spec, status } = serde_json::from_slice(text)?;
    let modes = spec.access_modes.iter().map(|mode| &**mode);
    let deleted = metadata.deletion_timestamp.is_some();
    Ok(Claim::of(deleted, status.phase.as_deref(), spec.volume_mode.as_deref(), modes))
}

impl Claims {
    pub(super) fn of(client: &Client, metrics: &Arc<Metrics>) -> Self {
        let limits = Limits { bytes: STORED, weigh: |_| 0, unknown: None };
        let path = PersistentVolumeClaim::url_path(&(), None);
        Claims {
            collection: Arc::new(Collection::new(client, path, false, fields())),
            store: Store::new(limits, Skipped::new(Kind::Claim, metrics)),
            live: Live::new(Kind::Claim, metrics),
            metrics: Arc::clone(metrics),
        }
    }

    /// Watches, for ever. `tell` is called whenever all of them are known, and when the watch fails.
    pub async fn follow(&self, tell: impl Fn(Result<(), String>)) {
        self.store.follow(&self.collection, read, (Kind::Claim, &self.metrics), tell).await;
    }

    /// A claim, where it is there. One that was created a moment ago, or never, is read.
    pub(super) async fn find(&self, namespace: &str, name: &str) -> Option<Claim> {
        if let Some(claim) = self.store.find(namespace, name) {
            return Some(claim);
        }
        let path = PersistentVolumeClaim::url_path(&(), Some(namespace));
        let (collection, metrics) = (Arc::clone(&self.collection), Arc::clone(&self.metrics));
        let wanted = name.to_owned();
        let fetch = || async move {
            let Some(kept) = collection.get(&path, &wanted).await? else { return Ok(None) };
            let value = Object::read(&kept.text, kept.cut, read).value;
            value.map(Some).map_err(|why| {
                metrics.skipped(Kind::Claim, Skip::Unreadable);
                why.into()
            })
        };
        self.live.read(format!("{namespace}/{name}"), fetch).await
    }
}

impl fmt::Debug for Claims {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Claims").field("live", &self.live).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{fields, read};
    use crate::admission::claim::{Access, Claim};
    use crate::cluster::projection::{Part, Projection};

    fn claim(object: &serde_json::Value) -> Claim {
        let (json, fields) = (object.to_string(), fields());
        let Ok(Some(Part::Document(kept))) = Projection::new(&fields).advance(&mut json.as_bytes()) else {
            panic!("one document")
        };
        read(&kept.text).unwrap()
    }

    #[test]
    fn a_claim_is_reduced_to_what_decides() {
        let found = claim(&json!({"metadata": {"name": "a", "deletionTimestamp": "9999-12-31T23:59:59Z"},
            "spec": {"accessModes": ["ReadWriteOnce"], "volumeMode": "Block", "resources": {"requests": {}}},
            "status": {"phase": "Lost", "accessModes": ["ReadWriteMany"]}}));
        assert_eq!(found, Claim { terminating: true, lost: true, block: true, access: Access::ReadWriteOnce });
    }

    #[test]
    fn a_claim_with_fields_of_other_types_is_a_claim() {
        let found = claim(&json!({"metadata": {"name": "a", "deletionTimestamp": null},
            "spec": {"accessModes": [7, "ReadWriteOnce"], "volumeMode": {}}, "status": []}));
        assert_eq!(found, Claim { access: Access::ReadWriteOnce, ..Claim::default() });
        assert_eq!(claim(&json!({})), Claim::default());
    }
}
