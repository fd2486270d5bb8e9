//! The objects of a reflector, reduced to what we use and bounded: tenants who may create objects decide how many there
//! are.
//!
//! Why not kube's `reflector::Store`: it holds whole typed objects, keeps a second copy while it lists, and has no
//! bound.

use std::collections::HashMap;
use std::sync::{PoisonError, RwLock, RwLockWriteGuard};

use smol_str::SmolStr;
use tracing::info;

use super::collection::Collection;
use super::reflector::{self, Change, Object};
use crate::cluster::skipped_objects::Skipped;
use crate::cluster::watch_one;
use crate::metrics::{Kind, Metrics, SkipReason};

/// The most objects in a store. A caller reads any other object from the API server.
const MAX_OBJECTS: usize = 100_000;

/// Values by namespace and name. Cluster-scoped objects have the empty namespace.
#[derive(Debug)]
pub(super) struct Store<V> {
    state: RwLock<State<V>>,
    limits: Limits<V>,
    skipped: Skipped,
}

/// The limits of a store, and how its values are measured.
#[derive(Debug)]
pub(super) struct Limits<V> {
    /// The most bytes of all entries.
    pub(super) bytes: usize,
    /// The heap bytes of a value.
    pub(super) weigh: fn(&V) -> usize,
    /// The value of an object that cannot be parsed. `None` omits such objects.
    pub(super) unknown: Option<V>,
}

#[derive(Debug)]
struct State<V> {
    objects: HashMap<Key, Entry<V>>,
    bytes: usize,
    /// The number of the current list. Entries of an earlier list are removed once it is complete, so there is never a
    /// second copy.
    list: u64,
}

/// Names of up to 23 bytes are in the table itself: with 10,000 namespaces each pointer that a look-up follows costs a
/// cache miss.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Key {
    namespace: SmolStr,
    name: SmolStr,
}

impl Key {
    fn new(namespace: &str, name: &str) -> Self {
        Key { namespace: namespace.into(), name: name.into() }
    }
}

#[derive(Debug)]
struct Entry<V> {
    value: V,
    list: u64,
}

impl<V: Clone> Store<V> {
    /// An empty store. Objects that it rejects are counted in `skipped`.
    pub(super) fn new(limits: Limits<V>, skipped: Skipped) -> Self {
        let state = State { objects: HashMap::new(), bytes: 0, list: 0 };
        Store { state: RwLock::new(state), limits, skipped }
    }

    /// The value of an object.
    pub(super) fn get(&self, namespace: &str, name: &str) -> Option<V> {
        let key = Key::new(namespace, name);
        let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
        state.objects.get(&key).map(|entry| entry.value.clone())
    }

    /// Whether it has an object.
    pub(super) fn contains(&self, namespace: &str, name: &str) -> bool {
        let key = Key::new(namespace, name);
        self.state.read().unwrap_or_else(PoisonError::into_inner).objects.contains_key(&key)
    }

    /// The names of all objects in a namespace, in no particular order.
    pub(super) fn names(&self, namespace: &str) -> Vec<SmolStr> {
        let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
        state.objects.keys().filter(|key| key.namespace == namespace).map(|key| key.name.clone()).collect()
    }

    /// Lists and watches a collection for ever. Errors are logged and counted; stored objects stay until a new list is
    /// complete. `on_change` gets `Ok` with each complete list, and the reason with each error.
    pub(super) async fn follow(
        &self,
        collection: &Collection,
        read: impl Fn(&[u8]) -> Result<V, serde_json::Error>,
        kind: Kind,
        metrics: &Metrics,
        on_change: impl Fn(Result<(), String>),
    ) {
        let change = |change: Change<V>| match change {
            Change::Failed(why) => on_change(Err(watch_one::record_error(kind, metrics, &why))),
            Change::ListComplete => {
                info!(?kind, objects = self.complete(), "watching");
                on_change(Ok(()));
            }
            change => self.apply(change),
        };
        reflector::run(collection, read, change).await;
    }

