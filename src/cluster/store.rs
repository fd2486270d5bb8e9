//! What a reflector hands on, reduced to what we use, and bounded: who may create objects decides how many there are.

use std::collections::HashMap;
use std::collections::hash_map::Entry as Slot;
use std::sync::{PoisonError, RwLock, RwLockWriteGuard};

use tracing::info;

use super::collection::Collection;
use super::reflector::{self, Change, Object};
use super::skipped::Skipped;
use crate::cluster::watch_one;
use crate::metrics::{Kind, Metrics, Skip};

/// Objects that are stored at most. Of any other nothing is known, and who asks for it has it read.
const MOST: usize = 100_000;

/// Bytes that an entry takes besides its names and what its value has elsewhere: two allocations, and its part of two tables.
const ENTRY: usize = 80;

/// Values by namespace and name; what has no namespace stands under the empty one. A look-up costs no allocation.
#[derive(Debug)]
pub(super) struct Store<V> {
    known: RwLock<Known<V>>,
    limits: Limits<V>,
    skipped: Skipped,
}

/// What a store takes, and how its values are measured.
#[derive(Debug)]
pub(super) struct Limits<V> {
    /// Bytes of all entries together.
    pub(super) bytes: usize,
    /// Bytes that a value has elsewhere.
    pub(super) weigh: fn(&V) -> usize,
    /// What stands for an object whose facts are unknown; none: nothing does.
    pub(super) unknown: Option<V>,
}

#[derive(Debug)]
struct Known<V> {
    objects: HashMap<Box<str>, HashMap<Box<str>, Entry<V>>>,
    count: usize,
    bytes: usize,
    /// Moves on with each list: what is not in it is gone when it is complete. There is never a second copy.
    list: u64,
}

#[derive(Debug)]
struct Entry<V> {
    value: V,
    list: u64,
}

impl<V: Clone> Store<V> {
    /// Nothing is known yet. What it does not take is counted.
    pub(super) fn new(limits: Limits<V>, skipped: Skipped) -> Self {
        let known = Known { objects: HashMap::new(), count: 0, bytes: 0, list: 0 };
        Store { known: RwLock::new(known), limits, skipped }
    }

