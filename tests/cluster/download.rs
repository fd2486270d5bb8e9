//! `dynamo-cache download --apply`: the Job that is created, a Job that exists already, and how a Job ends.

use serde_json::{Value, json};

use crate::harness::control_plane::namespace::Namespace;
use crate::harness::control_plane::{shared, webhook};
use crate::harness::download_job::{COMMIT, MODEL, variable};
use crate::harness::wait_for;

const JOB: &str = "download-qwen3-0-6b";

/// A pod of the Job in the namespace, once its controller has made it.
fn pod_of(namespace: &Namespace) -> String {
    let pod = namespace.pod_of_controller(&format!("batch.kubernetes.io/job-name={JOB}"));
    pod["metadata"]["name"].as_str().unwrap().to_owned()
}

#[test]
fn the_job_is_created_with_its_claims_in_a_namespace_of_restricted_pods() {
    let _webhook = webhook::running();
    let annotations = [("model-claim", "models"), ("model-layout", "hub")];
    let namespace = Namespace::opted_in(shared(), &annotations);
    let restricted = "pod-security.kubernetes.io/enforce=restricted";
    namespace.kubectl(&["label", "namespace", &namespace.name, restricted]).unwrap();
    let download = ["download", MODEL, "--revision", COMMIT];
    let apply = [&download, ["--apply"].as_slice()].concat();

    let missing =
        format!("claim models does not exist in namespace {}; create it with --create-claim SIZE\n", namespace.name);
    let said = namespace.dynamo_cache(&download);
    assert_eq!((said.code, said.errors.as_str()), (Some(0), missing.as_str()));
    let said = namespace.dynamo_cache(&apply);
    assert_eq!((said.code, said.output.as_str(), said.errors.as_str()), (Some(1), "", missing.as_str()));

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
fn an_existing_job_is_reported_and_replaced_only_on_request() {
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
    // The compile claim does not exist, so it is not mounted.
    let pod = namespace.pod(&pod_of(&namespace));
    assert_eq!(pod["spec"]["volumes"].as_array().unwrap().len(), 3, "{pod:#}");

    let said = namespace.dynamo_cache(&apply);
    assert_eq!((said.code, said.output.as_str()), (Some(1), ""));
    assert!(said.errors.contains(&format!("Job {JOB} for {MODEL}, created at ")), "{}", said.errors);
    assert!(said.errors.contains("; --replace deletes it and starts again"), "{}", said.errors);
    assert_eq!(uid(), first);
    let other = ["download", MODEL, "--revision", "main", "--include", "*.json", "--apply", "--wait"];
    let said = namespace.dynamo_cache(&other);
    assert_eq!(said.code, Some(1), "what it does is not what is asked for: {}", said.errors);
    assert!(said.errors.contains("already exists with another "), "{}", said.errors);
    assert!(said.errors.contains("another REVISION"), "{}", said.errors);

    let said = namespace.dynamo_cache(&[&apply, ["--replace"].as_slice()].concat());
    assert_eq!(said.code, Some(0), "{}", said.errors);
    assert_eq!(said.output, format!("deleted Job/{JOB}\ncreated Job/{JOB}\n"));
    assert_ne!(uid(), first);

    let said = namespace.dynamo_cache(&[&apply, ["--name", "beside"].as_slice()].concat());
    assert_eq!(said.output, "created Job/beside\n", "{}", said.errors);
    namespace.kubectl(&["create", "job", "foreign", "--image=busybox"]).unwrap();
    let said = namespace.dynamo_cache(&[&apply, ["--name", "foreign", "--replace"].as_slice()].concat());
    assert!(said.code == Some(1) && said.errors.contains("it is not a download"), "{}", said.errors);

    let said = namespace.dynamo_cache(&[&apply, ["--replace", "--token-secret", "none-such"].as_slice()].concat());
    assert_eq!(said.code, Some(1));
    assert!(said.errors.contains("kubectl create secret generic none-such"), "{}", said.errors);
}

#[test]
fn the_job_is_followed_until_it_succeeds_or_fails_or_the_timeout_is_over() {
    let _webhook = webhook::running();
    let namespace = Namespace::plain(shared());
    namespace.claims(&["model-cache"]);
    let wait = ["download", MODEL, "--revision", COMMIT, "--apply", "--wait", "--timeout"];
    let said = namespace.dynamo_cache(&[&wait, ["1s"].as_slice()].concat());
    assert_eq!(said.code, Some(1));
    assert!(said.errors.contains(&format!("Job {JOB} has not completed after 1s")), "{}", said.errors);
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
    assert!(said.errors.contains("has been complete since ") && said.errors.ends_with("done\n"), "{}", said.errors);

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
