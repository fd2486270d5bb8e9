//! Objects and text with which a tenant could disturb the commands that read a namespace.

use serde_json::{Value, json};

use crate::harness::control_plane::namespace::{Namespace, claim};
use crate::harness::control_plane::{ControlPlane, shared, webhook};
use crate::harness::pods::worker;
use crate::harness::program::{Run, file, run};

/// Objects in objects, deeper than any of our parsers goes.
fn deep(key: &str) -> Value {
    (0..150).fold(json!({}), |inner, _| json!({key: inner}))
}

/// Whether a terminal does something besides printing it.
fn commands_a_terminal(text: &str) -> bool {
    let turns = |c| matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    text.contains(|c: char| turns(c) || (c.is_control() && c != '\n' && c != '\t'))
}

/// What each command says of a namespace and a worker in it.
fn all_commands(namespace: &Namespace) -> Vec<(&'static str, Run)> {
    let commands: [(&str, &[&str]); 7] = [
        ("check", &["check"]),
        ("check -o json", &["check", "-o", "json"]),
        ("status", &["status"]),
        ("preview", &["preview"]),
        ("preview -o diff", &["preview", "-o", "diff"]),
        ("explain", &["explain", "worker"]),
        ("download", &["download", "a/b", "--revision", "c1899de289a04d12100db370d81485cdf75e47ca"]),
    ];
    commands.map(|(name, arguments)| (name, namespace.dynamo_cache(arguments))).into()
}

#[test]
fn an_object_whose_managed_fields_have_no_bottom_blinds_no_command() {
    let _webhook = webhook::running();
    let namespace = Namespace::opted_in(shared(), &[]);
    namespace.claims(&["model-cache"]);
    namespace.create(&worker("worker").to_string()).unwrap();
    let before = all_commands(&namespace);

    let fields = json!([
        {"manager": "deep", "operation": "Update", "apiVersion": "v1", "time": "9999-12-31T23:59:59Z",
         "fieldsType": "FieldsV1", "fieldsV1": {"f:metadata": {"f:annotations": deep("f:a")}}},
    ]);
    let patch = json!({"metadata": {"managedFields": fields}}).to_string();
    for object in ["persistentvolumeclaim/model-cache", "pod/worker", &format!("namespace/{}", namespace.name)] {
        namespace.kubectl(&["patch", object, "--type=merge", "--patch", &patch]).unwrap();
        let stored = namespace.kubectl(&["get", object, "--output=json", "--show-managed-fields"]).unwrap();
        assert!(
            serde_json::from_str::<Value>(&stored.out).is_err(),
            "the API server keeps it, and it is too deep: {}",
            stored.out
        );
    }
    let mut odd = claim("odd");
    odd["metadata"]["managedFields"] = fields;
    namespace.create(&odd.to_string()).unwrap();

    for ((name, before), (_, after)) in before.iter().zip(all_commands(&namespace)) {
        assert_eq!(
            (after.code, after.output, after.errors),
            (before.code, before.output.clone(), before.errors.clone()),
            "{name}"
        );
    }
}

#[test]
fn an_object_that_cannot_be_read_is_skipped_by_name_and_the_others_are_not() {
    let plane = ControlPlane::start().unwrap();
    plane.define("leaderworkerset.x-k8s.io", "v1", "LeaderWorkerSet", "leaderworkersets");
    let namespace = Namespace::plain(&plane);
    namespace.create(&worker("worker").to_string()).unwrap();
    let set = json!({
        "apiVersion": "leaderworkerset.x-k8s.io/v1", "kind": "LeaderWorkerSet", "metadata": {"name": "odd"},
        "spec": deep("a"),
    });
    namespace.create(&set.to_string()).unwrap();
    for arguments in [&["preview"][..], &["preview", "-o", "diff"]] {
        let said = namespace.dynamo_cache(arguments);
        assert_eq!(said.code, Some(0), "{}", said.errors);
        assert!(said.output.contains("Pod/worker"), "{}", said.output);
        let line = format!("LeaderWorkerSet {}/odd could not be read: recursion limit exceeded", namespace.name);
        assert_eq!(said.errors.matches(&line).count(), 1, "{}", said.errors);
    }
}

#[test]
fn no_word_of_a_tenant_commands_a_terminal() {
    let _webhook = webhook::running();
    let words = "x\u{202e}\u{1b}[2J\u{9b}31m\u{2066}\u{200f}\r\u{7}y";
    let namespace = Namespace::opted_in(
        shared(),
        &[("model-claim", words), ("model-express-url", words), ("compile-mount-path", words), ("model-clam", words)],
    );
    namespace.claims(&["model-cache", "compilation-cache"]);
    let mut pod = worker("worker");
    pod["metadata"]["annotations"] = json!({"dynamo-cache.io/engine": words, "note": words});
    let container = &mut pod["spec"]["containers"][0];
    container["args"] = json!(["--model", words]);
    container["env"] = json!([{"name": "HF_HOME", "value": format!("/{words}")}]);
    namespace.create(&pod.to_string()).unwrap();
    for (name, said) in all_commands(&namespace) {
        assert!(!commands_a_terminal(&said.errors), "{name}: {:?}", said.errors);
        if name == "check -o json" || name == "download" {
            // What programs read has escapes of its own, or is as it was written.
            continue;
        }
        assert!(!commands_a_terminal(&said.output), "{name}: {:?}", said.output);
    }
    // What the webhook has not changed yet.
    let unlabelled = Namespace::plain(shared());
    unlabelled.claims(&["model-cache", "compilation-cache"]);
    unlabelled.create(&pod.to_string()).unwrap();
    let difference = unlabelled.dynamo_cache(&["preview", "-o", "diff"]).output;
    assert!(!commands_a_terminal(&difference), "{difference:?}");
    assert!(difference.contains("\\u202e") || difference.contains("\\u202E"), "{difference}");

    let path = file("bidi.json", &pod.to_string());
    let said = run(&["inject", "-f", &path, "-o", "diff"], "");
    assert!(!commands_a_terminal(&said.output) && !commands_a_terminal(&said.errors), "{:?}", said.output);
    let said = run(&["inject", "-f", &path, "-o", "json"], "");
    let injected: Value = serde_json::from_str(&said.output).unwrap();
    assert_eq!(injected["metadata"]["annotations"]["note"], words, "what programs read is not changed");
    let said = run(&["inject", "-f", &path], "");
    let injected = dynamo_cache::yaml::documents(&said.output).unwrap().remove(0).value;
    assert_eq!(injected["metadata"]["annotations"]["note"], words, "what programs read is not changed");
    let said = run(&["explain", "-f", &path], "");
    assert!(!commands_a_terminal(&said.output) && !commands_a_terminal(&said.errors), "{:?}", said.output);
}
