//! The claims of all namespaces, each reduced to the fields that decisions depend on.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use k8s_openapi::jiff::Timestamp;
use kube::{Client, Resource as _};
use serde::Deserialize;

use super::collection::{self, Collection};
use super::projection::Fields;
use super::storage_classes::StorageClasses;
use super::store::{Limits, Store};
use crate::admission::claim::{Claim, WRITABLE, Wait, Writable};
use crate::cluster::read_through::{Budget, ReadThrough};
use crate::cluster::skipped_objects::Skipped;
use crate::metrics::{Kind, Metrics};

/// The most bytes of stored claims. A hundred thousand claims with names of usual length take 20 MB; with the longest
/// names, 57,000 fit.
const MAX_STORED: usize = 32 << 20;

/// The most bytes of a single value: a phase, a mode, a time.
const MAX_VALUE: usize = 256;

/// The most bytes of the annotation that says who can write to a claim.
const MAX_WRITABLE: usize = 1024;

/// The claims of all namespaces.
pub struct Claims {
    collection: Arc<Collection>,
    store: Store<StoredClaim>,
    read_through: ReadThrough<StoredClaim>,
    classes: StorageClasses,
    /// How long a claim may be pending before its StorageClass decides whether it will ever get a volume.
    binding_timeout: Duration,
    metrics: Arc<Metrics>,
}

/// A stored claim. What depends on the time or on a StorageClass is computed at look-up.
#[derive(Clone, Debug)]
struct StoredClaim {
    claim: Claim,
    /// In a box, since most claims are bound: a smaller table has fewer cache misses.
    pending: Option<Box<Pending>>,
}

/// A claim that has been pending since its creation.
#[derive(Clone, Debug)]
struct Pending {
    class: Box<str>,
    since: Timestamp,
}

