//! The controllers that own Dynamo pods, and a read that says whether one of them is there.
//!
//! A review need not come from an API server. What it says of an owner is written only where the owner itself is there, by kind, name and
//! UID.

use std::time::Duration;

use k8s_openapi::api::core::v1::ObjectReference;
use kube::Client;
use kube::api::GetParams;
use kube::core::Request;
use serde::Deserialize;
use tokio::time::Instant;

use crate::admission::pod::Owner;
use crate::cluster::events::dedup::Key;

/// A kind whose objects own pods.
struct Kind {
    group: &'static str,
    name: &'static str,
    plural: &'static str,
}

/// Those that own the pods of Dynamo, and those by which people run a component without its operator: a Deployment by its
/// `ReplicaSet`, a `LeaderWorkerSet` by its `StatefulSet`s. The last two are those of `RoleBasedGroup`, in its older and its newer API.
/// The chart gives the right to get each, and no other.
const KINDS: [Kind; 7] = [
    Kind { group: "apps", name: "DaemonSet", plural: "daemonsets" },
    Kind { group: "apps", name: "ReplicaSet", plural: "replicasets" },
    Kind { group: "apps", name: "StatefulSet", plural: "statefulsets" },
    Kind { group: "batch", name: "Job", plural: "jobs" },
    Kind { group: "grove.io", name: "PodClique", plural: "podcliques" },
    Kind { group: "workloads.x-k8s.io", name: "Instance", plural: "instances" },
    Kind { group: "workloads.x-k8s.io", name: "RoleInstance", plural: "roleinstances" },
];

/// How long a result is remembered: as long as the same is not told again.
const REMEMBERED: Duration = Duration::from_secs(600);

/// How many results are remembered; some fifty kilobytes.
const MOST_REMEMBERED: usize = 1024;

/// An owner as a review names it, of a kind that can be read and with names that can stand in a path.
#[derive(Debug)]
pub(super) struct Named {
    /// Where it is read.
    path: String,
    /// Its name there.
    name: String,
    /// It, as an event refers to it.
    pub(super) reference: ObjectReference,
}

/// What was read of owners.
#[derive(Debug, Default)]
pub(super) struct Confirmed(Vec<(Key, bool, Instant)>);

/// As much of an object as tells which one it is; its author is a tenant, so no more of it is read.
#[derive(Deserialize)]
struct Identity {
    metadata: Metadata,
}

#[derive(Deserialize)]
struct Metadata {
    uid: Option<String>,
}

impl Named {
    /// An owner in a namespace whose name is known to be one; none: no event can be about it.
    pub(super) fn of(namespace: &str, owner: &Owner<'_>) -> Option<Self> {
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
        Some(Named { path, name: name.to_owned(), reference })
    }

    /// Whether it is there, as the API server has it now.
    ///
    /// # Errors
    /// It could not be read.
    pub(super) async fn is_there(&self, client: &Client) -> Result<bool, kube::Error> {
        let request = Request::new(&self.path).get_metadata(&self.name, &GetParams::default());
        let request = request.map_err(kube::Error::BuildRequest)?;
        match client.request::<Identity>(request).await {
            Ok(found) => Ok(found.metadata.uid == self.reference.uid),
            Err(kube::Error::Api(status)) if status.code == 404 => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// What it is told, in short: all of it counts, so that a made-up owner with the UID of another takes nothing from that one.
    pub(super) fn key(&self, reason: &str, text: &str) -> Key {
        let uid = self.reference.uid.as_deref().unwrap_or_default();
        super::dedup::key([&format!("{}/{}", self.path, self.name), uid, reason, text])
    }
}

impl Confirmed {
    /// What was read a short while ago.
    pub(super) fn find(&self, key: &Key, now: Instant) -> Option<bool> {
        let found = self.0.iter().find(|(of, _, until)| of == key && now < *until);
        found.map(|(_, is_there, _)| *is_there)
    }

    /// Remembers what was read, in place of what is old or oldest.
    pub(super) fn remember(&mut self, key: Key, is_there: bool, now: Instant) {
        self.0.retain(|(of, _, until)| of != &key && now < *until);
        if self.0.len() >= MOST_REMEMBERED {
            self.0.remove(0);
        }
        self.0.push((key, is_there, now + REMEMBERED));
    }
}

/// `v1`, `v1beta2`: what Kubernetes takes for a version, and a path for a part.
fn is_version(text: &str) -> bool {
    let all = |text: &str, is: fn(&u8) -> bool| text.bytes().all(|byte| is(&byte));
    text.len() <= 63 && text.starts_with('v') && all(text, |byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
}

/// A DNS subdomain.
fn is_name(text: &str) -> bool {
    let usual = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let is_part = |part: &str| {
        part.bytes().next().is_some_and(usual)
            && part.bytes().next_back().is_some_and(usual)
            && part.bytes().all(|byte| usual(byte) || byte == b'-')
    };
    text.len() <= 253 && text.split('.').all(is_part)
}

/// An identity as API servers make them, with room for another form.
fn is_uid(text: &str) -> bool {
    (1..=128).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::json;
    use tokio::time::Instant;

    use super::{Confirmed, MOST_REMEMBERED, Named, REMEMBERED};
    use crate::admission::pod::Pod;

    fn path(version: &str, kind: &str, name: &str, uid: &str) -> Option<String> {
        let owner = json!({"apiVersion": version, "kind": kind, "name": name, "uid": uid, "controller": true});
        let pod = json!({"metadata": {"ownerReferences": [owner]}}).to_string();
        let pod: Pod<'_> = serde_json::from_str(&pod).unwrap();
        Named::of("team", pod.controller().unwrap()).map(|named| format!("{}/{}", named.path, named.name))
    }

    #[test]
    fn an_owner_is_of_a_known_kind_and_its_names_lead_nowhere_else() {
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
    fn what_was_read_is_remembered_for_a_while_and_bounded() {
        let (mut confirmed, now) = (Confirmed::default(), Instant::now());
        let key = |number: usize| super::super::dedup::key([&number.to_string(), "", "", ""]);
        for number in 0..=MOST_REMEMBERED {
            confirmed.remember(key(number), number % 2 == 0, now);
        }
        assert_eq!(confirmed.0.len(), MOST_REMEMBERED);
        assert_eq!([0, 1, 2].map(|number| confirmed.find(&key(number), now)), [None, Some(false), Some(true)]);
        let later = now + REMEMBERED + Duration::from_millis(1);
        assert_eq!(confirmed.find(&key(2), later), None);
        confirmed.remember(key(0), true, later);
        assert_eq!(confirmed.0.len(), 1);
    }
}
