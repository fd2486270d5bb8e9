//! Who makes a pod, and the command that has it made anew.

use serde_json::Value;

use crate::inspect::api::Api;

/// The kind and name of an object's controller.
pub(crate) fn controller(object: &Value) -> Option<(&str, &str)> {
    let owners = object.pointer("/metadata/ownerReferences")?.as_array()?;
    let owner = owners.iter().find(|owner| owner.get("controller").is_some_and(|is| is == true))?;
    Some((owner.get("kind")?.as_str()?, owner.get("name")?.as_str()?))
}

/// The command that has a pod made anew. A ReplicaSet that cannot be read counts as one without a Deployment.
pub(crate) async fn restart(api: &Api, namespace: &str, pod: &Value) -> String {
    let name = pod.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default();
    let rollout = |kind: &str, name: &str| format!("kubectl rollout restart {kind}/{name} -n {namespace}");
    let delete = format!("kubectl delete pod {name} -n {namespace}");
    match controller(pod) {
        Some(("DaemonSet", owner)) => rollout("daemonset", owner),
        Some(("StatefulSet", owner)) => rollout("statefulset", owner),
        Some(("ReplicaSet", owner)) => {
            let set = api.get(&format!("/apis/apps/v1/namespaces/{namespace}/replicasets/{owner}")).await;
            match set.ok().flatten().as_ref().and_then(controller) {
                Some(("Deployment", deployment)) => rollout("deployment", deployment),
                _ => delete,
            }
        }
        // Its controller makes another one.
        Some(_) => delete,
        None => format!("{delete}, and create it again: nothing else does"),
    }
}
