//! How a pod started: when it was scheduled, when it was ready, and what happened in between.

use std::time::Duration;

use k8s_openapi::jiff::Timestamp;
use serde_json::Value;

/// The time from the scheduling of a pod until it was ready; `None` if it is not ready, or if a container has restarted, so
/// that the time when it became ready is that of another start.
pub(crate) fn time_to_ready(pod: &Value) -> Option<Duration> {
    if restarts(pod) > 0 {
        return None;
    }
    let conditions = pod.pointer("/status/conditions")?.as_array()?;
    let since = |kind: &str| {
        let is_true = |condition: &&Value| condition["type"] == kind && condition["status"] == "True";
        let condition = conditions.iter().find(is_true)?;
        condition.get("lastTransitionTime")?.as_str()?.parse::<Timestamp>().ok()
    };
    Duration::try_from(since("Ready")?.duration_since(since("PodScheduled")?)).ok()
}

/// How often the containers of a pod have restarted, init containers included.
fn restarts(pod: &Value) -> u64 {
    let lists = ["/status/containerStatuses", "/status/initContainerStatuses"];
    let statuses = lists.iter().filter_map(|list| pod.pointer(list)?.as_array()).flatten();
    statuses.filter_map(|status| status.get("restartCount")?.as_u64()).fold(0, u64::saturating_add)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::{Value, json};

    use super::time_to_ready;

    fn pod(ready: &str) -> Value {
        json!({"status": {
            "conditions": [
                {"type": "Ready", "status": ready, "lastTransitionTime": "2026-11-29T10:01:48Z"},
                {"type": "PodScheduled", "status": "True", "lastTransitionTime": "2026-11-29T10:01:00Z"},
            ],
            "containerStatuses": [{"name": "main", "restartCount": 0}],
        }})
    }

    #[test]
    fn the_time_is_that_between_the_two_conditions_of_the_first_start() {
        assert_eq!(time_to_ready(&pod("True")), Some(Duration::from_secs(48)));
        assert_eq!(time_to_ready(&pod("False")), None);
        let mut restarted = pod("True");
        restarted["status"]["containerStatuses"][0]["restartCount"] = json!(1);
        assert_eq!(time_to_ready(&restarted), None);
        for broken in [json!({}), json!({"status": {"conditions": 7}}), json!({"status": {"conditions": [7]}})] {
            assert_eq!(time_to_ready(&broken), None, "{broken}");
        }
        let mut backwards = pod("True");
        backwards["status"]["conditions"][0]["lastTransitionTime"] = json!("2026-11-29T10:00:00Z");
        assert_eq!(time_to_ready(&backwards), None, "clocks of two machines differ");
    }
}