    /// What is known of an object.
    pub(super) fn find(&self, namespace: &str, name: &str) -> Option<V> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        known.objects.get(namespace)?.get(name).map(|entry| entry.value.clone())
    }

    /// The names of all that are known in a namespace, in no order.
    pub(super) fn names(&self, namespace: &str) -> Vec<Box<str>> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        known.objects.get(namespace).into_iter().flat_map(HashMap::keys).cloned().collect()
    }

    /// Follows a collection for ever. Errors are logged and counted, and it goes on; what was known before stays until a
    /// new list is complete. `tell` is called with each complete list and with each error, after which there is a new one.
    pub(super) async fn follow(
        &self,
        collection: &Collection,
        read: impl Fn(&[u8]) -> Result<V, serde_json::Error>,
        (kind, metrics): (Kind, &Metrics),
        tell: impl Fn(Result<(), String>),
    ) {
        let change = |change: Change<V>| match change {
            Change::Failed(why) => tell(Err(watch_one::failed(kind, metrics, &why))),
            Change::Complete => {
                info!(?kind, objects = self.complete(), "watching");
                tell(Ok(()));
            }
            change => self.take(change),
        };
        reflector::follow(collection, read, change).await;
    }

    fn take(&self, change: Change<V>) {
        match change {
            Change::Begun => self.write().list += 1,
            Change::Complete => _ = self.complete(),
            Change::Applied(Object { namespace, name, value }) => {
                let value = value.map_err(|why| {
                    self.skipped.count(Skip::Unreadable, &namespace, &name, &why);
                });
                let value = value.ok().or_else(|| self.limits.unknown.clone());
                let mut known = self.write();
                let is_kept = if let Some(value) = value {
                    known.put(&self.limits, &namespace, &name, value)
                } else {
                    known.remove(&self.limits, &namespace, &name);
                    true
                };
                drop(known);
                if !is_kept {
                    self.skipped.count(Skip::Full, &namespace, &name, &"so much is known already");
                }
            }
            Change::Deleted(Object { namespace, name, .. }) => self.write().remove(&self.limits, &namespace, &name),
            Change::Failed(_) => {}
        }
    }

    /// Forgets what was not in the list that is complete now; how many objects are known.
    fn complete(&self) -> usize {
        let mut known = self.write();
        let Known { objects, count, bytes, list } = &mut *known;
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

    fn write(&self) -> RwLockWriteGuard<'_, Known<V>> {
        self.known.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<V> Limits<V> {
    fn size(&self, namespace: &str, name: &str, value: &V) -> usize {
        namespace.len() + name.len() + ENTRY + (self.weigh)(value)
    }
}

impl<V> Known<V> {
    /// False: there is no room for it, and nothing is known of it.
    fn put(&mut self, limits: &Limits<V>, namespace: &str, name: &str, value: V) -> bool {
        self.remove(limits, namespace, name);
        let size = limits.size(namespace, name, &value);
        if self.count >= MOST || self.bytes + size > limits.bytes || name.is_empty() {
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

    use super::{Limits, MOST, Store};
    use crate::cluster::reflector::{Change, Object, Unreadable};
    use crate::cluster::skipped::Skipped;
    use crate::metrics::{Kind, Metrics};

    /// Bytes of a store without values to speak of.
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
        let value = Err(Unreadable::Cut);
        Change::Applied(Object { namespace: "team".to_owned(), name: name.to_owned(), value })
    }

    fn delete(name: &str) -> Change<String> {
        Change::Deleted(Object { namespace: "team".to_owned(), name: name.to_owned(), value: Ok(()) })
    }

    fn take(store: &Store<String>, changes: impl IntoIterator<Item = Change<String>>) {
        for change in changes {
            store.take(change);
        }
    }

    fn counted(metrics: &Metrics, reason: &str, times: usize) -> bool {
        let line = format!("objects_skipped_total{{kind=\"claim\",reason=\"{reason}\"}} {times}\n");
        metrics.page().contains(&line)
    }

    #[test]
    fn what_is_gone_when_a_new_list_is_complete_is_gone_and_not_before() {
        let (store, _) = store(ENOUGH, None);
        let find = |name: &str| store.find("team", name);
        let list = [put("a", "1"), put("b", "1"), Change::Complete, put("c", "2"), put("a", "3"), delete("b")];
        take(&store, [Change::Begun].into_iter().chain(list));
        let broken = [Change::Begun, put("c", "5"), Change::Failed("it ends early".to_owned())];
        take(&store, broken);
        assert_eq!((find("a"), find("b"), find("c")), (Some("3".to_owned()), None, Some("5".to_owned())));

        take(&store, [Change::Begun, put("c", "6"), Change::Complete]);
        assert_eq!((find("a"), find("c")), (None, Some("6".to_owned())));
        assert_eq!(store.find("other", "c"), None);
        assert_eq!(store.names("team"), ["c".into()]);
    }

    #[test]
    fn of_what_cannot_be_read_nothing_old_is_known_and_it_can_be_deleted() {
        let (plain, metrics) = store(ENOUGH, None);
        take(&plain, [put("a", "1"), unreadable("a")]);
        assert_eq!(plain.find("team", "a"), None);
        assert!(counted(&metrics, "unreadable", 1));

        let (named, _) = store(ENOUGH, Some("unknown".to_owned()));
        take(&named, [put("a", "1"), unreadable("a")]);
        assert_eq!(named.find("team", "a").as_deref(), Some("unknown"));
        named.take(delete("a"));
        assert!(named.names("team").is_empty());
    }

    #[test]
    fn no_more_is_stored_than_its_bounds() {
        let (many, metrics) = store(ENOUGH, None);
        take(&many, (0..=MOST).map(|number| put(&number.to_string(), "")));
        assert_eq!(many.names("team").len(), MOST);
        assert!(counted(&metrics, "full", 1));
        many.take(delete("7"));
        many.take(put("another", ""));
        assert!(many.find("team", "another").is_some(), "there is room again");

        let (large, metrics) = store(1000, None);
        large.take(put("a", &"x".repeat(500)));
        large.take(put("b", &"x".repeat(500)));
        assert_eq!(large.names("team"), ["a".into()]);
        large.take(put("a", &"x".repeat(2000)));
        assert_eq!(large.find("team", "a"), None, "what it was before is not what it is");
        large.take(put("b", &"x".repeat(500)));
        assert!(large.find("team", "b").is_some(), "there is room again");
        assert!(counted(&metrics, "full", 2));
    }
}
