//! A namespace of a cluster: its object, and what decides about its pods.

use serde_json::Value;

use crate::inspect::api::Api;
use crate::manifest::facts::{Facts, StorageClasses};

/// What was found of a namespace.
pub(crate) struct Room {
    /// Its object, where whoever asks may read it.
    pub(crate) namespace: Option<Value>,
    /// The objects of its claims, where they may be listed.
    pub(crate) claims: Vec<Value>,
    /// What decides.
    pub(crate) facts: Facts,
    /// What could not be read, a line each.
    pub(crate) notes: Vec<String>,
    /// Why its claims are not known, where whoever asks may not list them: all that are asked for are then taken for there.
    pub(crate) hidden: Option<String>,
}

/// A namespace is not there.
#[derive(Debug, thiserror::Error)]
#[error("there is no namespace {0}")]
pub(crate) struct NotThere(String);

impl Room {
    /// Asks for a namespace.
    ///
    /// # Errors
    /// It is not there, its claims cannot be read, or the API server was not reached.
    pub(crate) async fn of(api: &Api, name: &str) -> anyhow::Result<Room> {
        let room = Room::seen(api, name).await?;
        match room.hidden {
            None => Ok(room),
            Some(why) => anyhow::bail!(why),
        }
    }

    /// The same for what can do without the claims.
    ///
    /// # Errors
    /// It is not there, or the API server was not reached.
    pub(crate) async fn seen(api: &Api, name: &str) -> anyhow::Result<Room> {
        let mut notes = Vec::new();
        let namespace = match api.get(&format!("/api/v1/namespaces/{name}")).await {
            Ok(None) => return Err(NotThere(name.to_owned()).into()),
            Ok(found) => found,
            Err(error) if error.is_forbidden() => {
                notes.push(format!("its labels and annotations are not known: {error}"));
                None
            }
            Err(error) => return Err(error.into()),
        };
        let listed = api.list(&format!("/api/v1/namespaces/{name}/persistentvolumeclaims")).await;
        let (claims, facts, hidden) = match listed {
            Err(error) if error.is_forbidden() => {
                (Vec::new(), Facts::of_namespace(namespace.as_ref()), Some(error.to_string()))
            }
            listed => {
                let claims = listed?;
                let classes = storage_classes(api, &claims).await?;
                let facts = Facts::of_objects(namespace.as_ref(), &claims, classes.as_ref());
                (claims, facts, None)
            }
        };
        Ok(Room { namespace, claims, facts, notes, hidden })
    }
}

/// The StorageClasses of the cluster, which matter where a claim waits for its volume. `None`: none does, or the person who
/// asks may not list them, and every claim then counts as one that gets its volume.
async fn storage_classes(api: &Api, claims: &[Value]) -> anyhow::Result<Option<StorageClasses>> {
    let waits = |claim: &Value| claim.pointer("/status/phase").and_then(Value::as_str) == Some("Pending");
    if !claims.iter().any(waits) {
        return Ok(None);
    }
    match api.list("/apis/storage.k8s.io/v1/storageclasses").await {
        Ok(classes) => Ok(Some(StorageClasses::from_objects(&classes))),
        Err(error) if error.is_forbidden() => Ok(None),
        Err(error) => Err(error.into()),
    }
}
