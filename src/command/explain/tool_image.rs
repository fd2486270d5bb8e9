//! Whether a pod of mode `staged` waits for the image with the program of dynamo-cache.

use serde_json::Value;

use crate::admission::names::TOOL_CONTAINER;
use crate::inspect::pod;

/// What the kubelet reports of a container that is only about to start.
const STARTING: [&str; 2] = ["ContainerCreating", "PodInitializing"];

/// Why the container with the program does not start, and what to do; `None` if it does, or if the pod has none.
pub(super) fn find_waiting(pod: &Value) -> Option<[String; 2]> {
    let image = pod::init_container(pod, TOOL_CONTAINER)?.get("image").and_then(Value::as_str).unwrap_or_default();
    let mut statuses = pod.pointer("/status/initContainerStatuses")?.as_array()?.iter();
    let waiting = statuses.find(|status| status["name"] == TOOL_CONTAINER)?.pointer("/state/waiting")?;
    let text = |key: &str| waiting.get(key).and_then(Value::as_str).unwrap_or_default();
    let (reason, message) = (text("reason"), text("message"));
    if reason.is_empty() || STARTING.contains(&reason) {
        return None;
    }
    let message = if message.is_empty() { String::new() } else { format!(": {message}") };
    let fix = if reason == "CrashLoopBackOff" {
        "staging.image has to be an image of dynamo-cache: the log of this container says why its program is not copied."
    } else {
        "Set staging.image to an image that the node can pull with the pod's pull secrets, or annotate the pod \
         dynamo-cache.io/compile-mode: direct, and recreate it."
    };
    let why = format!("the pod waits for the container {TOOL_CONTAINER}, image {image}: {reason}{message}");
    Some([why, fix.to_owned()])
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::find_waiting;

    fn pod(name: &str, state: &Value) -> Value {
        json!({
            "spec": {"initContainers": [{"name": name, "image": "registry.example/tool:1"}]},
            "status": {"initContainerStatuses": [{"name": name, "state": state}]},
        })
    }

    #[test]
    fn only_a_program_whose_image_does_not_come_is_waited_for() {
        let pulling = json!({"waiting": {"reason": "ImagePullBackOff", "message": "Back-off pulling image"}});
        let [why, fix] = find_waiting(&pod("dynamo-cache-tool", &pulling)).unwrap();
        assert!(why.ends_with("image registry.example/tool:1: ImagePullBackOff: Back-off pulling image"), "{why}");
        assert!(fix.contains("staging.image"), "{fix}");
        let named = json!({"waiting": {"reason": "InvalidImageName"}});
        assert!(find_waiting(&pod("dynamo-cache-tool", &named)).unwrap()[0].ends_with(": InvalidImageName"));
        let crashing = json!({"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 10s"}});
        assert!(find_waiting(&pod("dynamo-cache-tool", &crashing)).unwrap()[1].contains("an image of dynamo-cache"));
        for (name, state) in [
            ("dynamo-cache-tool", json!({"waiting": {"reason": "PodInitializing"}})),
            ("dynamo-cache-tool", json!({"terminated": {"exitCode": 0}})),
            ("prepare", pulling),
        ] {
            assert_eq!(find_waiting(&pod(name, &state)), None, "{name} {state}");
        }
        assert_eq!(find_waiting(&json!({})), None);
    }
}
