//! A namespace of the cluster: its object, its claims, and the facts that decisions use.

use serde_json::Value;

use crate::inspect::api::Api;
use crate::manifest::facts::{Facts, StorageClasses};

/// The objects of a namespace at one point in time.
pub(crate) struct NamespaceSnapshot {
    /// The Namespace object, if the user may read it.
    pub(crate) namespace: Option<Value>,
    /// The PersistentVolumeClaim objects; empty if the user may not list them.
    pub(crate) claims: Vec<Value>,
    /// The facts that decisions use.
    pub(crate) facts: Facts,
    /// What could not be read, one line each.
    pub(crate) notes: Vec<String>,
    /// Why the claims are unknown, if the user may not list them. Every claim then counts as existing.
    pub(crate) hidden: Option<String>,
}

/// The namespace does not exist.
#[derive(Debug, thiserror::Error)]
#[error("there is no namespace {0}")]
pub(crate) struct NotFound(String);

impl NamespaceSnapshot {
    /// Reads a namespace and its claims.
    ///
    /// # Errors
    /// The namespace does not exist, the user may not list its claims, or the API server was not reached.
    pub(crate) async fn read(api: &Api, name: &str) -> anyhow::Result<NamespaceSnapshot> {
        let snapshot = NamespaceSnapshot::read_permitted(api, name).await?;
        match snapshot.hidden {
            None => Ok(snapshot),
            Some(why) => anyhow::bail!(why),
        }
    }

    /// Reads what the user may read of a namespace; the claims may be missing.
    ///
    /// # Errors
    /// The namespace does not exist, or the API server was not reached.
    pub(crate) async fn read_permitted(api: &Api, name: &str) -> anyhow::Result<NamespaceSnapshot> {
        let mut notes = Vec::new();
        let namespace = match api.get(&format!("/api/v1/namespaces/{name}")).await {
            Ok(None) => return Err(NotFound(name.to_owned()).into()),
            Ok(found) => found,
            Err(error) if error.is_forbidden() => {
                notes.push(format!("the namespace's labels and annotations are unknown: {error}"));
                None
            }
            Err(error) => return Err(error.into()),
        };
        let listed = api.list(&format!("/api/v1/namespaces/{name}/persistentvolumeclaims")).await;
        let (claims, facts, hidden) = match listed {
            Err(error) if error.is_forbidden() => {
                (Vec::new(), Facts::from_namespace(namespace.as_ref()), Some(error.to_string()))
            }
            listed => {
                let claims = listed?;
                let classes = storage_classes(api, &claims).await?;
                let facts = Facts::from_objects(namespace.as_ref(), &claims, classes.as_ref());
                (claims, facts, None)
            }
        };
        Ok(NamespaceSnapshot { namespace, claims, facts, notes, hidden })
    }
}

/// Lists the StorageClasses of the cluster if a claim is pending. `None` if no claim is, or if the user may not list them:
/// every pending claim then counts as one that gets a volume.
async fn storage_classes(api: &Api, claims: &[Value]) -> anyhow::Result<Option<StorageClasses>> {
    let is_pending = |claim: &Value| claim.pointer("/status/phase").and_then(Value::as_str) == Some("Pending");
    if !claims.iter().any(is_pending) {
        return Ok(None);
    }
    match api.list("/apis/storage.k8s.io/v1/storageclasses").await {
        Ok(classes) => Ok(Some(StorageClasses::from_objects(&classes))),
        Err(error) if error.is_forbidden() => Ok(None),
        Err(error) => Err(error.into()),
    }
}
