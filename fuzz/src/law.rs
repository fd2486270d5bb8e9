//! What has to hold of every answer.

use axum::http::StatusCode;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use dynamo_cache::admission::annotation::STATUS;
use serde_json::{Value, json};

/// A review that was answered with a review.
pub struct Asked {
    review: Value,
    /// The operations that came back; an empty list where there are none.
    pub patch: Value,
}

impl Asked {
    /// Holds an answer against the body that was asked; none where the two have no more to say: the body was refused, or
    /// it is JSON that only a reader of all of it refuses.
    pub fn answered(body: &[u8], status: StatusCode, answer: &[u8]) -> Option<Asked> {
        if !status.is_success() {
            assert!(status.is_client_error(), "{status}");
            assert!(answer.len() < 10_000 && answer.ends_with(b"\n"), "an error is a line");
            return None;
        }
        let answer: Value = serde_json::from_slice(answer).expect("an answer is JSON");
        assert_eq!(
            (&answer["apiVersion"], &answer["kind"]),
            (&json!("admission.k8s.io/v1"), &json!("AdmissionReview"))
        );
        let response = &answer["response"];
        assert_eq!(response["allowed"], true);
        assert!(response["uid"].as_str().is_some_and(|uid| !uid.is_empty()));
        assert_eq!(response.get("patch").is_some(), response["patchType"] == "JSONPatch");
        let warnings = response.get("warnings").map_or(&[][..], |warnings| warnings.as_array().expect("a list"));
        assert!(warnings.len() <= 3, "{warnings:?}");
        for warning in warnings {
            assert!(warning.as_str().expect("a warning is text").chars().count() <= 120, "{warning}");
        }
        let patch = response["patch"].as_str().map_or(json!([]), |patch| {
            serde_json::from_slice(&STANDARD.decode(patch).expect("base64")).expect("a patch is JSON")
        });
        let review: Value = serde_json::from_slice(body).ok()?;
        assert_eq!(response["uid"], review["request"]["uid"]);
        Some(Asked { review, patch })
    }

    /// The pod with the patch applied to it; none where nothing was patched.
    pub fn patched(&self) -> Option<Value> {
        if self.patch == json!([]) {
            return None;
        }
        Some(apply(&self.review["request"]["object"], &self.patch))
    }

    /// The same question about another pod.
    pub fn about(&self, pod: Value) -> Value {
        let mut review = self.review.clone();
        review["request"]["object"] = pod;
        review
    }
}

/// The pod with a patch applied, which only adds, and fits.
pub fn apply(pod: &Value, patch: &Value) -> Value {
    for operation in patch.as_array().expect("a patch is a list") {
        assert_eq!(operation["op"], "add", "{operation}");
        for path in texts(&operation["value"], "mountPath") {
            let parts = || path.split('/').skip(1);
            assert!(path.starts_with('/') && !parts().any(|part| part == ".." || part == "."), "{operation}");
            assert!(!path.contains([':', '\0']), "{operation}");
        }
        for claim in texts(&operation["value"], "claimName") {
            assert!(is_name(claim), "{operation}");
        }
    }
    let operations: json_patch::Patch = serde_json::from_value(patch.clone()).expect("a patch has operations");
    let mut after = pod.clone();
    json_patch::patch(&mut after, &operations).expect("every operation applies");
    assert!(keeps(pod, &after), "something is lost:\n{pod}\n{after}");
    after
}

/// The text of every field of a name, however deep.
fn texts<'v>(value: &'v Value, field: &str) -> Vec<&'v str> {
    match value {
        Value::Object(members) => {
            let below = members.values().flat_map(|member| texts(member, field));
            members.get(field).and_then(Value::as_str).into_iter().chain(below).collect()
        }
        Value::Array(items) => items.iter().flat_map(|item| texts(item, field)).collect(),
        _ => Vec::new(),
    }
}

fn is_name(text: &str) -> bool {
    let usual = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let ends = |part: &str| part.bytes().next().is_some_and(usual) && part.bytes().next_back().is_some_and(usual);
    text.len() <= 253
        && text.split('.').all(ends)
        && text.bytes().all(|byte| usual(byte) || byte == b'-' || byte == b'.')
}

/// Whether everything that was there is there still, lists in their order, with more behind or between; what was null may be
/// anything.
fn keeps(before: &Value, after: &Value) -> bool {
    match (before, after) {
        (Value::Null, _) => true,
        (Value::Object(before), Value::Object(after)) => before
            .iter()
            .all(|(name, value)| name == STATUS || after.get(name).is_some_and(|after| keeps(value, after))),
        (Value::Array(before), Value::Array(after)) => {
            let mut after = after.iter();
            before.iter().all(|before| after.by_ref().any(|after| keeps(before, after)))
        }
        _ => before == after,
    }
}
