//! What became of a Job that writes to a claim, and what to do about it.

use serde_json::Value;

use crate::inspect::api::Error;
use crate::inspect::job_status::{Job, condition, plain, waiting};

/// What became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The claim was not written, by the pod's own error.
    Failed(String),
    /// Whoever asks may not create Jobs or read pods; the API server's sentence.
    Hidden(String),
    /// It has not run to its end yet; what it waits for.
    Waits(String),
    /// The file was written, read and removed.
    Wrote,
}

/// Reads the state of a Job; none: it is gone.
pub(super) fn of(job: Option<&Job>) -> Verdict {
    let Some(Job { object, pod, warning }) = job else {
        return Verdict::Failed("somebody else has deleted the Job".to_owned());
    };
    let phase = pod.as_ref().and_then(|pod| pod.pointer("/status/phase")?.as_str());
    if phase == Some("Succeeded") || condition(object, "Complete").is_some() {
        return Verdict::Wrote;
    }
    let given_up = condition(object, "Failed");
    if phase == Some("Failed") || given_up.is_some() {
        let own = pod.as_ref().and_then(last_words).or(given_up);
        return Verdict::Failed(own.unwrap_or_else(|| "its pod says nothing".to_owned()));
    }
    Verdict::Waits(match phase {
        Some("Running") => "writing".to_owned(),
        _ => waiting(pod.as_ref(), warning.as_deref()),
    })
}

/// What the cluster's refusal of a request means.
pub(super) fn refused(error: &Error) -> Verdict {
    let sentence = error.to_string();
    // A quota, a policy or a webhook forbid, too, but not the person.
    if error.is_forbidden() && sentence.contains(" cannot ") {
        Verdict::Hidden(sentence)
    } else if error.may_pass() {
        Verdict::Waits(sentence)
    } else {
        Verdict::Failed(sentence)
    }
}

/// What a pod said before it failed, in a line; where its container never ran, what the kubelet says.
fn last_words(pod: &Value) -> Option<String> {
    let text = |pointer: &str| pod.pointer(pointer).and_then(Value::as_str).filter(|text| !text.trim().is_empty());
    let said = text("/status/containerStatuses/0/state/terminated/message")
        .or_else(|| text("/status/message"))
        .or_else(|| text("/status/containerStatuses/0/state/terminated/reason"))
        .or_else(|| text("/status/reason"))?;
    Some(plain(said).lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join("; "))
}

