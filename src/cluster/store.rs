//! The objects of a reflector, reduced to what we use and bounded: tenants who may create objects decide how many there
//! are.
//!
//! Why not kube's `reflector::Store`: it holds whole typed objects, keeps a second copy while it lists, and has no
//! bound.

use std::collections::HashMap;
use std::collections::hash_map::Entry as Slot;
use std::sync::{PoisonError, RwLock, RwLockWriteGuard};

use tracing::info;

use super::collection::Collection;
use super::reflector::{self, Change, Object};
use crate::cluster::skipped_objects::Skipped;
use crate::cluster::watch_one;
use crate::metrics::{Kind, Metrics, SkipReason};

/// The most objects in a store. A caller reads any other object from the API server.
const MAX_OBJECTS: usize = 100_000;

/// The overhead of an entry besides its names and the heap of its value: two allocations, and its share of two tables.
const ENTRY_OVERHEAD: usize = 80;

/// Values by namespace and name. Cluster-scoped objects have the empty namespace. A look-up does not allocate.
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
    objects: HashMap<Box<str>, HashMap<Box<str>, Entry<V>>>,
    count: usize,
    bytes: usize,
    /// The number of the current list. Entries of an earlier list are removed once it is complete, so there is never a
    /// second copy.
    list: u64,
}

#[derive(Debug)]
struct Entry<V> {
    value: V,
    list: u64,
}

impl<V: Clone> Store<V> {
    /// An empty store. Objects that it rejects are counted in `skipped`.
    pub(super) fn new(limits: Limits<V>, skipped: Skipped) -> Self {
        let state = State { objects: HashMap::new(), count: 0, bytes: 0, list: 0 };
        Store { state: RwLock::new(state), limits, skipped }
    }

    /// The value of an object.
    pub(super) fn get(&self, namespace: &str, name: &str) -> Option<V> {
        let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
        state.objects.get(namespace)?.get(name).map(|entry| entry.value.clone())
    }

    /// The names of all objects in a namespace, in no particular order.
    pub(super) fn names(&self, namespace: &str) -> Vec<Box<str>> {
        let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
        state.objects.get(namespace).into_iter().flat_map(HashMap::keys).cloned().collect()
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
                let mut state = self.write();
                let is_kept = if let Some(value) = value {
                    state.insert(&self.limits, &namespace, &name, value)
                } else {
                    state.remove(&self.limits, &namespace, &name);
                    true
                };
                drop(state);
                if !is_kept {
                    self.skipped.record(SkipReason::Full, &namespace, &name, &"the store is full");
                }
            }
            Change::Deleted(Object { namespace, name, .. }) => self.write().remove(&self.limits, &namespace, &name),
            Change::Failed(_) => {}
        }
    }

    /// Removes the objects that are not in the list that is now complete. Returns how many remain.
    fn complete(&self) -> usize {
        let mut state = self.write();
        let State { objects, count, bytes, list } = &mut *state;
        objects.retain(|namespace, names| {
            names.retain(|name, entry| {
                let stays = entry.list == *list;
                if !stays {
                    *count -= 1;
                    *bytes -= self.limits.size(namespace, name, &entry.value);
                }
                stays
            });
            !names.is_empty()
        });
        *count
    }

    fn write(&self) -> RwLockWriteGuard<'_, State<V>> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<V> Limits<V> {
    fn size(&self, namespace: &str, name: &str, value: &V) -> usize {
        namespace.len() + name.len() + ENTRY_OVERHEAD + (self.weigh)(value)
    }
}

impl<V> State<V> {
    /// Inserts a value. Returns false if the store is full; the object then has no entry.
    fn insert(&mut self, limits: &Limits<V>, namespace: &str, name: &str, value: V) -> bool {
        self.remove(limits, namespace, name);
        let size = limits.size(namespace, name, &value);
        if self.count >= MAX_OBJECTS || self.bytes + size > limits.bytes || name.is_empty() {
            return false;
        }
        let list = self.list;
        self.objects.entry(namespace.into()).or_default().insert(name.into(), Entry { value, list });
        self.count += 1;
        self.bytes += size;
        true
    }

    fn remove(&mut self, limits: &Limits<V>, namespace: &str, name: &str) {
        let Slot::Occupied(mut names) = self.objects.entry(namespace.into()) else { return };
        if let Some(entry) = names.get_mut().remove(name) {
            self.count -= 1;
            self.bytes -= limits.size(namespace, name, &entry.value);
        }
        if names.get().is_empty() {
            names.remove();
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
        assert_eq!(store.names("team"), ["c".into()]);
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
        assert_eq!(large.names("team"), ["a".into()]);
        large.apply(put("a", &"x".repeat(2000)));
        assert_eq!(large.get("team", "a"), None, "its old value is not kept");
        large.apply(put("b", &"x".repeat(500)));
        assert!(large.get("team", "b").is_some(), "there is room again");
        assert!(counted(&metrics, "full", 2));
    }
}
