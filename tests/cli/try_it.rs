//! `dynamo-cache try`: the real server and one review.

use crate::harness::program::run;

#[test]
fn try_shows_the_changes_the_response_and_how_long_it_took() {
    let tried = run(&["try"], "");
    assert_eq!(tried.code, Some(0), "{}", tried.errors);
    for words in ["+    - name: HF_HOME", "claimName: model-cache", "decision: patched", "first call", "second call"] {
        assert!(tried.output.contains(words), "{words} is not in {}", tried.output);
    }
    let set = "{kind: StatefulSet, apiVersion: apps/v1, metadata: {name: set}, spec: {template: {metadata: {labels: {app: x}}, \
        spec: {containers: [{name: main, image: x, command: [python3, -m, dynamo.frontend]}]}}, \
        volumeClaimTemplates: [{metadata: {name: dynamo-cache-model}}]}}";
    let tried = run(&["try", "-f", "-"], set);
    assert_eq!(tried.code, Some(0), "{}", tried.errors);
    for words in ["generateName: set-", "volume-name-taken", "audit    decision: patched"] {
        assert!(tried.output.contains(words), "{words} is not in {}", tried.output);
    }
    let other = run(&["try", "-f", "-"], "kind: ConfigMap\nmetadata: {name: x}\n");
    assert_eq!(other.code, Some(1));
    assert!(other.errors.contains("no pod"), "{}", other.errors);
}
