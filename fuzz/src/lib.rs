//! What every target holds the product to, and what it starts from.

/// The case folders of the tests, as input.
pub mod case;
/// What has to hold whatever comes in.
pub mod law;
/// Webhooks with fixed facts, one of which a target's first byte chooses.
pub mod surroundings;

use law::Asked;
use serde_json::{Value, json};
use surroundings::Surroundings;

/// In the first byte of a review: the rest is a pod, in a review that is whole. Without it, the rest is the review.
pub const POD_ALONE: u8 = 0x80;

/// A review of a pod, as an API server would ask.
pub fn review(pod: &Value) -> Value {
    let kind = json!({"group": "", "version": "v1", "kind": "Pod"});
    let request = json!({"uid": "u-1", "kind": kind, "namespace": "team", "operation": "CREATE", "object": pod});
    json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request})
}

/// The body that bytes of the target `review` stand for, and the surroundings in which it is answered.
pub fn body<'r>(rooms: &'r [Surroundings], bytes: &[u8]) -> Option<(&'r Surroundings, Vec<u8>)> {
    let (&first, rest) = bytes.split_first()?;
    let surroundings = rooms.get(usize::from(first & !POD_ALONE) % rooms.len())?;
    if first & POD_ALONE == 0 {
        return Some((surroundings, rest.to_vec()));
    }
    let mut body =
        br#"{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":{"uid":"u-1","namespace":"team",
        "kind":{"group":"","version":"v1","kind":"Pod"},"operation":"CREATE","object":"#
            .to_vec();
    body.extend(rest);
    body.extend(b"}}");
    Some((surroundings, body))
}

/// Puts a body to a webhook, and its patched pod again; both answers have to be good.
pub fn ask_twice(surroundings: &Surroundings, body: &[u8]) {
    let (status, answer) = surroundings.ask(body);
    let Some(asked) = Asked::answered(body, status, &answer) else { return };
    let Some(after) = asked.patched() else { return };
    let again = serde_json::to_vec(&asked.about(after)).expect("JSON can be written");
    let (status, answer) = surroundings.ask(&again);
    let asked = Asked::answered(&again, status, &answer).expect("a pod of ours can be reviewed");
    assert_eq!(asked.patch, json!([]), "a second pass changes something");
}
