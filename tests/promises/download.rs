//! `dynamo-cache download`: the Job that fills the model claim.

use std::fs;

use dynamo_cache::yaml;
use serde_json::{Value, json};

use super::control_plane::namespace::Namespace;
use super::control_plane::{ROOT, shared, wait_for, webhook};
use super::program::run;

const MODEL: &str = "Qwen/Qwen3-0.6B";
const COMMIT: &str = "c1899de289a04d12100db370d81485cdf75e47ca";
const JOB: &str = "download-qwen3-0-6b";

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

fn variable<'j>(job: &'j Value, name: &str) -> &'j Value {
    let variables = container(job)["env"].as_array().unwrap();
    variables.iter().find(|variable| variable["name"] == name).unwrap_or(&Value::Null)
}

/// A pod of the Job in the namespace, once its controller has made it.
fn pod_of(namespace: &Namespace) -> String {
    let pod = namespace.pod_of_controller(&format!("batch.kubernetes.io/job-name={JOB}"));
    pod["metadata"]["name"].as_str().unwrap().to_owned()
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

#[test]
fn it_is_created_with_its_claims_in_the_layout_of_the_namespace_where_only_restricted_pods_may_be() {
    let _webhook = webhook::running();
    let annotations = [("model-claim", "models"), ("model-layout", "hub")];
    let namespace = Namespace::opted_in(shared(), &annotations);
    let restricted = "pod-security.kubernetes.io/enforce=restricted";
    namespace.kubectl(&["label", "namespace", &namespace.name, restricted]).unwrap();
    let download = ["download", MODEL, "--revision", COMMIT];
    let apply = [&download, ["--apply"].as_slice()].concat();

    let said = namespace.dynamo_cache(&apply);
    assert_eq!((said.code, said.output.as_str()), (Some(1), ""));
    assert!(said.errors.contains("claim models is not there; --create-claim SIZE creates it"), "{}", said.errors);

    let said = namespace.dynamo_cache(&[&apply, ["--create-claim", "1Gi"].as_slice()].concat());
    assert_eq!(said.code, Some(0), "{}", said.errors);
    let created = format!(
        "created PersistentVolumeClaim/models\ncreated PersistentVolumeClaim/compilation-cache\ncreated Job/{JOB}\n"
    );
    assert_eq!(said.output, created);
    assert!(said.errors.contains(&format!("kubectl logs -n {} -f job/{JOB}", namespace.name)), "{}", said.errors);
    let stored = |kind: &str, name: &str| {
        let said = namespace.kubectl(&["get", kind, name, "--output=json"]).unwrap();
        serde_json::from_str::<Value>(&said.out).unwrap()
    };
    for (claim, size) in [("models", "1Gi"), ("compilation-cache", "50Gi")] {
        let claim = stored("persistentvolumeclaim", claim);
        assert_eq!(claim["spec"]["accessModes"], json!(["ReadWriteMany"]));
        assert_eq!(claim["spec"]["resources"]["requests"]["storage"], size);
    }
    let job = stored("job", JOB);
    assert_eq!(variable(&job, "HF_HUB_CACHE")["value"], "/model-cache");
    let volumes = &job["spec"]["template"]["spec"]["volumes"];
    assert_eq!(volumes[0]["persistentVolumeClaim"]["claimName"], "models");
    assert_eq!(volumes[1]["persistentVolumeClaim"]["claimName"], "compilation-cache");
    // Its pod passes `restricted`, and the webhook leaves it alone.
    let pod = namespace.pod(&pod_of(&namespace));
    assert!(pod["metadata"]["annotations"].get("dynamo-cache.io/status").is_none(), "{pod:#}");
}

#[test]
fn a_job_that_is_there_is_told_of_and_replaced_only_when_asked() {
    let _webhook = webhook::running();
    let namespace = Namespace::plain(shared());
    namespace.claims(&["model-cache"]);
    let apply = ["download", MODEL, "--revision", COMMIT, "--apply"];
    assert_eq!(namespace.dynamo_cache(&apply).output, format!("created Job/{JOB}\n"));
    let uid = || {
        let said = namespace.kubectl(&["get", "job", JOB, "--output=jsonpath={.metadata.uid}"]).unwrap();
        said.out
    };
    let first = uid();
    // The compile claim is not there, so it is not mounted.
    let pod = namespace.pod(&pod_of(&namespace));
    assert_eq!(pod["spec"]["volumes"].as_array().unwrap().len(), 2, "{pod:#}");

    let said = namespace.dynamo_cache(&apply);
    assert_eq!((said.code, said.output.as_str()), (Some(1), ""));
    assert!(said.errors.contains(&format!("Job {JOB} for {MODEL}, created at ")), "{}", said.errors);
    assert!(said.errors.contains("; --replace deletes it and starts anew"), "{}", said.errors);
    assert_eq!(uid(), first);

    let said = namespace.dynamo_cache(&[&apply, ["--replace"].as_slice()].concat());
    assert_eq!(said.code, Some(0), "{}", said.errors);
    assert_eq!(said.output, format!("deleted Job/{JOB}\ncreated Job/{JOB}\n"));
    assert_ne!(uid(), first);

    let said = namespace.dynamo_cache(&[&apply, ["--replace", "--token-secret", "none-such"].as_slice()].concat());
    assert_eq!(said.code, Some(1));
    assert!(said.errors.contains("kubectl create secret generic none-such"), "{}", said.errors);
}

#[test]
fn it_is_followed_to_its_end_good_or_bad_and_no_longer_than_asked() {
    let _webhook = webhook::running();
    let namespace = Namespace::plain(shared());
    namespace.claims(&["model-cache"]);
    let wait = ["download", MODEL, "--revision", COMMIT, "--apply", "--wait", "--timeout"];
    let said = namespace.dynamo_cache(&[&wait, ["1s"].as_slice()].concat());
    assert_eq!(said.code, Some(1));
    assert!(said.errors.contains(&format!("Job {JOB} is not done after 1s")), "{}", said.errors);
    assert!(said.errors.contains("waiting for"), "{}", said.errors);

    // There is no kubelet: what one would report is written in its place.
    let pod = pod_of(&namespace);
    let report = |phase: &str| {
        let status = json!({"status": {"phase": phase}}).to_string();
        namespace.kubectl(&["patch", "pod", &pod, "--subresource=status", "--type=merge", "--patch", &status]).unwrap();
    };
    report("Succeeded");
    wait_for("the Job to be complete", || {
        namespace.kubectl(&["wait", "--for=condition=complete", &format!("job/{JOB}"), "--timeout=1s"])
    });
    let said = namespace.dynamo_cache(&[&wait, ["60s"].as_slice()].concat());
    assert_eq!(said.code, Some(0), "{}", said.errors);
    assert!(said.errors.contains("is done since ") && said.errors.ends_with("done\n"), "{}", said.errors);

    namespace.kubectl(&["delete", "job", JOB]).unwrap();
    assert_eq!(namespace.dynamo_cache(&wait[..5]).code, Some(0));
    let pod = pod_of(&namespace);
    let terminated =
        json!({"terminated": {"exitCode": 1, "reason": "Error", "message": "RepositoryNotFoundError: 404\n"}});
    let container = json!({
        "name": "download", "image": "i", "imageID": "", "ready": false, "restartCount": 0, "state": terminated,
    });
    let failed = json!({"status": {"phase": "Failed", "containerStatuses": [container]}}).to_string();
    namespace.kubectl(&["patch", "pod", &pod, "--subresource=status", "--type=merge", "--patch", &failed]).unwrap();
    let target =
        json!({"type": "FailureTarget", "status": "True", "reason": "BackoffLimitExceeded", "message": "often"});
    wait_for("the Job to be given up", || {
        let patch = json!({"status": {"conditions": [target]}}).to_string();
        namespace.kubectl(&["patch", "job", JOB, "--subresource=status", "--type=merge", "--patch", &patch])?;
        namespace.kubectl(&["wait", "--for=condition=failed", &format!("job/{JOB}"), "--timeout=1s"])
    });
    let said = namespace.dynamo_cache(&[&wait, ["60s"].as_slice()].concat());
    assert_eq!(said.code, Some(1), "{}", said.errors);
    let own = format!("Job {JOB} failed: RepositoryNotFoundError: 404\n");
    assert!(said.errors.ends_with(&own), "{}", said.errors);
}
