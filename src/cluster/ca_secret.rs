//! The one Secret that the replicas share: watched, never mounted, filled by the first replica that comes.
//!
//! Whoever installs the webhook makes it, empty. The replicas may change it and make none: the right to create Secrets is
//! not limited to a name or a type, and one of type `kubernetes.io/service-account-token` is filled with a token.

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

use crate::cluster::MANAGER;
use crate::cluster::object::{Found, Object};
use crate::cluster::observed::Observed;
use crate::metrics::{Kind, Metrics};

/// The type of a Secret that nothing but its readers gives a meaning.
const OPAQUE: &str = "Opaque";

/// The Secret, and what was last seen of it.
pub struct Shared {
    api: Api<Object<Secret, Content>>,
    name: String,
    observed: Observed<Seen>,
    metrics: Arc<Metrics>,
}

/// What was last seen of the Secret.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Seen {
    /// It is not there.
    Absent,
    /// Nothing yet.
    #[default]
    NotYet,
    /// It is there.
    Present(Stored),
}

/// The Secret as it is stored.
#[derive(Clone, PartialEq, Eq)]
pub struct Stored {
    resource_version: Option<String>,
    content: Arc<Content>,
}

/// What is read of a Secret.
#[derive(PartialEq, Eq, Deserialize)]
struct Content {
    #[serde(rename = "type")]
    type_: Option<String>,
    /// In base64. A key may have no value.
    data: Option<BTreeMap<String, Option<String>>>,
}

impl Stored {
    /// What it holds. A value that is not base64 stays as it is written.
    pub fn data(&self) -> BTreeMap<String, Vec<u8>> {
        let decoded = |text: &String| STANDARD.decode(text).unwrap_or_else(|_| text.clone().into_bytes());
        let data = self.content.data.iter().flatten();
        data.map(|(key, value)| (key.clone(), value.as_ref().map(decoded).unwrap_or_default())).collect()
    }

    /// The type that its creator gave it, where that is not `Opaque`: the cluster may fill or delete it by rules of its own.
    pub fn foreign_type(&self) -> Option<&str> {
        self.content.type_.as_deref().filter(|type_| *type_ != OPAQUE)
    }
}

/// A key is never printed.
impl fmt::Debug for Stored {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Stored").field(&self.resource_version).finish()
    }
}

impl Shared {
    /// The Secret of this name, which becomes known as `follow` is run.
    pub fn of(client: &Client, namespace: &str, name: &str, metrics: &Arc<Metrics>) -> Self {
        let (api, metrics) = (Api::namespaced(client.clone(), namespace), Arc::clone(metrics));
        Shared { api, name: name.to_owned(), observed: Observed::default(), metrics }
    }

    /// Its namespace and name, as kubectl takes them.
    pub fn path(&self) -> String {
        format!("{}/{}", self.api.namespace().unwrap_or_default(), self.name)
    }

    /// What is seen of it, now and as it changes.
    pub fn seen(&self) -> watch::Receiver<Seen> {
        self.observed.state()
    }

    /// Why nothing new is seen of it, where the watch fails, now and as it changes.
    pub fn failing(&self) -> watch::Receiver<Option<String>> {
        self.observed.failing()
    }

    /// Watches, for ever.
    pub async fn follow(&self) {
        let apply = |found: Result<Option<Found<Content>>, ()>| {
            let Ok(found) = found else { return };
            self.observed.set(found.map_or(Seen::Absent, |found| {
                let Found { resource_version, content } = found;
                Seen::Present(Stored { resource_version, content })
            }));
        };
        self.observed.follow(&self.api, &self.name, (Kind::Secret, &self.metrics), apply).await;
    }

    /// Sets these keys, over what was seen and nothing else; whatever stands beside them stays. False: the Secret was
    /// changed or deleted since, and what it is now is seen next.
    ///
    /// # Errors
    /// The API server refused or could not be reached.
    pub async fn store(&self, data: BTreeMap<String, Vec<u8>>, over: &Stored) -> Result<bool, kube::Error> {
        let data: serde_json::Map<_, _> =
            data.into_iter().map(|(key, value)| (key, Value::String(STANDARD.encode(value)))).collect();
        let metadata = json!({"resourceVersion": over.resource_version});
        let patch = Patch::Merge(json!({"metadata": metadata, "data": data}));
        let parameters = PatchParams { field_manager: Some(MANAGER.to_owned()), ..PatchParams::default() };
        match self.api.patch(&self.name, &parameters, &patch).await {
            Ok(_) => Ok(true),
            // 409 for a Secret that was changed since, 404 for one that was deleted.
            Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => Ok(false),
            Err(error) => Err(error),
        }
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("name", &self.name).finish_non_exhaustive()
    }
}
