//! `dynamo-cache download`: the Job that fills the model claim.

use std::fs;

use dynamo_cache::yaml;
use serde_json::{Value, json};

use super::control_plane::ROOT;
use super::program::run;

/// What is downloaded.
pub(crate) const MODEL: &str = "Qwen/Qwen3-0.6B";
/// A commit of it.
pub(crate) const COMMIT: &str = "c1899de289a04d12100db370d81485cdf75e47ca";

fn documents(text: &str) -> Vec<Value> {
    yaml::documents(text).unwrap().into_iter().map(|document| document.value).collect()
}

fn printed(arguments: &[&str]) -> Vec<Value> {
    let said = run(&[&["download", MODEL, "--offline", "--revision", COMMIT], arguments].concat(), "");
    assert_eq!((said.code, said.errors.as_str()), (Some(0), ""), "{arguments:?}");
    documents(&said.output)
}

fn container(job: &Value) -> &Value {
    &job["spec"]["template"]["spec"]["containers"][0]
}

/// A variable of its container.
pub(crate) fn variable<'j>(job: &'j Value, name: &str) -> &'j Value {
    let variables = container(job)["env"].as_array().unwrap();
    variables.iter().find(|variable| variable["name"] == name).unwrap_or(&Value::Null)
}

#[test]
fn the_job_that_is_printed_is_the_one_of_the_examples() {
    let example = fs::read_to_string(format!("{ROOT}/manifests/examples/download-job.yaml")).unwrap();
    assert_eq!(printed(&[]), documents(&example));
}

#[test]
fn every_option_shows_in_what_is_printed() {
    let claims = ["--create-claim", "10Gi", "--storage-class", "shared", "--compile-size", "2Gi", "-n", "team"];
    let objects = printed(&claims);
    let [model, compile, job] = objects.as_slice() else { panic!("{objects:#?}") };
    for (claim, name, size) in [(model, "model-cache", "10Gi"), (compile, "compilation-cache", "2Gi")] {
        assert_eq!(claim["metadata"], json!({"name": name, "namespace": "team"}));
        assert_eq!(claim["spec"]["storageClassName"], "shared");
        assert_eq!(claim["spec"]["accessModes"], json!(["ReadWriteMany"]));
        assert_eq!(claim["spec"]["resources"]["requests"]["storage"], size);
    }
    assert_eq!(job["metadata"]["namespace"], "team");

    let more = ["--endpoint", "http://hub:8080", "--image", "hub:1", "--token-secret", "mine", "--include", "*.json"];
    let job = &printed(&[&more, ["--include", "*.safetensors", "--exclude", "original/*"].as_slice()].concat())[0];
    assert_eq!(variable(job, "HF_ENDPOINT")["value"], "http://hub:8080");
    assert_eq!(container(job)["image"], "hub:1");
    let token = &variable(job, "HF_TOKEN")["valueFrom"]["secretKeyRef"];
    assert_eq!(*token, json!({"name": "mine", "key": "HF_TOKEN", "optional": false}));
    let patterns = json!(["--include", "*.json", "--include", "*.safetensors", "--exclude", "original/*"]);
    assert_eq!(json!(container(job)["args"].as_array().unwrap()[2..]), patterns);

    let job = &printed(&["--fs-group", "none", "--user", "none"])[0];
    let security = json!({"runAsNonRoot": true, "seccompProfile": {"type": "RuntimeDefault"}});
    assert_eq!(job["spec"]["template"]["spec"]["securityContext"], security);
}

#[test]
fn a_branch_is_allowed_with_a_warning_and_wrong_usage_is_two() {
    let said = run(&["download", MODEL, "--offline"], "");
    assert_eq!(said.code, Some(0));
    assert!(said.errors.contains("a commit is safer"), "{}", said.errors);
    assert_eq!(variable(&documents(&said.output)[0], "REVISION")["value"], "main");
    for arguments in [
        &[][..],
        &["a/b/c"],
        &[MODEL, "--wait"],
        &[MODEL, "--replace"],
        &[MODEL, "--storage-class", "x"],
        &[MODEL, "--fs-group", "root"],
        &[MODEL, "--apply", "--offline"],
    ] {
        assert_eq!(run(&[&["download"], arguments].concat(), "").code, Some(2), "{arguments:?}");
    }
}