    fn apply(&self, change: Change<V>) {
        match change {
            Change::ListStarted => self.write().list += 1,
            Change::ListComplete => _ = self.complete(),
            Change::Applied(Object { namespace, name, value }) => {
                let value = value.map_err(|why| {
                    self.skipped.record(SkipReason::Unreadable, &namespace, &name, &why);
                });
                let value = value.ok().or_else(|| self.limits.unknown.clone());
                let key = Key::new(&namespace, &name);
                let mut state = self.write();
                let is_kept = if let Some(value) = value {
                    state.insert(&self.limits, key, value)
                } else {
                    state.remove(&self.limits, &key);
                    true
                };
                drop(state);
                if !is_kept {
                    self.skipped.record(SkipReason::Full, &namespace, &name, &"the store is full");
                }
            }
            Change::Deleted(Object { namespace, name, .. }) => {
                let key = Key::new(&namespace, &name);
                self.write().remove(&self.limits, &key);
            }
            Change::Failed(_) => {}
        }
    }

    /// Removes the objects that are not in the list that is now complete. Returns how many remain.
    fn complete(&self) -> usize {
        let mut state = self.write();
        let State { objects, bytes, list } = &mut *state;
        objects.retain(|key, entry| {
            let stays = entry.list == *list;
            if !stays {
                *bytes -= self.limits.size(key, &entry.value);
            }
            stays
        });
        state.shrink();
        state.objects.len()
    }

    fn write(&self) -> RwLockWriteGuard<'_, State<V>> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The bytes of a name outside of the table, with the counters of an `Arc` and what `malloc` adds.
fn heap_size(name: &SmolStr) -> usize {
    if name.is_heap_allocated() { name.len() + 32 } else { 0 }
}

impl<V> Limits<V> {
    /// The bytes of an entry. A table that has just grown has 16 slots for each seven entries.
    fn size(&self, Key { namespace, name }: &Key, value: &V) -> usize {
        let slots = size_of::<(Key, Entry<V>)>() * 16 / 7;
        slots + heap_size(namespace) + heap_size(name) + (self.weigh)(value)
    }
}

impl<V> State<V> {
    /// Inserts a value. Returns false if the store is full; the object then has no entry.
    fn insert(&mut self, limits: &Limits<V>, key: Key, value: V) -> bool {
        self.remove(limits, &key);
        let size = limits.size(&key, &value);
        if self.objects.len() >= MAX_OBJECTS || self.bytes + size > limits.bytes || key.name.is_empty() {
            return false;
        }
        self.objects.insert(key, Entry { value, list: self.list });
        self.bytes += size;
        true
    }

    fn remove(&mut self, limits: &Limits<V>, key: &Key) {
        if let Some(entry) = self.objects.remove(key) {
            self.bytes -= limits.size(key, &entry.value);
            self.shrink();
        }
    }

