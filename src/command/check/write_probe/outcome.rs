//! The outcome of a Job that writes to a claim, and the hint for it.

use serde_json::Value;

use crate::inspect::api::Error;
use crate::inspect::job_status::{Job, condition, failure_message, user, waiting};
use crate::inspect::writable::Write;

/// The outcome of a Job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// The write failed, with the pod's own error.
    Failed(String),
    /// The user may not create Jobs or read pods; the API server's message.
    Hidden(String),
    /// The Job has not ended yet; what it waits for.
    Waits(String),
    /// The file was written, read and removed.
    Wrote,
}

/// Reads the outcome from a Job; `None` if the Job is gone.
pub(super) fn from_job(job: Option<&Job>) -> Outcome {
    let Some(Job { object, pod, warning }) = job else {
        return Outcome::Failed("the Job was deleted by someone else".to_owned());
    };
    let phase = pod.as_ref().and_then(|pod| pod.pointer("/status/phase")?.as_str());
    if phase == Some("Succeeded") || condition(object, "Complete").is_some() {
        return Outcome::Wrote;
    }
    let given_up = condition(object, "Failed");
    if phase == Some("Failed") || given_up.is_some() {
        let own = pod.as_ref().and_then(failure_message).or(given_up);
        return Outcome::Failed(own.unwrap_or_else(|| "its pod left no error message".to_owned()));
    }
    Outcome::Waits(match phase {
        Some("Running") => "writing".to_owned(),
        _ => waiting(pod.as_ref(), warning.as_deref()),
    })
}

/// The write that a Job has made, if it came so far; `None` if its outcome says nothing about the claim.
pub(super) fn write(job: &Job) -> Option<Write> {
    let message = job.pod.as_ref().and_then(|pod| pod.pointer("/status/containerStatuses/0/state/terminated/message"));
    let user = user(job);
    let reported = message.and_then(Value::as_str).and_then(|message| Write::from_output(message, user));
    if from_job(Some(job)) == Outcome::Wrote {
        let user = reported.map(|write| write.user).or(user)?;
        return Some(Write { user, has_succeeded: true });
    }
    reported.filter(|write| !write.has_succeeded)
}

/// The outcome if the API server refused a request.
pub(super) fn from_refusal(error: &Error) -> Outcome {
    let message = error.to_string();
    // Quotas, policies and webhooks answer 403 too, but that is no lack of permission.
    if error.is_forbidden() && message.contains(" cannot ") {
        Outcome::Hidden(message)
    } else if error.is_retryable() {
        Outcome::Waits(message)
    } else {
        Outcome::Failed(message)
    }
}

