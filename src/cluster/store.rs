//! What a watch has seen, reduced at once to what we use.

use std::collections::HashMap;
use std::sync::{PoisonError, RwLock};

use futures::{Stream, StreamExt as _};
use kube::ResourceExt;
use kube::runtime::watcher::{self, Event};
use tracing::info;

use super::watching;
use crate::metrics::{Kind, Metrics};

/// Values by namespace and name; what has no namespace stands under the empty one. A look-up costs no allocation.
#[derive(Debug)]
pub(super) struct Store<V>(RwLock<Seen<V>>);

#[derive(Debug)]
struct Seen<V>(HashMap<Box<str>, HashMap<Box<str>, V>>);

impl<V: Clone> Store<V> {
    /// Nothing was seen yet.
    pub(super) fn new() -> Self {
        Store(RwLock::new(Seen::new()))
    }

    /// What was last seen of an object.
    pub(super) fn find(&self, namespace: &str, name: &str) -> Option<V> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).0.get(namespace)?.get(name).cloned()
    }

    /// The names of all that was last seen in a namespace, in no order.
    pub(super) fn names(&self, namespace: &str) -> Vec<Box<str>> {
        let seen = self.0.read().unwrap_or_else(PoisonError::into_inner);
        seen.0.get(namespace).into_iter().flat_map(HashMap::keys).cloned().collect()
    }

    /// Takes in what a watch sees, for as long as it lasts. Its errors are logged and counted, and it goes on; what
    /// was seen before stays until a new listing is complete. `tell` is called with each listing and with each error, after
    /// which there is a new one.
    pub(super) async fn follow<K: ResourceExt>(
        &self,
        events: impl Stream<Item = watcher::Result<Event<K>>>,
        reduce: impl Fn(&K) -> V,
        (kind, metrics): (Kind, &Metrics),
        tell: impl Fn(Result<(), String>),
    ) {
        let mut events = std::pin::pin!(events);
        let mut listing = Seen::new();
        while let Some(event) = events.next().await {
            match event {
                Ok(Event::Init) => listing = Seen::new(),
                Ok(Event::InitApply(object)) => listing.put(&object, reduce(&object)),
                Ok(Event::InitDone) => {
                    let listed = std::mem::replace(&mut listing, Seen::new());
                    info!(?kind, objects = listed.0.values().map(HashMap::len).sum::<usize>(), "watching");
                    *self.write() = listed;
                    tell(Ok(()));
                }
                Ok(Event::Apply(object)) => self.write().put(&object, reduce(&object)),
                Ok(Event::Delete(object)) => self.write().remove(&object),
                Err(error) => {
                    tell(Err(watching::failed(kind, metrics, &error)));
                }
            }
        }
    }

    fn write(&self) -> std::sync::RwLockWriteGuard<'_, Seen<V>> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<V> Seen<V> {
    fn new() -> Self {
        Seen(HashMap::new())
    }

    fn put<K: ResourceExt>(&mut self, object: &K, value: V) {
        let (namespace, name) = (object.namespace().unwrap_or_default(), object.name_any());
        self.0.entry(namespace.into()).or_default().insert(name.into(), value);
    }

    fn remove<K: ResourceExt>(&mut self, object: &K) {
        let namespace = object.namespace().unwrap_or_default();
        if let Some(names) = self.0.get_mut(&*namespace) {
            names.remove(&*object.name_any());
            if names.is_empty() {
                self.0.remove(&*namespace);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use futures::stream;
    use k8s_openapi::api::core::v1::PersistentVolumeClaim;
    use kube::runtime::watcher::{Error, Event};

    use super::Store;
    use crate::metrics::{Kind, Metrics};

    fn claim(name: &str, version: &str) -> PersistentVolumeClaim {
        let mut claim = PersistentVolumeClaim::default();
        claim.metadata.name = Some(name.to_owned());
        claim.metadata.namespace = Some("team".to_owned());
        claim.metadata.resource_version = Some(version.to_owned());
        claim
    }

    async fn follow(store: &Store<String>, events: Vec<Result<Event<PersistentVolumeClaim>, Error>>) -> usize {
        let (synced, metrics) = (Cell::new(0), Metrics::default());
        let reduce = |claim: &PersistentVolumeClaim| claim.metadata.resource_version.clone().unwrap_or_default();
        let count = |known: Result<(), String>| synced.set(synced.get() + usize::from(known.is_ok()));
        store.follow(stream::iter(events), reduce, (Kind::Claim, &metrics), count).await;
        assert!(metrics.page().contains("watch_errors_total{kind=\"claim\"} 1\n"));
        synced.get()
    }

    #[tokio::test]
    async fn what_is_gone_when_a_new_listing_is_complete_is_gone_and_not_before() {
        let store = Store::new();
        let find = |name: &str| store.find("team", name);
        let first = vec![
            Ok(Event::Init),
            Ok(Event::InitApply(claim("a", "1"))),
            Ok(Event::InitApply(claim("b", "1"))),
            Ok(Event::InitDone),
            Ok(Event::Apply(claim("c", "2"))),
            Ok(Event::Apply(claim("a", "3"))),
            Ok(Event::Delete(claim("b", "4"))),
            Err(Error::NoResourceVersion),
            Ok(Event::Init),
            Ok(Event::InitApply(claim("c", "5"))),
        ];
        assert_eq!(follow(&store, first).await, 1);
        assert_eq!((find("a"), find("b"), find("c")), (Some("3".to_owned()), None, Some("2".to_owned())));

        let second = vec![
            Err(Error::NoResourceVersion),
            Ok(Event::Init),
            Ok(Event::InitApply(claim("c", "6"))),
            Ok(Event::InitDone),
        ];
        assert_eq!(follow(&store, second).await, 1);
        assert_eq!((find("a"), find("c")), (None, Some("6".to_owned())));
        assert_eq!(store.find("other", "c"), None);
    }
}