/// The fields of a claim. `fields` has the same list, so nothing else is deserialized.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct RawClaim<'a> {
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
    #[serde(borrow)]
    creation_timestamp: Option<Cow<'a, str>>,
    /// Only its presence matters.
    #[serde(borrow)]
    deletion_timestamp: Option<Cow<'a, str>>,
    #[serde(borrow)]
    annotations: Annotations<'a>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Annotations<'a> {
    #[serde(borrow, rename = "dynamo-cache.io/writable")]
    writable: Option<Cow<'a, str>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Spec<'a> {
    #[serde(borrow)]
    access_modes: Vec<Cow<'a, str>>,
    #[serde(borrow)]
    storage_class_name: Option<Cow<'a, str>>,
    #[serde(borrow)]
    volume_mode: Option<Cow<'a, str>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Status<'a> {
    #[serde(borrow)]
    phase: Option<Cow<'a, str>>,
}

/// The fields of `RawClaim`.
fn fields() -> Fields {
    let spec = vec![
        ("accessModes", Fields::Texts(MAX_VALUE)),
        ("storageClassName", Fields::Text(MAX_VALUE)),
        ("volumeMode", Fields::Text(MAX_VALUE)),
    ];
    let status = vec![("phase", Fields::Text(MAX_VALUE))];
    collection::object_fields(
        vec![
            ("annotations", Fields::Object(vec![(WRITABLE, Fields::Text(MAX_WRITABLE))])),
            ("creationTimestamp", Fields::Text(MAX_VALUE)),
            ("deletionTimestamp", Fields::Text(MAX_VALUE)),
        ],
        vec![("spec", Fields::Object(spec)), ("status", Fields::Object(status))],
    )
}

/// Reduces a claim. The access modes are those of `spec`, as the documents promise.
fn read(text: &[u8]) -> Result<StoredClaim, serde_json::Error> {
    let RawClaim { metadata, spec, status } = serde_json::from_slice(text)?;
    let modes = spec.access_modes.iter().map(|mode| &**mode);
    let deleted = metadata.deletion_timestamp.is_some();
    let writable = metadata.annotations.writable.as_deref();
    let claim = Claim::new(deleted, status.phase.as_deref(), spec.volume_mode.as_deref(), modes, writable);
    let since = metadata.creation_timestamp.filter(|_| status.phase.as_deref() == Some("Pending"));
    let since = since.and_then(|since| since.parse().ok());
    let pending =
        spec.storage_class_name.zip(since).map(|(class, since)| Box::new(Pending { class: class.into(), since }));
    Ok(StoredClaim { claim, pending })
}

impl Claims {
    pub(super) fn new(
        client: &Client,
        binding_timeout: Duration,
        budget: &Arc<Budget>,
        metrics: &Arc<Metrics>,
    ) -> Self {
        let weigh = |stored: &StoredClaim| {
            let users = if let Writable::Users(users) = &stored.claim.writable { size_of_val(&**users) } else { 0 };
            users + stored.pending.as_ref().map_or(0, |pending| size_of::<Pending>() + pending.class.len())
        };
        let limits = Limits { bytes: MAX_STORED, weigh, unknown: None };
        let path = PersistentVolumeClaim::url_path(&(), None);
        Claims {
            collection: Arc::new(Collection::new(client, path, false, fields())),
            store: Store::new(limits, Skipped::new(Kind::Claim, metrics)),
            read_through: ReadThrough::new(Kind::Claim, budget, metrics),
            classes: StorageClasses::new(client, metrics),
            binding_timeout,
            metrics: Arc::clone(metrics),
        }
    }

    /// Watches claims for ever. `on_change` gets `Ok` with each complete list and the reason when the watch fails.
    pub async fn follow(&self, on_change: impl Fn(Result<(), String>)) {
        self.store.follow(&self.collection, read, Kind::Claim, &self.metrics, on_change).await;
    }

    /// Watches StorageClasses for ever. `on_change` gets `Ok` with each complete list and the reason when the watch
    /// fails.
    pub async fn follow_classes(&self, on_change: impl Fn(Result<(), String>)) {
        self.classes.follow(on_change).await;
    }

    /// The claim if it exists. A claim that the watch has not delivered, because it is new or does not exist, is read.
    pub(super) async fn get(&self, namespace: &str, name: &str) -> Option<Claim> {
        let stored = match self.store.get(namespace, name) {
            Some(stored) => stored,
            None => {
                self.read_through.get::<PersistentVolumeClaim>(&self.collection, Some(namespace), name, read).await?
            }
        };
        let mut claim = stored.claim;
        if let Some(Pending { class, since }) = stored.pending.map(|pending| *pending) {
            let waited = Duration::try_from(self.collection.now().duration_since(since)).unwrap_or_default();
            let wait = Wait { class: &class, waited };
            claim.binding = wait.binding(self.binding_timeout, |class| self.classes.mode(class));
        }
        Some(claim)
    }
}

impl fmt::Debug for Claims {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Claims").field("read_through", &self.read_through).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use axum::Router;
    use axum::http::header::DATE;
    use k8s_openapi::jiff::{SignedDuration, Timestamp};
    use kube::Client;
    use serde_json::json;

    use super::{Claims, StoredClaim, fields, read};
    use crate::admission::claim::{Access, BINDING_TIMEOUT, Binding, Claim, Writable};
    use crate::cluster::projection::{Part, Projection};
    use crate::cluster::read_through::Budget;
    use crate::metrics::Metrics;

    #[tokio::test]
    async fn the_time_is_that_of_the_api_server() {
        let theirs = Timestamp::now() - SignedDuration::from_hours(1);
        let date = theirs.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string();
        let answer =
            move || std::future::ready(([(DATE, date.clone())], json!({"metadata": {"name": "a"}}).to_string()));
        let client = Client::new(Router::new().fallback(answer), "default");
        let claims = Claims::new(&client, BINDING_TIMEOUT, &Budget::new(), &Arc::new(Metrics::default()));
        let unproven = Claim { writable: Writable::Unproven, ..Claim::default() };
        assert_eq!(claims.get("team", "a").await, Some(unproven));
        let elapsed = claims.collection.now().duration_since(theirs);
        assert!(elapsed.abs() < SignedDuration::from_mins(5), "{elapsed}");
    }

    fn stored(object: &serde_json::Value) -> StoredClaim {
        let (json, fields) = (object.to_string(), fields());
        let Ok(Some(Part::Document(kept))) = Projection::new(&fields).advance(&mut json.as_bytes()) else {
            panic!("one document")
        };
        read(&kept.text).unwrap()
    }

    fn claim(object: &serde_json::Value) -> Claim {
        stored(object).claim
    }

    #[test]
    fn only_a_pending_claim_with_a_class_waits_for_a_volume() {
        let object = |phase: &str, class: &serde_json::Value, created: &str| {
            json!({"metadata": {"name": "a", "creationTimestamp": created}, "spec": {"storageClassName": class},
                "status": {"phase": phase}})
        };
        let (class, time) = (json!("fast"), "2026-01-01T00:00:00Z");
        let pending = stored(&object("Pending", &class, time)).pending.unwrap();
        assert_eq!((&*pending.class, pending.since.to_string().as_str()), ("fast", time));
        for other in [
            object("Bound", &class, time),
            object("Pending", &json!(null), time),
            object("Pending", &class, "9999-12-31T23:59:59Z"),
        ] {
            assert!(stored(&other).pending.is_none(), "{other}");
        }
    }

    #[test]
    fn a_claim_is_reduced_to_the_fields_that_decide() {
        let found = claim(&json!({"metadata": {"name": "a", "deletionTimestamp": "9999-12-31T23:59:59Z",
                "annotations": {"dynamo-cache.io/writable": "1000", "dynamo-cache.io/other": "x"}},
            "spec": {"accessModes": ["ReadWriteOnce"], "volumeMode": "Block", "resources": {"requests": {}}},
            "status": {"phase": "Lost", "accessModes": ["ReadWriteMany"]}}));
        assert_eq!(
            found,
            Claim {
                terminating: true,
                block: true,
                access: Access::ReadWriteOnce,
                binding: Binding::Lost,
                writable: Writable::Users([1000].into())
            }
        );
    }

    #[test]
    fn a_claim_with_fields_of_other_types_is_a_claim() {
        let unproven = Claim { writable: Writable::Unproven, ..Claim::default() };
        let found = claim(&json!({"metadata": {"name": "a", "deletionTimestamp": null, "annotations": []},
            "spec": {"accessModes": [7, "ReadWriteOnce"], "volumeMode": {}}, "status": []}));
        assert_eq!(found, Claim { access: Access::ReadWriteOnce, ..unproven.clone() });
        assert_eq!(claim(&json!({})), unproven);
    }
}
