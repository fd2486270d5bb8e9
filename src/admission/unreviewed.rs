//! Whether a pod should have a status annotation and has none: the question of the guard, the pod count, `check` and `status`.

use super::annotation::STATUS;
use super::classification::{self, Classification};
use super::pod::Pod;
use super::status;

/// Whether the webhook records a status on such a pod and this one has none: the webhook was not called, or did not answer.
///
/// Metadata alone is enough for components with a label, as the guard sees them; a component that only its command line shows
/// needs the whole pod. Whether the pod still runs does not matter.
pub fn is_unreviewed(pod: &Pod<'_>) -> bool {
    pod.annotation(STATUS).is_none() && leaves_status(pod) && status::has_room(pod)
}

/// Whether the webhook records a status on such a pod.
pub fn leaves_status(pod: &Pod<'_>) -> bool {
    match classification::classify(pod).0 {
        Classification::Component(..) => true,
        Classification::Untouched(reason) => !reason.leaves_no_status(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::pod::Pod;
    use super::is_unreviewed;

    fn of_metadata(metadata: &str) -> bool {
        let json = format!(r#"{{"metadata":{{{metadata}}}}}"#);
        let pod: Pod<'_> = serde_json::from_str(&json).unwrap();
        is_unreviewed(&pod)
    }

    #[test]
    fn metadata_shows_which_labelled_pods_are_unreviewed() {
        let component = r#""labels":{"nvidia.com/dynamo-component-type":"worker"}"#;
        let with = |annotations: &str| of_metadata(&format!(r#"{component},"annotations":{{{annotations}}}"#));
        assert!(of_metadata(component), "a component without annotations");
        assert!(with(r#""dynamo-cache.io/inject":"true""#), "one that asks for it");
        assert!(!with(r#""dynamo-cache.io/status":"{}""#), "one that was reviewed");
        assert!(!with(r#""dynamo-cache.io/inject":" false ""#), "one that opted out");
        assert!(!with(r#""kubernetes.io/config.mirror":"hash""#), "a static pod's mirror");
        assert!(with(r#""nvidia.com/restore-from":"x""#), "one of Dynamo Snapshot, which gets a status too");
        assert!(!with(&format!(r#""a":"{}""#, "x".repeat(260_000))), "one without room for a status");
        assert!(!of_metadata(r#""labels":{"app":"web"}"#), "no component");
    }

    #[test]
    fn a_whole_pod_shows_more_than_its_labels() {
        let json = r#"{"spec":{"containers":[{"name":"main","command":["python3","-m","dynamo.vllm"]}]}}"#;
        let pod: Pod<'_> = serde_json::from_str(json).unwrap();
        assert!(is_unreviewed(&pod));
    }
}
