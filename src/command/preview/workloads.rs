//! The live objects of a namespace that have pods, each once: what makes it, where that is known.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::inspect::api::{Api, Error};

/// Kinds of Kubernetes, the makers before the made.
const KINDS: [(&str, &str); 8] = [
    ("/apis/apps/v1", "deployments"),
    ("/apis/apps/v1", "statefulsets"),
    ("/apis/apps/v1", "daemonsets"),
    ("/apis/batch/v1", "cronjobs"),
    ("/apis/batch/v1", "jobs"),
    ("/apis/apps/v1", "replicasets"),
    ("/api/v1", "replicationcontrollers"),
    ("/api/v1", "pods"),
];

/// Kinds of Dynamo's neighbours, in the version that the cluster prefers.
const NEIGHBOURS: [(&str, &str); 4] = [
    ("leaderworkerset.x-k8s.io", "leaderworkersets"),
    ("workloads.x-k8s.io", "rolebasedgroups"),
    ("grove.io", "podcliquesets"),
    ("grove.io", "podcliques"),
];

/// The objects, and what could not be read, a line each.
///
/// # Errors
/// The API server was not reached, or pods may not be read.
pub(super) async fn of(api: &Api, namespace: &str) -> Result<(Vec<Value>, Vec<String>), Error> {
    let mut places = Vec::new();
    for (group, plural) in NEIGHBOURS {
        let found = api.get(&format!("/apis/{group}")).await.unwrap_or_default();
        let version = found.as_ref().and_then(|group| group.pointer("/preferredVersion/groupVersion")?.as_str());
        places.extend(version.map(|version| (format!("/apis/{version}"), plural)));
    }
    places.extend(KINDS.map(|(version, plural)| (version.to_owned(), plural)));
    let (mut objects, mut hidden) = (Vec::new(), Vec::new());
    for (version, plural) in places {
        match api.list(&format!("{version}/namespaces/{namespace}/{plural}")).await {
            Ok(found) => objects.extend(found.into_iter().filter(is_current)),
            Err(error) if error.is_forbidden() && plural != "pods" => hidden.push(error.to_string()),
            Err(error) => return Err(error),
        }
    }
    Ok((without_made(objects), hidden))
}

/// Leaves out what is over: pods that have ended, Jobs that are done, old `ReplicaSets`.
fn is_current(object: &Value) -> bool {
    let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str);
    let number = |pointer: &str| object.pointer(pointer).and_then(Value::as_u64);
    match text("/kind") {
        Some("Pod") => !matches!(text("/status/phase"), Some("Failed" | "Succeeded")),
        Some("ReplicaSet") => number("/spec/replicas") != Some(0),
        Some("Job") => number("/status/active").is_some() || text("/status/completionTime").is_none(),
        _ => true,
    }
}

/// Leaves out what one of the others has made.
fn without_made(objects: Vec<Value>) -> Vec<Value> {
    let uid = |object: &Value| object.pointer("/metadata/uid").and_then(Value::as_str).map(str::to_owned);
    let makers: BTreeSet<String> = objects.iter().filter_map(uid).collect();
    let is_made = |object: &Value| {
        let owners = object.pointer("/metadata/ownerReferences").and_then(Value::as_array);
        let owner = owners.into_iter().flatten().find(|owner| owner.get("controller").is_some_and(|is| is == true));
        owner.and_then(|owner| owner.get("uid")?.as_str()).is_some_and(|owner| makers.contains(owner))
    };
    objects.into_iter().filter(|object| !is_made(object)).collect()
}
