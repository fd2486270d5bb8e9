//! The state of a Job: its newest pod, and what keeps the pod from running.

use serde_json::Value;

use crate::inspect::api::{Api, Error};

/// A Job that exists.
pub(crate) struct Job {
    /// Its object.
    pub(crate) object: Value,
    /// Its newest pod, if it has any.
    pub(crate) pod: Option<Value>,
    /// The newest warning event: about the pod while it is pending, about the Job while it has no pod.
    pub(crate) warning: Option<String>,
}

impl Job {
    /// Reads a Job; `None` if it does not exist. Events that the user may not read count as none.
    ///
    /// # Errors
    /// The API server refuses or was not reached.
    pub(crate) async fn get(api: &Api, namespace: &str, name: &str) -> Result<Option<Job>, Error> {
        let Some(object) = api.get(&format!("/apis/batch/v1/namespaces/{namespace}/jobs/{name}")).await? else {
            return Ok(None);
        };
        let selected = format!("labelSelector=batch.kubernetes.io/job-name%3D{name}");
        let mut pods = api.select(&format!("/api/v1/namespaces/{namespace}/pods"), &selected).await?;
        pods.sort_by_key(|pod| text(pod, "/metadata/creationTimestamp").to_owned());
        let pod = pods.pop();
        let about = match &pod {
            None => Some(&object),
            Some(pod) => Some(pod).filter(|_| text(pod, "/status/phase") == "Pending"),
        };
        let mut warning = None;
        // By uid: an earlier Job of this name has events, too.
        if let Some(uid) = about.map(|about| text(about, "/metadata/uid")) {
            let selected = format!("fieldSelector=involvedObject.uid%3D{uid},type%3DWarning");
            let events = format!("/api/v1/namespaces/{namespace}/events");
            let events = api.select(&events, &selected).await.unwrap_or_default();
            // Warnings with other reasons do not keep the pod from running.
            let events = events.iter().filter(|event| text(event, "/reason").starts_with("Failed"));
            let newest = events.max_by_key(|event| text(event, "/lastTimestamp"));
            warning = newest.map(|event| text(event, "/message").to_owned());
        }
        Ok(Some(Job { object, pod, warning }))
    }

    /// The name of its newest pod.
    pub(crate) fn pod_name(&self) -> Option<&str> {
        self.pod.as_ref()?.pointer("/metadata/name")?.as_str()
    }
}

fn text<'v>(object: &'v Value, pointer: &str) -> &'v str {
    object.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

/// The uid that a Job's pod runs as, if its specification names one: admission may have chosen it.
pub(crate) fn user(job: &Job) -> Option<u32> {
    let of_pod = job.pod.as_ref().and_then(|pod| pod.get("spec"));
    let specification = of_pod.or_else(|| job.object.pointer("/spec/template/spec"))?;
    let pointers = ["/containers/0/securityContext/runAsUser", "/securityContext/runAsUser"];
    let user = pointers.into_iter().find_map(|pointer| specification.pointer(pointer)?.as_u64())?;
    u32::try_from(user).ok()
}

/// Removes ANSI sequences and control characters from a pod's output.
pub(crate) fn plain(output: &str) -> String {
    let (mut plain, mut rest) = (String::new(), output.chars());
    while let Some(next) = rest.next() {
        match next {
            '\u{1b}' => {
                if rest.next() == Some('[') {
                    // An ANSI sequence ends with a letter.
                    let _ = rest.find(|end| ('@'..='~').contains(end));
                }
            }
            '\n' | '\t' => plain.push(next),
            next if next.is_control() => {}
            next => plain.push(next),
        }
    }
    plain
}

/// The last output of a failed pod in one line; if its container never ran, the kubelet's message.
pub(crate) fn failure_message(pod: &Value) -> Option<String> {
    let text = |pointer: &str| pod.pointer(pointer).and_then(Value::as_str).filter(|text| !text.trim().is_empty());
    let message = text("/status/containerStatuses/0/state/terminated/message")
        .or_else(|| text("/status/message"))
        .or_else(|| text("/status/containerStatuses/0/state/terminated/reason"))
        .or_else(|| text("/status/reason"))?;
    let message = plain(message);
    let lines = message.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with("uid "));
    Some(lines.collect::<Vec<_>>().join("; "))
}

/// The message of a condition that is `True`; `None` if it is not.
pub(crate) fn condition(object: &Value, kind: &str) -> Option<String> {
    let conditions = object.pointer("/status/conditions")?.as_array()?;
    let condition = conditions.iter().find(|condition| condition["type"] == kind && condition["status"] == "True")?;
    Some(condition.get("message").and_then(Value::as_str).unwrap_or_default().to_owned())
}

/// What a Job waits for that has no pod or a pending one; `warning` is the newest warning event.
pub(crate) fn waiting(pod: Option<&Value>, warning: Option<&str>) -> String {
    let Some(pod) = pod else {
        return warning.map_or_else(|| "waiting for its pod".to_owned(), |warning| format!("no pod: {warning}"));
    };
    let conditions = pod.pointer("/status/conditions").and_then(Value::as_array);
    let unscheduled = conditions
        .into_iter()
        .flatten()
        .find(|condition| condition["type"] == "PodScheduled" && condition["status"] == "False");
    if let Some(message) = unscheduled.and_then(|condition| condition.get("message")?.as_str()) {
        return format!("waiting for a node: {message}");
    }
    // The main container waits while an init container does.
    let pointers = ["/status/initContainerStatuses/0/state", "/status/containerStatuses/0/state"];
    let mut states = pointers.into_iter().filter_map(|pointer| pod.pointer(pointer));
    let state = states.find(|state| state.get("terminated").is_none()).and_then(|state| state.get("waiting"));
    let part = |key: &str| state.and_then(|state| state.get(key)?.as_str()).unwrap_or_default();
    match (part("reason"), part("message")) {
        ("", _) => "waiting for a node".to_owned(),
        ("ContainerCreating" | "PodInitializing", _) => match warning {
            None => "starting its container".to_owned(),
            Some(warning) => format!("starting its container: {warning}"),
        },
        (reason, "") => reason.to_owned(),
        (reason, message) => format!("{reason}: {message}"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{plain, waiting};

    #[test]
    fn output_of_a_pod_does_not_control_the_terminal() {
        assert_eq!(plain("\u{1b}[90mHint\u{1b}[0m: a\tb\r\n\u{1b}]0;title\u{7}"), "Hint: a\tb\n0;title");
        assert_eq!(plain("\u{1b}[1"), "");
    }

    #[test]
    fn the_clusters_own_words_say_what_a_pod_waits_for() {
        assert_eq!(waiting(None, None), "waiting for its pod");
        assert_eq!(waiting(None, Some("forbidden: quota")), "no pod: forbidden: quota");
        let unbound = json!({"status": {"conditions": [{"type": "PodScheduled", "status": "False", "message": "unbound claims"}]}});
        assert_eq!(waiting(Some(&unbound), None), "waiting for a node: unbound claims");
        let of = |state| json!({"status": {"containerStatuses": [{"state": {"waiting": state}}]}});
        let creating = of(json!({"reason": "ContainerCreating"}));
        assert_eq!(waiting(Some(&creating), None), "starting its container");
        assert_eq!(waiting(Some(&creating), Some("mount failed")), "starting its container: mount failed");
        let pulling = of(json!({"reason": "ErrImagePull", "message": "no such image"}));
        assert_eq!(waiting(Some(&pulling), Some("pull failed")), "ErrImagePull: no such image");
    }
}