    /// Gives back the memory of a table that has become nearly empty: what counts is what is in it.
    fn shrink(&mut self) {
        if self.objects.capacity() > 4 * self.objects.len().max(256) {
            self.objects.shrink_to(2 * self.objects.len());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::{Limits, MAX_OBJECTS, Store};
    use crate::cluster::reflector::{Change, Object, Unreadable};
    use crate::cluster::skipped_objects::Skipped;
    use crate::metrics::{Kind, Metrics};

    /// A limit that the values of these tests do not reach.
    const ENOUGH: usize = 32 << 20;

    fn store(bytes: usize, unknown: Option<String>) -> (Store<String>, Arc<Metrics>) {
        let metrics = Arc::new(Metrics::default());
        let limits = Limits { bytes, weigh: String::len, unknown };
        (Store::new(limits, Skipped::new(Kind::Claim, &metrics)), metrics)
    }

    fn put(name: &str, value: &str) -> Change<String> {
        Change::Applied(Object { namespace: "team".to_owned(), name: name.to_owned(), value: Ok(value.to_owned()) })
    }

    fn unreadable(name: &str) -> Change<String> {
        let value = Err(Unreadable::TooLarge);
        Change::Applied(Object { namespace: "team".to_owned(), name: name.to_owned(), value })
    }

    fn delete(name: &str) -> Change<String> {
        Change::Deleted(Object { namespace: "team".to_owned(), name: name.to_owned(), value: Ok(()) })
    }

    fn apply_all(store: &Store<String>, changes: impl IntoIterator<Item = Change<String>>) {
        for change in changes {
            store.apply(change);
        }
    }

    fn counted(metrics: &Metrics, reason: &str, times: usize) -> bool {
        let line = format!("objects_skipped_total{{kind=\"claim\",reason=\"{reason}\"}} {times}\n");
        metrics.page().contains(&line)
    }

    #[test]
    fn an_object_missing_from_a_new_list_goes_when_the_list_is_complete() {
        let (store, _) = store(ENOUGH, None);
        let find = |name: &str| store.get("team", name);
        let list = [put("a", "1"), put("b", "1"), Change::ListComplete, put("c", "2"), put("a", "3"), delete("b")];
        apply_all(&store, [Change::ListStarted].into_iter().chain(list));
        let broken = [Change::ListStarted, put("c", "5"), Change::Failed("it ends early".to_owned())];
        apply_all(&store, broken);
        assert_eq!((find("a"), find("b"), find("c")), (Some("3".to_owned()), None, Some("5".to_owned())));

        apply_all(&store, [Change::ListStarted, put("c", "6"), Change::ListComplete]);
        assert_eq!((find("a"), find("c")), (None, Some("6".to_owned())));
        assert_eq!(store.get("other", "c"), None);
        assert_eq!(store.names("team"), ["c"]);
    }

    #[test]
    fn an_object_that_cannot_be_parsed_replaces_its_old_facts() {
        let (plain, metrics) = store(ENOUGH, None);
        apply_all(&plain, [put("a", "1"), unreadable("a")]);
        assert_eq!(plain.get("team", "a"), None);
        assert!(counted(&metrics, "unreadable", 1));

        let (named, _) = store(ENOUGH, Some("unknown".to_owned()));
        apply_all(&named, [put("a", "1"), unreadable("a")]);
        assert_eq!(named.get("team", "a").as_deref(), Some("unknown"));
        named.apply(delete("a"));
        assert!(named.names("team").is_empty());
    }

    #[test]
    fn a_store_stays_within_its_limits() {
        let (many, metrics) = store(ENOUGH, None);
        apply_all(&many, (0..=MAX_OBJECTS).map(|number| put(&number.to_string(), "")));
        assert_eq!(many.names("team").len(), MAX_OBJECTS);
        assert!(counted(&metrics, "full", 1));
        many.apply(delete("7"));
        many.apply(put("another", ""));
        assert!(many.get("team", "another").is_some(), "there is room again");

        let (large, metrics) = store(1000, None);
        large.apply(put("a", &"x".repeat(500)));
        large.apply(put("b", &"x".repeat(500)));
        assert_eq!(large.names("team"), ["a"]);
        large.apply(put("a", &"x".repeat(2000)));
        assert_eq!(large.get("team", "a"), None, "its old value is not kept");
        large.apply(put("b", &"x".repeat(500)));
        assert!(large.get("team", "b").is_some(), "there is room again");
        assert!(counted(&metrics, "full", 2));

        for store in [many, large] {
            apply_all(&store, [Change::ListStarted, Change::ListComplete]);
            let state = store.state.read().unwrap();
            assert_eq!((state.objects.len(), state.bytes), (0, 0));
            assert!(state.objects.capacity() < 2000, "{}", state.objects.capacity());
        }
    }
}