/// What to do about a message of the pod or of the cluster.
pub(super) fn hint(message: &str, claim: &str, namespace: &str) -> String {
    let has = |parts: &[&str]| parts.iter().any(|part| message.contains(part));
    if has(&["Permission denied", "Operation not permitted"]) {
        "The workers' user must be able to write to the claim: dynamo-cache download opens its root to group 0, and so does \
         fsGroup: 0 of the settings for each pod; on NFS, which supports neither, chgrp 0 and chmod g+rwx (docs/storage.md)"
            .to_owned()
    } else if has(&["No space left", "quota exceeded"]) {
        format!("The volume is full: kubectl describe persistentvolumeclaim {claim} -n {namespace}")
    } else if has(&["Read-only file system"]) {
        format!("The volume is read-only: kubectl get persistentvolumeclaim {claim} -n {namespace} -o yaml")
    } else if has(&["exceeded quota", "must specify"]) {
        format!("kubectl describe resourcequotas -n {namespace}")
    } else if has(&["PodSecurity", "security context constraint"]) {
        format!("kubectl describe namespace {namespace}; on OpenShift, add --probe-user none")
    } else if has(&["PersistentVolumeClaim", "persistentvolumeclaim", "persistent volumes", "Volume"]) {
        format!("kubectl describe persistentvolumeclaim {claim} -n {namespace}")
    } else if has(&["ImagePull", "InvalidImageName", "ErrImage", "executable file not found"]) {
        "Choose an image that the nodes can pull and that has a shell: --probe-image IMAGE".to_owned()
    } else {
        format!("kubectl get events -n {namespace} --sort-by=.lastTimestamp")
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{Outcome, from_job, from_refusal, hint, write};
    use crate::inspect::api::Error;
    use crate::inspect::job_status::Job;
    use crate::inspect::writable::Write;

    fn outcome(conditions: &Value, pod: Option<Value>, warning: Option<&str>) -> Outcome {
        let object = json!({"status": {"conditions": conditions}});
        from_job(Some(&Job { object, pod, warning: warning.map(str::to_owned) }))
    }

    fn pod(phase: &str, state: &Value) -> Value {
        json!({"status": {"phase": phase, "containerStatuses": [{"state": state}]}})
    }

    #[test]
    fn a_job_waits_until_its_pod_has_ended_and_then_the_pod_decides() {
        let none = json!([]);
        let waits = |words: &str| Outcome::Waits(words.to_owned());
        assert_eq!(outcome(&none, None, None), waits("waiting for its pod"));
        assert_eq!(outcome(&none, None, Some("exceeded quota")), waits("no pod: exceeded quota"));
        assert_eq!(outcome(&none, Some(pod("Running", &json!({}))), None), waits("writing"));
        let pulling = json!({"waiting": {"reason": "ErrImagePull", "message": "not found"}});
        assert_eq!(outcome(&none, Some(pod("Pending", &pulling)), None), waits("ErrImagePull: not found"));
        assert_eq!(outcome(&none, Some(pod("Succeeded", &json!({}))), None), Outcome::Wrote);
        assert_eq!(outcome(&json!([{"type": "Complete", "status": "True"}]), None, None), Outcome::Wrote);

        let failed = |message: &str| Outcome::Failed(message.to_owned());
        let terminated =
            json!({"terminated": {"reason": "Error", "message": "mktemp: Permission denied\n/x is drwxr-xr-x 0:0\n"}});
        let expected = failed("mktemp: Permission denied; /x is drwxr-xr-x 0:0");
        assert_eq!(outcome(&none, Some(pod("Failed", &terminated)), None), expected);
        let late =
            json!([{"type": "Failed", "status": "True", "message": "Job was active longer than specified deadline"}]);
        assert_eq!(outcome(&late, None, None), failed("Job was active longer than specified deadline"));
        let evicted = Some(json!({"status": {"phase": "Failed", "message": "The node was low on memory"}}));
        assert_eq!(outcome(&none, evicted, None), failed("The node was low on memory"));
        assert_eq!(from_job(None), failed("the Job was deleted by someone else"));
    }

    #[test]
    fn only_a_probe_that_ran_says_who_can_write() {
        let made = |pod: Value| write(&Job { object: json!({}), pod: Some(pod), warning: None });
        let ended = |phase: &str, message: &str| {
            let mut pod = pod(phase, &json!({"terminated": {"message": message}}));
            pod["spec"] = json!({"securityContext": {"runAsUser": 1000}});
            pod
        };
        let by = |user, has_succeeded| Some(Write { user, has_succeeded });
        assert_eq!(made(ended("Succeeded", "uid 7\nwrote\n")), by(7, true));
        assert_eq!(made(ended("Succeeded", "")), by(1000, true), "the pod's own user, if the Job could not report it");
        assert_eq!(made(ended("Failed", "uid 7\nmktemp: Permission denied\n")), by(7, false));
        assert_eq!(made(ended("Failed", "uid 7\n/m/hub is a link that leads out of the claim, to /\n")), None);
        assert_eq!(made(ended("Failed", "exec: \"sh\": Permission denied")), None, "no script ran");
        assert_eq!(made(ended("Running", "")), None);
        assert_eq!(made(json!({"status": {"phase": "Succeeded"}})), None, "the user is not known");
        let failed = from_job(Some(&Job {
            object: json!({}),
            pod: Some(ended("Failed", "uid 7\nmktemp: Permission denied\n")),
            warning: None,
        }));
        assert_eq!(failed, Outcome::Failed("mktemp: Permission denied".to_owned()));
    }

    #[test]
    fn a_missing_permission_is_not_a_failed_write() {
        let refusal =
            |message: &str| from_refusal(&Error::Refused { code: 403, message: message.to_owned(), resume: None });
        let hidden = "jobs.batch is forbidden: User \"u\" cannot create resource \"jobs\" in API group \"batch\"";
        assert_eq!(refusal(hidden), Outcome::Hidden(hidden.to_owned()));
        let quota = "jobs.batch \"x\" is forbidden: exceeded quota: few, requested: count/jobs.batch=1";
        assert_eq!(refusal(quota), Outcome::Failed(quota.to_owned()));
    }

    #[test]
    fn each_message_has_its_hint() {
        for (message, expected) in [
            ("mktemp: failed to create file: Permission denied", "docs/storage.md"),
            ("sh: 17: echo: No space left on device", "volume is full"),
            ("mktemp: Read-only file system", "is read-only"),
            ("no pod: pods \"x\" is forbidden: exceeded quota: few", "resourcequotas"),
            ("no pod: pods \"x\" is forbidden: violates PodSecurity \"restricted:latest\"", "describe namespace n"),
            ("waiting for a node: pod has unbound immediate PersistentVolumeClaims", "persistentvolumeclaim c -n n"),
            ("starting its container: MountVolume.SetUp failed for volume \"x\"", "persistentvolumeclaim c -n n"),
            ("ImagePullBackOff: Back-off pulling image \"x\"", "--probe-image"),
            ("waiting for a node: 0/3 nodes are available: 3 Insufficient cpu", "kubectl get events -n n"),
        ] {
            let hint = hint(message, "c", "n");
            assert!(hint.contains(expected), "{message}: {hint}");
        }
    }
}
