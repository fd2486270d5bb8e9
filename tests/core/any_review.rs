//! Any review is answered as if it had no `managedFields`, whatever they hold and wherever else that name stands.

use dynamo_cache::admission::review::{Error, Request};
use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::core::samples;
use crate::harness::any_pod::pod;
use crate::harness::program::cases;

/// Text of what begins and ends strings and lists, in runs that reach over the places where 64 bytes end.
fn text() -> impl Strategy<Value = String> {
    let part = prop_oneof![
        r#"["\\\[\]{},:]{1,4}"#,
        r"\\{1,70}",
        "[a-z]{1,70}",
        "é|\u{1}",
        Just("managedFields".to_owned()),
        Just(",\"managedFields\":[".to_owned()),
    ];
    vec(part, 0..3).prop_map(|parts| parts.concat())
}

/// Values as deep as those of a review.
fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![text().prop_map(Value::from), any::<u32>().prop_map(Value::from), Just(Value::Null)];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Value::from),
            btree_map(text(), inner, 0..4).prop_map(|entries| Value::Object(entries.into_iter().collect())),
        ]
    })
}

/// The review of a pod with these entries, and with something that we do not read before and behind them.
fn review(pod: &Value, entries: &[Value], before: &Value, behind: &Value) -> Value {
    let mut pod = pod.clone();
    if let Some(metadata) = pod["metadata"].as_object_mut() {
        metadata.insert("managedFields".to_owned(), entries.into());
    }
    let kind = json!({"group": "", "version": "v1", "kind": "Pod"});
    let request = json!({"uid": "u", "kind": kind, "namespace": "team", "operation": "CREATE",
        "userInfo": {"username": "x", "extra": before}, "object": pod, "oldObject": behind});
    json!({"kind": "AdmissionReview", "apiVersion": "admission.k8s.io/v1", "request": request})
}

fn answer(review: &Value) -> String {
    let mut body = review.to_string().into_bytes();
    String::from_utf8(samples::answer(&mut body)).expect("an answer is text")
}

#[test]
fn a_pod_with_too_many_commas_is_untouched_but_those_of_managed_fields_do_not_count() {
    let read = |arguments: usize, entries: usize| {
        let containers = json!([{"name": "main", "args": vec!["x"; arguments]}]);
        let pod = json!({"metadata": {"name": "w"}, "spec": {"containers": containers}});
        let review = review(&pod, &vec![Value::Null; entries], &Value::Null, &Value::Null);
        Request::read(&mut review.to_string().into_bytes()).unwrap().pod().map(|pod| pod.is_some())
    };
    assert!(matches!(read(99_000, 200_000), Ok(true)));
    assert!(matches!(read(100_002, 0), Err(Error::TooManyParts)));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(cases(1_000)))]

    #[test]
    fn any_review_is_answered_as_if_it_had_no_managed_fields(
        pod in pod(), entries in vec(value(), 0..5), before in value(), behind in value(),
    ) {
        let without = review(&pod, &[], &Value::Null, &Value::Null);
        prop_assert_eq!(answer(&review(&pod, &entries, &before, &behind)), answer(&without));
    }
}
