//! Promises about how much a review allocates; what it costs in time is for the benches to say.

use allocation_counter::measure;
use serde_json::json;

#[allow(dead_code, reason = "the benches take other parts")]
#[path = "../../benches/samples.rs"]
mod samples;

#[test]
fn a_review_allocates_about_as_often_however_large_its_pod_is() {
    for sample in samples::all() {
        let counted = measure(|| drop(samples::answer(&sample.body)));
        assert!(counted.count_total <= 160, "{}: {counted:?}", sample.name);
        assert_eq!(counted.count_current, 0, "{}: something is kept", sample.name);
    }
}

#[test]
fn a_review_never_holds_more_than_its_own_size_besides_what_a_small_one_takes() {
    for sample in samples::all() {
        let counted = measure(|| drop(samples::answer(&sample.body)));
        let most = sample.body.len() + 32 * 1024;
        assert!(counted.bytes_max <= most.try_into().unwrap(), "{}: {counted:?}", sample.name);
    }
}

#[test]
fn a_script_of_many_words_takes_no_more_than_it_is_long() {
    let mut worker = samples::worker(0);
    worker["spec"]["containers"][0]["command"] = json!(["sh", "-c", "a ".repeat(1_000_000)]);
    let body = samples::review(&worker);
    let counted = measure(|| drop(samples::answer(&body)));
    let most = body.len() + 32 * 1024;
    assert!(counted.bytes_max <= most.try_into().unwrap(), "{} bytes: {counted:?}", body.len());
}
