//! The Secret that holds the CA of all replicas. It is watched, not mounted, and the first replica fills it.
//!
//! The installer creates it empty. The replicas may update it but not create it: the permission to create Secrets
//! cannot be limited to a name or a type, and the cluster fills a Secret of type `kubernetes.io/service-account-token`
//! with a token.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use k8s_openapi::api::core::v1::Secret;
use kube::api::{Patch, PatchParams};
use kube::{Api, Client};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::cluster::FIELD_MANAGER;
use crate::cluster::object::{Found, Object};
use crate::cluster::observed::Observed;
use crate::metrics::{Kind, Metrics};

/// The type of a Secret that has no meaning to Kubernetes itself.
const OPAQUE: &str = "Opaque";

/// The Secret, and its last observed state.
pub struct CaSecret {
    api: Api<Object<Secret, Content>>,
    name: String,
    observed: Observed<ObservedSecret>,
    metrics: Arc<Metrics>,
}

/// The last observed state of the Secret.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum ObservedSecret {
    /// The Secret does not exist.
    Absent,
    /// The watch has not delivered it yet.
    #[default]
    Unknown,
    /// The Secret exists.
    Present(StoredSecret),
}

/// The Secret at one resource version.
#[derive(Clone, PartialEq, Eq)]
pub struct StoredSecret {
    resource_version: Option<String>,
    content: Arc<Content>,
}

/// The fields that are read from the Secret.
#[derive(PartialEq, Eq, Deserialize)]
struct Content {
    #[serde(rename = "type")]
    type_: Option<String>,
    /// In base64. A value may be null.
    data: Option<BTreeMap<String, Option<String>>>,
}

impl StoredSecret {
    /// The decoded data. A value that is not base64 is returned as it is.
    pub fn data(&self) -> BTreeMap<String, Vec<u8>> {
        let decoded = |text: &String| STANDARD.decode(text).unwrap_or_else(|_| text.clone().into_bytes());
        let data = self.content.data.iter().flatten();
        data.map(|(key, value)| (key.clone(), value.as_ref().map(decoded).unwrap_or_default())).collect()
    }

    /// The type of the Secret if it is not `Opaque`. The cluster may fill or delete such a Secret by its own rules.
    pub fn foreign_type(&self) -> Option<&str> {
        self.content.type_.as_deref().filter(|type_| *type_ != OPAQUE)
    }
}

/// Prints no data, because it includes a key.
impl fmt::Debug for StoredSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("StoredSecret").field(&self.resource_version).finish()
    }
}

impl CaSecret {
    /// The Secret of this name. It stays unknown until `follow` runs.
    pub fn new(client: &Client, namespace: &str, name: &str, metrics: &Arc<Metrics>) -> Self {
        let (api, metrics) = (Api::namespaced(client.clone(), namespace), Arc::clone(metrics));
        CaSecret { api, name: name.to_owned(), observed: Observed::default(), metrics }
    }

    /// The namespace and name, separated by a slash.
    pub fn path(&self) -> String {
        format!("{}/{}", self.api.namespace().unwrap_or_default(), self.name)
    }

    /// The observed state, now and as it changes.
    pub fn observed(&self) -> watch::Receiver<ObservedSecret> {
        self.observed.state()
    }

    /// The error of the watch while it fails, now and as it changes.
    pub fn watch_error(&self) -> watch::Receiver<Option<String>> {
        self.observed.error()
    }

    /// Watches the Secret for ever.
    pub async fn follow(&self) {
        let apply = |found: Result<Option<Found<Content>>, ()>| {
            let Ok(found) = found else { return };
            self.observed.set(found.map_or(ObservedSecret::Absent, |found| {
                let Found { resource_version, content } = found;
                ObservedSecret::Present(StoredSecret { resource_version, content })
            }));
        };
        self.observed.follow(&self.api, &self.name, Kind::Secret, &self.metrics, apply).await;
    }

    /// Sets these keys in the observed version of the Secret, and leaves all others. Returns false if the Secret was
    /// changed or deleted since; the watch then delivers its new state.
    ///
    /// # Errors
    /// The API server rejected the request, or could not be reached.
    pub async fn store(&self, data: BTreeMap<String, Vec<u8>>, over: &StoredSecret) -> Result<bool, kube::Error> {
        let data: serde_json::Map<_, _> =
            data.into_iter().map(|(key, value)| (key, Value::String(STANDARD.encode(value)))).collect();
        let metadata = json!({"resourceVersion": over.resource_version});
        let patch = Patch::Merge(json!({"metadata": metadata, "data": data}));
        let parameters = PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PatchParams::default() };
        match self.api.patch(&self.name, &parameters, &patch).await {
            Ok(_) => Ok(true),
            // 409 if the Secret was changed since, 404 if it was deleted.
            Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => Ok(false),
            Err(error) => Err(error),
        }
    }
}

impl fmt::Debug for CaSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CaSecret").field("name", &self.name).finish_non_exhaustive()
    }
}