/// What to do about a sentence of the pod or of the cluster.
pub(super) fn hint(said: &str, claim: &str, namespace: &str) -> String {
    let has = |parts: &[&str]| parts.iter().any(|part| said.contains(part));
    if has(&["Permission denied", "Operation not permitted"]) {
        "The workers' user must be able to write there: dynamo-cache download prepares the root by its fsGroup, so does \
         fsGroup: 0 of the settings for each pod; NFS takes neither: chgrp 0 and chmod g+rwx (docs/storage.md)"
            .to_owned()
    } else if has(&["No space left", "quota exceeded"]) {
        format!("The volume is full: kubectl describe persistentvolumeclaim {claim} -n {namespace}")
    } else if has(&["Read-only file system"]) {
        format!("The volume can only be read: kubectl get persistentvolumeclaim {claim} -n {namespace} -o yaml")
    } else if has(&["exceeded quota", "must specify"]) {
        format!("kubectl describe resourcequotas -n {namespace}")
    } else if has(&["PodSecurity", "security context constraint"]) {
        format!("kubectl describe namespace {namespace}; on OpenShift: --probe-user none")
    } else if has(&["PersistentVolumeClaim", "persistentvolumeclaim", "persistent volumes", "Volume"]) {
        format!("kubectl describe persistentvolumeclaim {claim} -n {namespace}")
    } else if has(&["ImagePull", "InvalidImageName", "ErrImage", "executable file not found"]) {
        "--probe-image IMAGE names one that the nodes can pull, with a shell".to_owned()
    } else {
        format!("kubectl get events -n {namespace} --sort-by=.lastTimestamp")
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{Verdict, hint, of, refused};
    use crate::inspect::api::Error;
    use crate::inspect::job_status::Job;

    fn verdict(conditions: &Value, pod: Option<Value>, warning: Option<&str>) -> Verdict {
        let object = json!({"status": {"conditions": conditions}});
        of(Some(&Job { object, pod, warning: warning.map(str::to_owned) }))
    }

    fn pod(phase: &str, state: &Value) -> Value {
        json!({"status": {"phase": phase, "containerStatuses": [{"state": state}]}})
    }

    #[test]
    fn a_job_waits_until_its_pod_has_ended_and_then_the_pod_decides() {
        let none = json!([]);
        let waits = |words: &str| Verdict::Waits(words.to_owned());
        assert_eq!(verdict(&none, None, None), waits("waiting for its pod"));
        assert_eq!(verdict(&none, None, Some("exceeded quota")), waits("no pod: exceeded quota"));
        assert_eq!(verdict(&none, Some(pod("Running", &json!({}))), None), waits("writing"));
        let pulling = json!({"waiting": {"reason": "ErrImagePull", "message": "not found"}});
        assert_eq!(verdict(&none, Some(pod("Pending", &pulling)), None), waits("ErrImagePull: not found"));
        assert_eq!(verdict(&none, Some(pod("Succeeded", &json!({}))), None), Verdict::Wrote);
        assert_eq!(verdict(&json!([{"type": "Complete", "status": "True"}]), None, None), Verdict::Wrote);

        let failed = |said: &str| Verdict::Failed(said.to_owned());
        let said =
            json!({"terminated": {"reason": "Error", "message": "mktemp: Permission denied\n/x is drwxr-xr-x 0:0\n"}});
        let expected = failed("mktemp: Permission denied; /x is drwxr-xr-x 0:0");
        assert_eq!(verdict(&none, Some(pod("Failed", &said)), None), expected);
        let late =
            json!([{"type": "Failed", "status": "True", "message": "Job was active longer than specified deadline"}]);
        assert_eq!(verdict(&late, None, None), failed("Job was active longer than specified deadline"));
        let evicted = Some(json!({"status": {"phase": "Failed", "message": "The node was low on memory"}}));
        assert_eq!(verdict(&none, evicted, None), failed("The node was low on memory"));
        assert_eq!(of(None), failed("somebody else has deleted the Job"));
    }

    #[test]
    fn who_may_not_create_a_job_has_not_shown_that_the_claim_cannot_be_written() {
        let refusal = |message: &str| refused(&Error::Refused { code: 403, message: message.to_owned() });
        let hidden = "jobs.batch is forbidden: User \"u\" cannot create resource \"jobs\" in API group \"batch\"";
        assert_eq!(refusal(hidden), Verdict::Hidden(hidden.to_owned()));
        let quota = "jobs.batch \"x\" is forbidden: exceeded quota: few, requested: count/jobs.batch=1";
        assert_eq!(refusal(quota), Verdict::Failed(quota.to_owned()));
    }

    #[test]
    fn each_sentence_leads_to_what_to_do() {
        for (sentence, leads) in [
            ("mktemp: failed to create file: Permission denied", "docs/storage.md"),
            ("sh: 17: echo: No space left on device", "volume is full"),
            ("mktemp: Read-only file system", "can only be read"),
            ("no pod: pods \"x\" is forbidden: exceeded quota: few", "resourcequotas"),
            ("no pod: pods \"x\" is forbidden: violates PodSecurity \"restricted:latest\"", "describe namespace n"),
            ("waiting for a node: pod has unbound immediate PersistentVolumeClaims", "persistentvolumeclaim c -n n"),
            ("starting its container: MountVolume.SetUp failed for volume \"x\"", "persistentvolumeclaim c -n n"),
            ("ImagePullBackOff: Back-off pulling image \"x\"", "--probe-image"),
            ("waiting for a node: 0/3 nodes are available: 3 Insufficient cpu", "kubectl get events -n n"),
        ] {
            let hint = hint(sentence, "c", "n");
            assert!(hint.contains(leads), "{sentence}: {hint}");
        }
    }
}
