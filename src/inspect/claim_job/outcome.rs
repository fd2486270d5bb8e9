//! The outcome of a Job.

use std::time::Duration;

use serde_json::Value;

use crate::inspect::api::Error;
use crate::inspect::job_status::{Job, condition, failure_message, waiting};

/// The outcome of a Job so far.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It has not ended yet; what it waits for.
    Waits(String),
    /// It has succeeded.
    Succeeded,
    /// It has failed, or was never created; why.
    Failed(String),
}

/// Reads the outcome of a Job; `None` if the Job is gone. `doing` says what it does while its pod runs.
pub(super) fn from_job(job: Option<&Job>, doing: &str) -> Outcome {
    let Some(Job { object, pod, warning }) = job else {
        return Outcome::Failed("the Job was deleted by someone else".to_owned());
    };
    let text = |pointer: &str| pod.as_ref().and_then(|pod| pod.pointer(pointer)?.as_str());
    let phase = text("/status/phase");
    if phase == Some("Succeeded") || condition(object, "Complete").is_some() {
        return Outcome::Succeeded;
    }
    let given_up = condition(object, "Failed");
    if phase == Some("Failed") || given_up.is_some() {
        let own = pod.as_ref().and_then(failure_message).or(given_up);
        return Outcome::Failed(own.unwrap_or_else(|| "its pod left no error message".to_owned()));
    }
    Outcome::Waits(match phase {
        Some("Running") => doing.to_owned(),
        _ => waiting(pod.as_ref(), warning.as_deref()),
    })
}

/// The outcome if the API server does not show the Job: what may pass is waited for.
pub(super) fn from_error(error: &Error) -> Outcome {
    let message = error.to_string();
    if error.is_retryable() { Outcome::Waits(message) } else { Outcome::Failed(message) }
}

impl Outcome {
    /// Whether it has succeeded, or why not, after the timeout.
    pub(super) fn end(&self, timeout: Duration) -> Result<(), String> {
        match self {
            Outcome::Succeeded => Ok(()),
            Outcome::Failed(why) => Err(with_hint(why.clone())),
            Outcome::Waits(words) => Err(with_hint(format!("the Job has not ended within {timeout:?}: {words}"))),
        }
    }
}

/// The message, with what to do about it.
fn with_hint(why: String) -> String {
    let has = |parts: &[&str]| parts.iter().any(|part| why.contains(part));
    let hint = if has(&["unrecognized subcommand", "unexpected argument"]) {
        "the image has another version of dynamo-cache: --image IMAGE"
    } else if has(&["ImagePull", "InvalidImageName", "ErrImage"]) {
        "choose an image that the nodes can pull: --image IMAGE"
    } else if has(&["PodSecurity", "security context constraint"]) {
        "on OpenShift, add --user none; for --user 0, the namespace has to admit pods of root"
    } else if has(&["Permission denied"]) {
        "--user and --fs-group choose another user"
    } else {
        return why;
    };
    format!("{why} ({hint})")
}

/// Whether a Job has not ended yet.
pub(crate) fn is_unfinished(job: &Value) -> bool {
    condition(job, "Complete").is_none() && condition(job, "Failed").is_none()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::{Value, json};

    use super::{Outcome, from_error, from_job};
    use crate::inspect::api::Error;
    use crate::inspect::job_status::Job;

    fn outcome(conditions: &Value, pod: Option<Value>) -> Outcome {
        from_job(Some(&Job { object: json!({"status": {"conditions": conditions}}), pod, warning: None }), "measuring")
    }

    fn pod(phase: &str, state: &Value) -> Value {
        let status = json!({"phase": phase, "containerStatuses": [{"state": state}]});
        json!({"metadata": {"name": "p"}, "status": status})
    }

    #[test]
    fn a_job_waits_until_its_pod_has_ended_and_then_the_pod_decides() {
        let none = json!([]);
        assert_eq!(outcome(&none, None), Outcome::Waits("waiting for its pod".to_owned()));
        assert_eq!(outcome(&none, Some(pod("Running", &json!({})))), Outcome::Waits("measuring".to_owned()));
        assert_eq!(outcome(&none, Some(pod("Succeeded", &json!({})))), Outcome::Succeeded);
        let complete = json!([{"type": "Complete", "status": "True"}]);
        assert_eq!(outcome(&complete, None), Outcome::Succeeded);
        let terminated = json!({"terminated": {"message": "failed to read /claim: Permission denied\n"}});
        let failed = outcome(&none, Some(pod("Failed", &terminated)));
        assert_eq!(failed, Outcome::Failed("failed to read /claim: Permission denied".to_owned()));
        assert!(failed.end(Duration::ZERO).unwrap_err().ends_with("(--user and --fs-group choose another user)"));
        let late = json!([{"type": "Failed", "status": "True", "message": "deadline"}]);
        assert_eq!(outcome(&late, None), Outcome::Failed("deadline".to_owned()));
        assert_eq!(from_job(None, ""), Outcome::Failed("the Job was deleted by someone else".to_owned()));
    }

    #[test]
    fn a_job_that_does_not_end_says_what_it_waits_for() {
        let waits = Outcome::Waits("ErrImagePull: none such".to_owned());
        let why = waits.end(Duration::from_secs(90)).unwrap_err();
        assert!(why.starts_with("the Job has not ended within 90s: ErrImagePull: none such ("), "{why}");
        let refused = |code| from_error(&Error::Refused { code, message: "m".to_owned(), resume: None });
        assert_eq!(refused(403), Outcome::Failed("m".to_owned()));
        assert_eq!(refused(503), Outcome::Waits("m".to_owned()));
    }
}
