//! The controller of an object, and the command that recreates its pods.

use serde_json::Value;

use crate::inspect::api::Api;

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

/// The kubectl command that recreates a pod. If its ReplicaSet cannot be read, the command deletes only the pod.
pub(crate) async fn restart_command(api: &Api, namespace: &str, pod: &Value) -> String {
    let name = pod.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default();
    let rollout = |kind: &str, name: &str| format!("kubectl rollout restart {kind}/{name} -n {namespace}");
    let delete = format!("kubectl delete pod {name} -n {namespace}");
    match controller(pod) {
        Some(Controller { kind: "DaemonSet", name, .. }) => rollout("daemonset", name),
        Some(Controller { kind: "StatefulSet", name, .. }) => rollout("statefulset", name),
        Some(Controller { kind: "ReplicaSet", name, .. }) => {
            let set = api.get(&format!("/apis/apps/v1/namespaces/{namespace}/replicasets/{name}")).await;
            match set.ok().flatten().as_ref().and_then(controller) {
                Some(Controller { kind: "Deployment", name, .. }) => rollout("deployment", name),
                _ => delete,
            }
        }
        // The controller creates a replacement.
        Some(_) => delete,
        None => format!("{delete}, then create it again: the pod has no controller"),
    }
}
