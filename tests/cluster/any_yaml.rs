//! Any style of YAML: kubectl reads it as `inject` does, and reads what `inject` writes as what it means.

use serde_json::Value;

use crate::harness::control_plane::{ControlPlane, shared};
use crate::harness::odd_yaml::documents;
use crate::harness::program::{cases, run};

/// What kubectl makes of a file, without what it adds itself.
fn read_by_kubectl(plane: &ControlPlane, file: &str) -> Vec<Value> {
    let create = ["create", "--dry-run=client", "--validate=false", "--output=json", "-f", file];
    let out = plane.kubectl(&create).unwrap().out;
    let stream = serde_json::Deserializer::from_str(&out).into_iter::<Value>();
    stream.map(|object| without_namespace(object.unwrap())).collect()
}

/// An object without the namespace, which kubectl adds, and the metadata if nothing else is in it.
fn without_namespace(mut object: Value) -> Value {
    let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) else { return object };
    metadata.remove("namespace");
    if metadata.is_empty() {
        object.as_object_mut().unwrap().remove("metadata");
    }
    object
}

#[test]
fn kubectl_reads_any_style_of_yaml_as_inject_reads_and_writes_it() {
    let plane = shared();
    let documents = documents(cases(3000));
    let text: Vec<_> = documents.iter().map(|(_, text)| text.as_str()).collect();
    let file = plane.file(&text.join("---\n"));
    let read = read_by_kubectl(plane, &file);
    assert_eq!(read.len(), documents.len());
    for ((value, text), read) in documents.iter().zip(&read) {
        assert_eq!(*read, without_namespace(value.clone()), "{text}");
    }

    let yaml = run(&["inject", "-f", &file], "");
    let json = run(&["inject", "-o", "json", "-f", &file], "");
    assert_eq!((yaml.code, json.code), (Some(0), Some(0)), "{}", yaml.errors);
    let meant = serde_json::Deserializer::from_str(&json.output)
        .into_iter::<Value>()
        .map(|object| without_namespace(object.unwrap()));
    let written = read_by_kubectl(plane, &plane.file(&yaml.output));
    let injected = documents
        .iter()
        .zip(&written)
        .filter(|((before, _), after)| without_namespace(before.clone()) != **after)
        .count();
    assert!(injected > documents.len() / 3, "only {injected} of {} pods changed", documents.len());
    assert_eq!(written.len(), documents.len());
    for (written, meant) in written.iter().zip(meant) {
        assert_eq!(*written, meant);
    }
}
