//! The observed state of one watched object, and why it is not current.

use kube::{Api, Resource};
use serde::de::DeserializeOwned;
use tokio::sync::watch;
use tracing::warn;

use super::object::{Found, Object};
use crate::cluster::watch_one;
use crate::metrics::{Kind, Metrics};

/// The state of one object, for any number of receivers.
#[derive(Debug, Default)]
pub(super) struct Observed<S> {
    state: watch::Sender<S>,
    /// The error while the watch fails or the object cannot be parsed.
    error: watch::Sender<Option<String>>,
}

impl<S: PartialEq> Observed<S> {
    /// The state, now and as it changes.
    pub(super) fn state(&self) -> watch::Receiver<S> {
        self.state.subscribe()
    }

    /// The error, now and as it changes.
    pub(super) fn error(&self) -> watch::Receiver<Option<String>> {
        self.error.subscribe()
    }

    /// Sets the state, and notifies receivers if it differs.
    pub(super) fn set(&self, state: S) {
        self.state.send_if_modified(|last| {
            let differs = *last != state;
            *last = state;
            differs
        });
    }

    /// Watches the object of this name for ever. `apply` gets its fields now and whenever they change, `None` if it
    /// does not exist, and an error while the watch fails or the object cannot be parsed.
    pub(super) async fn follow<K, T>(
        &self,
        api: &Api<Object<K, T>>,
        name: &str,
        kind: Kind,
        metrics: &Metrics,
        apply: impl Fn(Result<Option<Found<T>>, ()>),
    ) where
        K: Resource<DynamicType = ()> + 'static,
        T: DeserializeOwned + Send + Sync + 'static,
    {
        let on_change = |found: Result<Option<Object<K, T>>, String>| {
            let found = found.and_then(|object| {
                let found = object.map(Object::into_found).transpose();
                found.map_err(|why| record_unreadable(kind, metrics, &why))
            });
            // The error is set before the state: a receiver that wakes up for the state must not read an old error.
            let error = found.as_ref().err().cloned();
            self.error.send_if_modified(|last| {
                let differs = *last != error;
                last.clone_from(&error);
                differs
            });
            apply(found.map_err(drop));
        };
        watch_one::watch(api, name, kind, metrics, on_change).await;
    }
}

/// Logs and counts an object that cannot be parsed. Returns the reason as a sentence.
fn record_unreadable(kind: Kind, metrics: &Metrics, why: &str) -> String {
    metrics.record_watch_error(kind);
    warn!(?kind, why, "failed to parse the object; its last state still applies");
    format!("it cannot be parsed: {why}")
}
