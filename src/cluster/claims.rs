//! The claims of all namespaces, each reduced to what decides.

use std::fmt;
use std::sync::Arc;

use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use kube::runtime::watcher;
use kube::{Api, Client};

use super::live::Live;
use super::store::Store;
use super::watching::{in_pages, relisting};
use crate::admission::claim::Claim;
use crate::metrics::{Kind, Metrics};

/// The claims. Ten thousand of them take a few megabytes at most.
pub struct Claims {
    client: Client,
    store: Store<Claim>,
    live: Live<Claim>,
    metrics: Arc<Metrics>,
}

impl Claims {
    pub(super) fn of(client: &Client, metrics: &Arc<Metrics>) -> Self {
        Claims {
            client: client.clone(),
            store: Store::new(),
            live: Live::new(Kind::Claim, metrics),
            metrics: Arc::clone(metrics),
        }
    }

    /// Watches, for ever. `tell` is called whenever all of them are known, and when the watch fails.
    pub async fn follow(&self, tell: impl Fn(Result<(), String>)) {
        let events = relisting(|| watcher(Api::all(self.client.clone()), in_pages()));
        self.store.follow(events, reduce, (Kind::Claim, &self.metrics), tell).await;
    }

    /// A claim, where it is there. One that was created a moment ago, or never, is read.
    pub(super) async fn find(&self, namespace: &str, name: &str) -> Option<Claim> {
        if let Some(claim) = self.store.find(namespace, name) {
            return Some(claim);
        }
        let api: Api<PersistentVolumeClaim> = Api::namespaced(self.client.clone(), namespace);
        let wanted = name.to_owned();
        let fetch = || async move { Ok(api.get_opt(&wanted).await?.as_ref().map(reduce)) };
        self.live.read(format!("{namespace}/{name}"), fetch).await
    }
}

impl fmt::Debug for Claims {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Claims").field("live", &self.live).finish_non_exhaustive()
    }
}

/// What decides; the access modes are those of the `spec`, as the contract says.
fn reduce(claim: &PersistentVolumeClaim) -> Claim {
    let spec = claim.spec.as_ref();
    let modes = spec.and_then(|spec| spec.access_modes.as_deref()).unwrap_or_default();
    let phase = claim.status.as_ref().and_then(|status| status.phase.as_deref());
    let volume_mode = spec.and_then(|spec| spec.volume_mode.as_deref());
    let deleted = claim.metadata.deletion_timestamp.is_some();
    Claim::of(deleted, phase, volume_mode, modes.iter().map(String::as_str))
}
