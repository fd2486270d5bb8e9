//! Records on a claim which users can write to it.

use serde_json::{Value, json};

use crate::admission::claim::{MOST_USERS, WRITABLE};
use crate::inspect::api::{Api, Error};
use crate::inspect::writable::{Change, Write};

/// How often a claim is read again because someone else has changed it in between.
const ATTEMPTS: usize = 5;

/// What became of a claim's annotation, in a line.
pub(crate) enum Record {
    /// The claim says what the write has shown.
    Recorded(String),
    /// The claim that was written to does not exist any more.
    Gone(String),
    /// The claim does not say it.
    ByHand {
        /// The line.
        text: String,
        /// The command that someone has to run.
        command: String,
    },
}

/// Writes the result of a real write into a claim's annotation. A change that someone else makes at the same time is not lost:
/// the API server refuses a patch that names another version of the claim than the stored one.
///
/// A claim that was created later than the pod started (`begun`, if it is known) is not the one that the pod wrote to.
pub(crate) async fn record(api: &Api, namespace: &str, claim: &str, write: Write, begun: Option<&str>) -> Record {
    let annotate = |value: &str| format!("kubectl annotate pvc {claim} -n {namespace} --overwrite {WRITABLE}={value}");
    let mut refusal = String::new();
    let mut wanted = String::new();
    for _ in 0..ATTEMPTS {
        let found = match read(api, namespace, claim).await {
            Ok(Some(found)) => found,
            Ok(None) => {
                return Record::Gone(format!("claim {claim} is not marked: it no longer exists"));
            }
            Err(error) => {
                refusal = error.to_string();
                break;
            }
        };
        let created = found.pointer("/metadata/creationTimestamp").and_then(Value::as_str);
        if begun.zip(created).is_some_and(|(begun, created)| begun < created) {
            return Record::Gone(format!(
                "claim {claim} is not marked: it was created after the Job wrote to another of its name"
            ));
        }
        let current = found.pointer("/metadata/annotations").and_then(|all| all.get(WRITABLE)?.as_str());
        wanted = match write.change(current) {
            Change::Set(value) => value,
            Change::None => {
                let text = format!("claim {claim} is marked already ({WRITABLE}: {})", current.unwrap_or_default());
                return Record::Recorded(text);
            }
            Change::Full => {
                let text = format!(
                    "claim {claim} is not marked: its annotation {WRITABLE} lists {MOST_USERS} users, the most that are read; \
                     user {} wrote to it",
                    write.user
                );
                return Record::ByHand { text, command: annotate("true") };
            }
            Change::ByHand(value) => {
                let user = write.user;
                let result = if write.has_succeeded { "wrote to it" } else { "could not write to it" };
                let current = current.unwrap_or_default();
                let text = format!("claim {claim} keeps its annotation {WRITABLE}: {current:?}; user {user} {result}");
                return Record::ByHand { text, command: annotate(&value) };
            }
        };
        let patch = json!({"metadata": {
            "resourceVersion": found.pointer("/metadata/resourceVersion"),
            "annotations": {WRITABLE: wanted},
        }});
        match api.patch(&format!("{}/{claim}", path(namespace)), &patch).await {
            Ok(_) => {
                let not = if write.has_succeeded { "" } else { "not " };
                let undo = match current {
                    // What was there parses: it has no other characters than spaces that a shell would read.
                    Some(old) if old.contains(char::is_whitespace) => annotate(&format!("'{old}'")),
                    Some(old) => annotate(old),
                    None => format!("kubectl annotate pvc {claim} -n {namespace} {WRITABLE}-"),
                };
                return Record::Recorded(format!(
                    "claim {claim} is marked as {not}writable for user {} ({WRITABLE}: {wanted}); to undo: {undo}",
                    write.user
                ));
            }
            Err(error) => {
                refusal = error.to_string();
                if !matches!(error, Error::Refused { code: 409, .. }) {
                    break;
                }
            }
        }
    }
    if wanted.is_empty() {
        // The claim could not be read; this is right for one without the annotation.
        wanted = if write.has_succeeded { write.user.to_string() } else { "false".to_owned() };
    }
    Record::ByHand { text: format!("claim {claim} is not marked: {refusal}"), command: annotate(&wanted) }
}

/// Reads a claim through the list, for which `check` has the permission anyway.
async fn read(api: &Api, namespace: &str, claim: &str) -> Result<Option<Value>, Error> {
    Ok(api.select(&path(namespace), &format!("fieldSelector=metadata.name%3D{claim}")).await?.pop())
}

fn path(namespace: &str) -> String {
    format!("/api/v1/namespaces/{namespace}/persistentvolumeclaims")
}
