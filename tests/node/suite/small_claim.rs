//! A claim with too little space for a model.

use super::hub::{Hub, MODEL};
use super::namespace::Namespace;
use super::pod::PYTHON;
use super::release;
use super::volume::Volume;

#[test]
fn a_download_that_does_not_fit_writes_nothing_and_says_how_much_is_missing() {
    let _running = release::running();
    let namespace = Namespace::opted_in(&[]);
    namespace.small_claim(&Volume::prepared("model-cache"), "128k");
    let hub = Hub::serve(&namespace);
    let place = ["--endpoint", &hub.endpoint, "--image", PYTHON, "-n", &namespace.name];
    let download = [&["download", MODEL, "--apply", "--wait", "--timeout", "5m"], place.as_slice()].concat();
    let said = namespace.cluster.dynamo_cache(&download);
    let last = said.errors.lines().last().unwrap_or_default();
    assert_eq!(said.code, Some(1), "{}", said.errors);
    for words in [
        "Error: Qwen/Qwen3-0.6B needs 256 KiB more, and 128 KiB are free on the claim: ",
        "enlarge it, or remove from it what is not needed",
    ] {
        assert!(last.contains(words), "no '{words}' in: {last}");
    }
    assert_eq!(hub.given(), 0, "{}", hub.log());
}
