//! What a watch of one object says: its state, and why the state is not current.

use kube::{Api, Resource};
use serde::de::DeserializeOwned;
use tokio::sync::watch;
use tracing::warn;

use super::object::{Found, Object};
use crate::cluster::watch_one;
use crate::metrics::{Kind, Metrics};

/// The state of one object, for any number of readers.
#[derive(Debug, Default)]
pub(super) struct Observed<S> {
    state: watch::Sender<S>,
    /// Why the state is not current, where the watch fails or the object cannot be read.
    failing: watch::Sender<Option<String>>,
}

impl<S: PartialEq> Observed<S> {
    /// The state, now and as it changes.
    pub(super) fn state(&self) -> watch::Receiver<S> {
        self.state.subscribe()
    }

    /// Why the state is not current, now and as it changes.
    pub(super) fn failing(&self) -> watch::Receiver<Option<String>> {
        self.failing.subscribe()
    }

    /// Replaces the state, where it differs.
    pub(super) fn set(&self, state: S) {
        self.state.send_if_modified(|last| {
            let differs = *last != state;
            *last = state;
            differs
        });
    }

    /// Watches the object of a name, for ever. `apply` gets it as it is and as it changes, none where it is not there, and
    /// an error where neither is known. An object that cannot be read is an error like any other.
    pub(super) async fn follow<K, T>(
        &self,
        api: &Api<Object<K, T>>,
        name: &str,
        (kind, metrics): (Kind, &Metrics),
        apply: impl Fn(Result<Option<Found<T>>, ()>),
    ) where
        K: Resource<DynamicType = ()> + 'static,
        T: DeserializeOwned + Send + Sync + 'static,
    {
        let tell = |found: Result<Option<Object<K, T>>, String>| {
            let found = found.and_then(|object| {
                let found = object.map(Object::into_found).transpose();
                found.map_err(|why| unreadable(kind, metrics, &why))
            });
            // Before the state: a reader that wakes up by it must not find an old failure.
            let failing = found.as_ref().err().cloned();
            self.failing.send_if_modified(|last| {
                let differs = *last != failing;
                last.clone_from(&failing);
                differs
            });
            apply(found.map_err(drop));
        };
        watch_one::follow(api, name, (kind, metrics), tell).await;
    }
}

/// Logs and counts an object that cannot be read; why, in words.
fn unreadable(kind: Kind, metrics: &Metrics, why: &str) -> String {
    metrics.watch_failed(kind);
    warn!(?kind, why, "failed to read the object; what was known of it still applies");
    format!("it cannot be read: {why}")
}
