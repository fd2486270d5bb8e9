//! Creation of pods by dry run, and the fields that the API server refuses.

use axum::http::Request;
use kube::Client;
use serde_json::Value;
use tokio::runtime::Runtime;

use crate::harness::wait_for;

/// How often the refused fields are removed before a pod is given up.
const ROUNDS: usize = 20;

/// What an API server answers on a busy machine, which says nothing of the pod.
const BUSY: [u16; 2] = [429, 504];

/// A namespace in which pods are created by dry run.
pub(super) struct DryRun<'c> {
    runtime: &'c Runtime,
    client: &'c Client,
    namespace: String,
}

/// Why a pod is refused.
pub(super) struct Refusal {
    /// In the API server's words.
    pub(super) message: String,
    /// The fields that are wrong.
    fields: Vec<String>,
}

impl<'c> DryRun<'c> {
    pub(super) fn new(runtime: &'c Runtime, client: &'c Client, namespace: String) -> Self {
        DryRun { runtime, client, namespace }
    }

    /// Creates a pod by dry run. Returns it as it would be stored, without the fields that differ each time.
    ///
    /// # Errors
    /// It is refused.
    pub(super) fn create(&self, pod: &Value) -> Result<Value, Refusal> {
        let path = format!("/api/v1/namespaces/{}/pods?dryRun=All", self.namespace);
        let answer = wait_for("an answer of the API server", || {
            let request = Request::post(&path).header("Content-Type", "application/json");
            let request = request.body(pod.to_string().into_bytes()).expect("a request");
            match self.runtime.block_on(self.client.request(request)) {
                Ok(stored) => Ok(Ok(stored)),
                Err(kube::Error::Api(status)) if !BUSY.contains(&status.code) => Ok(Err(status)),
                Err(why) => Err(why.to_string()),
            }
        });
        answer.map(without_unique_fields).map_err(|status| {
            let causes = status.details.iter().flat_map(|details| &details.causes);
            let fields = causes.map(|cause| cause.field.clone()).collect();
            Refusal { message: status.message, fields }
        })
    }

    /// Removes from a pod what the API server refuses. Returns the rest, and how it would be stored.
    ///
    /// # Errors
    /// The refusal, where there is nothing left to remove.
    pub(super) fn accepted_part(&self, mut pod: Value) -> Result<(Value, Value), Refusal> {
        for _ in 0..ROUNDS {
            let refusal = match self.create(&pod) {
                Ok(stored) => return Ok((pod, stored)),
                Err(refusal) => refusal,
            };
            let mut wrong: Vec<_> = refusal.fields.iter().map(|field| steps(field)).collect();
            // The last of a list first, so that the others keep their places.
            wrong.sort_by(|one, other| other.cmp(one));
            wrong.dedup();
            if wrong.iter().filter(|steps| remove(&mut pod, steps)).count() == 0 {
                return Err(refusal);
            }
        }
        self.create(&pod).map(|stored| (pod, stored))
    }
}

/// A step into a pod.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Step {
    Item(usize),
    Member(String),
}

/// `spec.containers[0].name` in steps. Some messages write the first letter as Go does.
fn steps(field: &str) -> Vec<Step> {
    let parts = field.split(['.', '[', ']']).filter(|part| !part.is_empty());
    let member = |part: &str| part[..1].to_lowercase() + &part[1..];
    parts.map(|part| part.parse().map_or_else(|_| Step::Member(member(part)), Step::Item)).collect()
}

/// Fields that may be missing, and the fields that require them.
const WANTS: [(&str, &str); 4] = [
    ("dnsConfig", "dnsPolicy"),
    ("limits", "requests"),
    ("localhostProfile", "type"),
    ("restartPolicy", "restartPolicyRules"),
];

/// Removes the field, or one that requires it, or else the nearest above; never the last container.
fn remove(pod: &mut Value, steps: &[Step]) -> bool {
    let [above @ .., step] = steps else { return false };
    if above.is_empty() {
        return false;
    }
    let found = above.iter().try_fold(&mut *pod, |value, step| match step {
        Step::Item(index) => value.get_mut(index),
        Step::Member(name) => value.get_mut(name),
    });
    let removed = match (found, step) {
        (Some(Value::Array(items)), Step::Item(index)) if *index < items.len() => {
            let last =
                items.len() == 1 && *above == [Step::Member("spec".to_owned()), Step::Member("containers".to_owned())];
            if last {
                return false;
            }
            Some(items.remove(*index))
        }
        (Some(Value::Object(members)), Step::Member(name)) => members.shift_remove(name).or_else(|| {
            let mut wants = WANTS.iter().filter(|(missing, _)| missing == name);
            wants.find_map(|(_, wants)| members.shift_remove(*wants))
        }),
        _ => None,
    };
    removed.is_some() || remove(pod, above)
}

/// A stored pod without what differs from one creation to the next.
fn without_unique_fields(mut pod: Value) -> Value {
    if let Some(pod) = pod.as_object_mut() {
        pod.shift_remove("status");
    }
    if let Some(metadata) = pod["metadata"].as_object_mut() {
        metadata.retain(|key, _| !matches!(key.as_str(), "uid" | "creationTimestamp" | "managedFields" | "namespace"));
    }
    let text = pod.to_string();
    let Some(start) = text.find("kube-api-access-") else { return pod };
    // The volume of the ServiceAccount's token has a name made up each time.
    let name = &text[start..start + "kube-api-access-12345".len()];
    serde_json::from_str(&text.replace(name, "kube-api-access")).expect("still JSON")
}
