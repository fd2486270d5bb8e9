//! The live workloads and pods of a namespace. An object is omitted if its controller is listed too.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::inspect::api::{Api, Error};
use crate::inspect::{owner, pod};

/// Kinds of Kubernetes, controllers before the objects that they create.
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

/// Kinds of other controllers that Dynamo uses, by API group; they are read in the group's preferred version.
const OTHER_KINDS: [(&str, &str); 4] = [
    ("leaderworkerset.x-k8s.io", "leaderworkersets"),
    ("workloads.x-k8s.io", "rolebasedgroups"),
    ("grove.io", "podcliquesets"),
    ("grove.io", "podcliques"),
];

/// Lists the objects. Also returns why kinds could not be listed, one line each.
///
/// # Errors
/// The API server was not reached, or the user may not list pods.
pub(super) async fn list(api: &Api, namespace: &str) -> Result<(Vec<Value>, Vec<String>), Error> {
    let mut lists = Vec::new();
    for (group, plural) in OTHER_KINDS {
        let found = api.get(&format!("/apis/{group}")).await.unwrap_or_default();
        let version = found.as_ref().and_then(|group| group.pointer("/preferredVersion/groupVersion")?.as_str());
        lists.extend(version.map(|version| (format!("/apis/{version}"), plural)));
    }
    lists.extend(KINDS.map(|(version, plural)| (version.to_owned(), plural)));
    let (mut objects, mut hidden) = (Vec::new(), Vec::new());
    for (version, plural) in lists {
        match api.list(&format!("{version}/namespaces/{namespace}/{plural}")).await {
            Ok(found) => objects.extend(found.into_iter().filter(is_current)),
            Err(error) if error.is_forbidden() && plural != "pods" => hidden.push(error.to_string()),
            Err(error) => return Err(error),
        }
    }
    Ok((without_controlled(objects), hidden))
}

/// Whether an object still creates pods or is a running pod: not an ended pod, a completed Job or an old ReplicaSet.
fn is_current(object: &Value) -> bool {
    let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str);
    let number = |pointer: &str| object.pointer(pointer).and_then(Value::as_u64);
    match text("/kind") {
        Some("Pod") => !pod::has_ended(object),
        Some("ReplicaSet") => number("/spec/replicas") != Some(0),
        Some("Job") => number("/status/active").is_some() || text("/status/completionTime").is_none(),
        _ => true,
    }
}

/// Removes the objects whose controller is among the others.
fn without_controlled(objects: Vec<Value>) -> Vec<Value> {
    let uid = |object: &Value| object.pointer("/metadata/uid").and_then(Value::as_str).map(str::to_owned);
    let uids: BTreeSet<String> = objects.iter().filter_map(uid).collect();
    let is_controlled =
        |object: &Value| owner::controller(object).is_some_and(|controller| uids.contains(controller.uid));
    objects.into_iter().filter(|object| !is_controlled(object)).collect()
}
