//! The controllers that own Dynamo pods, and a read that confirms that one exists.
//!
//! A review may not come from the API server, so an event is written only for an owner that exists with this kind, name
//! and UID.

use std::time::Duration;

use k8s_openapi::api::core::v1::ObjectReference;
use kube::Client;
use kube::api::GetParams;
use kube::core::Request;
use serde::Deserialize;
use tokio::time::Instant;

use crate::admission::pod::Owner;
use crate::cluster::events::dedup::Key;

/// A kind of controller that owns pods.
struct Kind {
    group: &'static str,
    name: &'static str,
    plural: &'static str,
}

/// The controllers of Dynamo pods, and those by which people run a component without the operator: a Deployment through
/// its `ReplicaSet`, a `LeaderWorkerSet` through its `StatefulSet`s. The last two are those of `RoleBasedGroup` in its
/// older and its newer API. The chart grants `get` on these kinds and on no other.
const KINDS: [Kind; 7] = [
    Kind { group: "apps", name: "DaemonSet", plural: "daemonsets" },
    Kind { group: "apps", name: "ReplicaSet", plural: "replicasets" },
    Kind { group: "apps", name: "StatefulSet", plural: "statefulsets" },
    Kind { group: "batch", name: "Job", plural: "jobs" },
    Kind { group: "grove.io", name: "PodClique", plural: "podcliques" },
    Kind { group: "workloads.x-k8s.io", name: "Instance", plural: "instances" },
    Kind { group: "workloads.x-k8s.io", name: "RoleInstance", plural: "roleinstances" },
];

/// How long a result is cached: as long as the same event is not written again.
const CACHED_FOR: Duration = Duration::from_secs(600);

/// The most cached results, about 50 kB.
const MAX_CACHED: usize = 1024;

/// An owner named in a review, of a known kind and with names that are safe in a request path.
#[derive(Debug)]
pub(super) struct OwnerReference {
    /// The API path of its collection.
    path: String,
    /// Its name.
    name: String,
    /// The reference for an event.
    pub(super) reference: ObjectReference,
}

/// Cached results of reads of owners.
#[derive(Debug, Default)]
pub(super) struct OwnerCache(Vec<(Key, bool, Instant)>);

/// The identifying fields of an owner. A tenant writes the rest, so nothing else is parsed.
#[derive(Deserialize)]
struct Identity {
    metadata: Metadata,
}

#[derive(Deserialize)]
struct Metadata {
    uid: Option<String>,
}

impl OwnerReference {
    /// The owner of a pod in a namespace that opted in. `None` if no event may refer to it.
    pub(super) fn new(namespace: &str, owner: &Owner<'_>) -> Option<Self> {
        let parts = [&owner.api_version, &owner.kind, &owner.name, &owner.uid].map(Option::as_deref);
        let [Some(api_version), Some(kind), Some(name), Some(uid)] = parts else { return None };
        let (group, version) = api_version.split_once('/')?;
        let known = KINDS.iter().find(|known| known.group == group && known.name == kind)?;
        if !is_version(version) || !is_name(name) || !is_uid(uid) {
            return None;
        }
        let reference = ObjectReference {
            api_version: Some(api_version.to_owned()),
            kind: Some(kind.to_owned()),
            name: Some(name.to_owned()),
            namespace: Some(namespace.to_owned()),
            uid: Some(uid.to_owned()),
            ..ObjectReference::default()
        };
        let path = format!("/apis/{api_version}/namespaces/{namespace}/{}", known.plural);
        Some(OwnerReference { path, name: name.to_owned(), reference })
    }

