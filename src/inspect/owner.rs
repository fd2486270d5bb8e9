//! The controller of an object, the workload above it, and the command that recreates its pods.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use serde_json::Value;

use crate::inspect::api::Api;

/// The workloads of pods. Each ReplicaSet is read once.
#[derive(Default)]
pub(crate) struct Workloads {
    /// Kind and name of the controller of a ReplicaSet, by the namespace and name of that; `None` if it has none or cannot be
    /// read.
    of_replica_sets: BTreeMap<(String, String), Option<(String, String)>>,
}

impl Workloads {
    /// The workload of a pod as kubectl names it, `deployment/worker`: its controller, or the Deployment of its ReplicaSet if that
    /// can be read. Without a controller it is the pod itself.
    pub(crate) async fn find(
        &mut self,
        api: &Api,
        namespace: &str,
        pod: &str,
        controller: Option<Controller<'_>>,
    ) -> String {
        let Some(controller) = controller else { return format!("pod/{pod}") };
        match self.above(api, namespace, controller).await {
            Some((kind, name)) => workload(kind, name),
            None => workload(controller.kind, controller.name),
        }
    }

    /// The kubectl command that recreates a pod. If its ReplicaSet cannot be read, the command deletes only the pod.
    pub(crate) async fn restart_command(
        &mut self,
        api: &Api,
        namespace: &str,
        pod: &str,
        controller: Option<Controller<'_>>,
    ) -> String {
        let rollout = |kind: &str, name: &str| format!("kubectl rollout restart {kind}/{name} -n {namespace}");
        let delete = format!("kubectl delete pod {pod} -n {namespace}");
        match controller {
            Some(Controller { kind: "DaemonSet", name, .. }) => rollout("daemonset", name),
            Some(Controller { kind: "StatefulSet", name, .. }) => rollout("statefulset", name),
            Some(controller) => match self.above(api, namespace, controller).await {
                Some(("Deployment", name)) => rollout("deployment", name),
                // The controller creates a replacement.
                _ => delete,
            },
            None => format!("{delete}, then create it again: the pod has no controller"),
        }
    }

    /// Kind and name of the controller of a ReplicaSet; `None` if it has none or cannot be read, and for other kinds.
    async fn above(&mut self, api: &Api, namespace: &str, set: Controller<'_>) -> Option<(&str, &str)> {
        if set.kind != "ReplicaSet" {
            return None;
        }
        let found = match self.of_replica_sets.entry((namespace.to_owned(), set.name.to_owned())) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(unknown) => {
                let object = replica_set(api, namespace, set.name).await;
                let controller = object.as_ref().and_then(controller);
                unknown.insert(controller.map(|found| (found.kind.to_owned(), found.name.to_owned())))
            }
        };
        found.as_ref().map(|(kind, name)| (kind.as_str(), name.as_str()))
    }
}

fn workload(kind: &str, name: &str) -> String {
    format!("{}/{name}", kind.to_lowercase())
}

/// A ReplicaSet; `None` if it does not exist or cannot be read.
async fn replica_set(api: &Api, namespace: &str, name: &str) -> Option<Value> {
    api.get(&format!("/apis/apps/v1/namespaces/{namespace}/replicasets/{name}")).await.ok().flatten()
}

/// The controller of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Controller<'o> {
    /// Its kind.
    pub(crate) kind: &'o str,
    /// Its name.
    pub(crate) name: &'o str,
    /// Its UID.
    pub(crate) uid: &'o str,
}

/// The owner of an object that is marked as its controller.
pub(crate) fn controller(object: &Value) -> Option<Controller<'_>> {
    let owners = object.pointer("/metadata/ownerReferences")?.as_array()?;
    let owner = owners.iter().find(|owner| owner.get("controller").is_some_and(|is| is == true))?;
    let text = |key: &str| owner.get(key).and_then(Value::as_str).unwrap_or_default();
    Some(Controller { kind: text("kind"), name: text("name"), uid: text("uid") })
}
