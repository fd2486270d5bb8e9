//! `dynamo-cache config`.

use crate::harness::program::{file, run};

#[test]
fn the_default_file_is_valid() {
    let default = run(&["config", "default"], "");
    assert_eq!((default.code, default.errors.as_str()), (Some(0), ""));
    let path = file("default.yaml", &default.output);
    let checked = run(&["config", "check", &path], "");
    assert_eq!((checked.code, checked.output), (Some(0), format!("{path} is valid\n")));
    let checked = run(&["config", "check", "-"], &default.output);
    assert_eq!((checked.code, checked.output.as_str()), (Some(0), "<stdin> is valid\n"));
}

#[test]
fn every_mistake_of_a_file_is_reported_with_its_line_and_column() {
    let path = file("wrong.yaml", "kind: CacheConfig\nmodelCache:\n  readonly: true\n  layout: flat\nfsGroup: many\n");
    let checked = run(&["config", "check", &path], "");
    assert_eq!((checked.code, checked.output.as_str()), (Some(1), ""));
    let expected = format!(
        "{path}:1:1: apiVersion is missing; write apiVersion: dynamo-cache.io/v1alpha1\n\
         {path}:3:3: modelCache.readonly is unknown; did you mean readOnly?\n\
         {path}:4:11: modelCache.layout: \"flat\" is not one of home, hub\n\
         {path}:5:10: fsGroup takes a group id, not text (many)\n"
    );
    assert_eq!(checked.errors, expected);
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let checked = run(&["config", "check", "/nowhere/config.yaml"], "");
    assert_eq!(checked.code, Some(1));
    assert!(checked.errors.starts_with("failed to read /nowhere/config.yaml: "), "{}", checked.errors);
}

#[test]
fn the_schema_is_json() {
    let schema = run(&["config", "schema"], "");
    let schema: serde_json::Value = serde_json::from_str(&schema.output).unwrap();
    assert_eq!(schema["properties"]["modelCache"]["properties"]["layout"]["enum"], serde_json::json!(["home", "hub"]));
}

#[test]
fn a_removed_load_format_is_valid_and_gets_a_warning() {
    let path = file("removed.yaml", "apiVersion: dynamo-cache.io/v1alpha1\nkind: CacheConfig\nloadFormat: mx-target\n");
    let checked = run(&["config", "check", &path], "");
    assert_eq!((checked.code, checked.output), (Some(0), format!("{path} is valid\n")));
    assert!(checked.errors.starts_with(&format!("{path}:3:13: loadFormat: ")), "{}", checked.errors);
}