    /// Whether the owner exists now, by a read.
    ///
    /// # Errors
    /// The read failed.
    pub(super) async fn exists(&self, client: &Client) -> Result<bool, kube::Error> {
        let request = Request::new(&self.path).get_metadata(&self.name, &GetParams::default());
        let request = request.map_err(kube::Error::BuildRequest)?;
        match client.request::<Identity>(request).await {
            Ok(found) => Ok(found.metadata.uid == self.reference.uid),
            Err(kube::Error::Api(status)) if status.code == 404 => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// The key of an event about this owner. It covers the whole reference, so a made-up owner with the UID of another
    /// does not suppress that owner's events.
    pub(super) fn key(&self, reason: &str, text: &str) -> Key {
        let uid = self.reference.uid.as_deref().unwrap_or_default();
        super::dedup::key([&format!("{}/{}", self.path, self.name), uid, reason, text])
    }
}

impl OwnerCache {
    /// A cached result.
    pub(super) fn get(&self, key: &Key, now: Instant) -> Option<bool> {
        let found = self.0.iter().find(|(of, _, until)| of == key && now < *until);
        found.map(|(_, exists, _)| *exists)
    }

    /// Caches a result, and removes expired ones or the oldest.
    pub(super) fn insert(&mut self, key: Key, exists: bool, now: Instant) {
        self.0.retain(|(of, _, until)| of != &key && now < *until);
        if self.0.len() >= MAX_CACHED {
            self.0.remove(0);
        }
        self.0.push((key, exists, now + CACHED_FOR));
    }
}

/// Whether a text is an API version such as `v1` or `v1beta2`, and safe in a path.
fn is_version(text: &str) -> bool {
    let all = |text: &str, is: fn(&u8) -> bool| text.bytes().all(|byte| is(&byte));
    text.len() <= 63 && text.starts_with('v') && all(text, |byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
}

/// Whether a text is a DNS subdomain.
fn is_name(text: &str) -> bool {
    let usual = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let is_part = |part: &str| {
        part.bytes().next().is_some_and(usual)
            && part.bytes().next_back().is_some_and(usual)
            && part.bytes().all(|byte| usual(byte) || byte == b'-')
    };
    text.len() <= 253 && text.split('.').all(is_part)
}

/// Whether a text is a UID as API servers generate them, with room for another form.
fn is_uid(text: &str) -> bool {
    (1..=128).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::json;
    use tokio::time::Instant;

    use super::{CACHED_FOR, MAX_CACHED, OwnerCache, OwnerReference};
    use crate::admission::pod::Pod;

    fn path(version: &str, kind: &str, name: &str, uid: &str) -> Option<String> {
        let owner = json!({"apiVersion": version, "kind": kind, "name": name, "uid": uid, "controller": true});
        let pod = json!({"metadata": {"ownerReferences": [owner]}}).to_string();
        let pod: Pod<'_> = serde_json::from_str(&pod).unwrap();
        OwnerReference::new("team", pod.controller().unwrap()).map(|named| format!("{}/{}", named.path, named.name))
    }

    #[test]
    fn an_owner_has_a_known_kind_and_names_that_are_safe_in_a_path() {
        let found = path("apps/v1", "ReplicaSet", "w-5d4f", "1-2");
        assert_eq!(found.as_deref(), Some("/apis/apps/v1/namespaces/team/replicasets/w-5d4f"));
        let found = path("grove.io/v1alpha1", "PodClique", "graph-0.decode", "1");
        assert_eq!(found.as_deref(), Some("/apis/grove.io/v1alpha1/namespaces/team/podcliques/graph-0.decode"));
        for (version, kind, name, uid) in [
            ("v1", "ConfigMap", "c", "1"),
            ("v1", "ReplicaSet", "c", "1"),
            ("apps/v1", "Secret", "c", "1"),
            ("apps/../v1", "ReplicaSet", "c", "1"),
            ("apps/v1?x", "ReplicaSet", "c", "1"),
            ("apps/", "ReplicaSet", "c", "1"),
            ("apps/v1", "ReplicaSet", "../secrets/s", "1"),
            ("apps/v1", "ReplicaSet", "..", "1"),
            ("apps/v1", "ReplicaSet", "a..b", "1"),
            ("apps/v1", "ReplicaSet", "c?watch=1", "1"),
            ("apps/v1", "ReplicaSet", "", "1"),
            ("apps/v1", "ReplicaSet", &"c".repeat(254), "1"),
            ("apps/v1", "ReplicaSet", "c", ""),
            ("apps/v1", "ReplicaSet", "c", "call this number"),
        ] {
            assert_eq!(path(version, kind, name, uid), None, "{version} {kind} {name} {uid}");
        }
    }

    #[test]
    fn results_are_cached_for_a_while_and_bounded() {
        let (mut owners, now) = (OwnerCache::default(), Instant::now());
        let key = |number: usize| super::super::dedup::key([&number.to_string(), "", "", ""]);
        for number in 0..=MAX_CACHED {
            owners.insert(key(number), number % 2 == 0, now);
        }
        assert_eq!(owners.0.len(), MAX_CACHED);
        assert_eq!([0, 1, 2].map(|number| owners.get(&key(number), now)), [None, Some(false), Some(true)]);
        let later = now + CACHED_FOR + Duration::from_millis(1);
        assert_eq!(owners.get(&key(2), later), None);
        owners.insert(key(0), true, later);
        assert_eq!(owners.0.len(), 1);
    }
}
