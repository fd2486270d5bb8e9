//! How much memory a review allocates; the benches measure what it costs in time.

use allocation_counter::measure;
use dynamo_cache::admission::review;
use serde_json::json;

use crate::core::samples;

#[test]
fn a_review_allocates_about_as_often_however_large_its_pod_is() {
    for mut sample in samples::all() {
        let counted = measure(|| drop(samples::answer(&mut sample.body)));
        // Three containers and thirteen variables more.
        let most = if sample.name.contains("staged") { 240 } else { 160 };
        assert!(counted.count_total <= most, "{}: {counted:?}", sample.name);
        assert_eq!(counted.count_current, 0, "{}: something is kept", sample.name);
    }
}

#[test]
fn a_review_never_holds_more_than_its_own_size_besides_what_a_small_one_takes() {
    for mut sample in samples::all() {
        let counted = measure(|| drop(samples::answer(&mut sample.body)));
        let most = sample.body.len() + 32 * 1024;
        assert!(counted.bytes_max <= most.try_into().unwrap(), "{}: {counted:?}", sample.name);
    }
}

#[test]
fn a_script_of_many_words_takes_no_more_than_it_is_long() {
    let mut worker = samples::worker(0);
    worker["spec"]["containers"][0]["command"] = json!(["sh", "-c", "a ".repeat(1_000_000)]);
    let mut body = samples::review(&worker);
    let counted = measure(|| drop(samples::answer(&mut body)));
    let most = body.len() + 32 * 1024;
    assert!(counted.bytes_max <= most.try_into().unwrap(), "{} bytes: {counted:?}", body.len());
}

#[test]
fn what_is_read_of_a_dense_body_takes_no_more_than_is_reserved_for_it() {
    let list = |name: &str, part: &str, many| format!(r#""{name}":[{}]"#, vec![part; many].join(","));
    for many in [1_000, 5_000, 99_000] {
        let of_pod = ["initContainers", "volumes"].map(|name| list(name, "{}", many));
        let of_container = [("env", "{}"), ("volumeMounts", "{}"), ("volumeDevices", "{}"), ("args", r#""""#)]
            .map(|(name, part)| format!(r#""initContainers":[{{{}}}]"#, list(name, part, many)));
        for dense in of_pod.into_iter().chain(of_container) {
            let body = format!(
                r#"{{"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1","request":{{"uid":"u","namespace":"t",
                "kind":{{"group":"","version":"v1","kind":"Pod"}},"operation":"CREATE","object":{{"spec":{{{dense}}}}}}}}}"#
            );
            let mut body = body.into_bytes();
            let reserved = u64::try_from(review::memory(&body)).unwrap();
            let counted = measure(|| drop(review::Request::read(&mut body).unwrap().pod()));
            let name = &dense[..40];
            assert!(counted.bytes_max <= reserved + 32 * 1024, "{many} {name}: {counted:?}, {reserved} are reserved");
        }
    }
}
