//! A namespace of a cluster: its object, and what decides about its pods.

use serde_json::Value;

use super::api::Api;
use super::facts::Facts;

/// What was found of a namespace.
pub(super) struct Room {
    /// Its object, where whoever asks may read it.
    pub(super) namespace: Option<Value>,
    /// What decides.
    pub(super) facts: Facts,
    /// What could not be read, a line each.
    pub(super) notes: Vec<String>,
}

impl Room {
    /// Asks for a namespace.
    ///
    /// # Errors
    /// It is not there, its claims cannot be read, or the API server was not reached.
    pub(super) async fn of(api: &Api, name: &str) -> anyhow::Result<Room> {
        let mut notes = Vec::new();
        let namespace = match api.get(&format!("/api/v1/namespaces/{name}")).await {
            Ok(None) => anyhow::bail!("there is no namespace {name}"),
            Ok(found) => found,
            Err(error) if error.is_forbidden() => {
                notes.push(format!("its labels and annotations are not known: {error}"));
                None
            }
            Err(error) => return Err(error.into()),
        };
        let facts = Facts::of_cluster(api, name, namespace.as_ref()).await?;
        Ok(Room { namespace, facts, notes })
    }
}
