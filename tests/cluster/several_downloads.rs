//! `dynamo-cache download` of several models, or beside a Job that is on its way out.

use serde_json::{Value, json};

use crate::harness::control_plane::namespace::Namespace;
use crate::harness::control_plane::{shared, webhook};
use crate::harness::wait_for;

/// A file with a Deployment for each model.
fn workers(models: &[&str]) -> String {
    let worker = |(number, model): (usize, &&str)| {
        let main = json!({"name": "main", "image": "i", "command": ["python3", "-m", "dynamo.vllm"], "args": ["--model", model]});
        let name = format!("worker-{number}");
        let template = json!({"metadata": {"labels": {"app": name}}, "spec": {"containers": [main]}});
        let spec = json!({"replicas": 0, "selector": {"matchLabels": {"app": name}}, "template": template});
        json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name}, "spec": spec}).to_string()
    };
    let all: Vec<_> = models.iter().enumerate().map(worker).collect();
    shared().file(&all.join("\n---\n"))
}

/// What is there of a kind.
fn read(namespace: &Namespace<'_>, arguments: &[&str]) -> Value {
    let said = namespace.kubectl(&[&["get", "--output=json"], arguments].concat()).unwrap();
    serde_json::from_str(&said.out).unwrap()
}

/// The Jobs by their models, each with its name and uid.
fn jobs(namespace: &Namespace<'_>) -> Vec<(String, String, String)> {
    let text = |job: &Value, pointer: &str| job.pointer(pointer).unwrap().as_str().unwrap().to_owned();
    let jobs = read(namespace, &["jobs"]);
    let jobs = jobs["items"].as_array().unwrap().iter();
    let mut jobs: Vec<_> = jobs
        .map(|job| {
            let model = text(job, "/spec/template/spec/containers/0/env/0/value");
            (model, text(job, "/metadata/name"), text(job, "/metadata/uid"))
        })
        .collect();
    jobs.sort();
    jobs
}

/// Reports what a kubelet would of a pod that ended where no other would end otherwise.
fn fail(namespace: &Namespace<'_>, job: &str) {
    let pod = namespace.pod_of_controller(&format!("batch.kubernetes.io/job-name={job}"));
    let state = json!({"terminated": {"exitCode": 3, "reason": "Error", "message": "Error: no such model\n"}});
    let container =
        json!({"name": "download", "image": "i", "imageID": "", "ready": false, "restartCount": 0, "state": state});
    let status = json!({"status": {"phase": "Failed", "containerStatuses": [container]}}).to_string();
    let name = pod["metadata"]["name"].as_str().unwrap();
    namespace.kubectl(&["patch", "pod", name, "--subresource=status", "--type=merge", "--patch", &status]).unwrap();
    wait_for("the Job to be given up", || {
        namespace.kubectl(&["wait", "--for=condition=failed", &format!("job/{job}"), "--timeout=1s"])
    });
}

#[test]
fn of_several_models_what_has_failed_is_started_again_and_the_rest_goes_on() {
    let _webhook = webhook::running();
    let namespace = Namespace::plain(shared());
    namespace.claims(&["model-cache"]);
    let file = workers(&["a/fails", "a/runs"]);
    let apply = ["download", "-f", &file, "--apply"];
    let said = namespace.dynamo_cache(&apply);
    assert_eq!(said.output.matches("created Job/").count(), 2, "{}", said.errors);
    let before = jobs(&namespace);
    fail(&namespace, &before[0].1);
    let said = namespace.dynamo_cache(&[&apply, ["--wait", "--timeout", "1s"].as_slice()].concat());
    assert_eq!(said.code, Some(1));
    let again = format!("Job {} has failed, and --replace starts it again: ", before[0].1);
    assert!(said.errors.contains(&again) && !said.errors.contains("set offline mode"), "{}", said.errors);

    let said = namespace.dynamo_cache(&[&apply, ["--replace"].as_slice()].concat());
    assert_eq!(said.code, Some(0), "{}", said.errors);
    let after = jobs(&namespace);
    assert!(before[0].2 != after[0].2 && before[1] == after[1], "{before:?} {after:?}");
}

#[test]
fn a_job_that_cannot_be_created_keeps_no_other_from_it() {
    let _webhook = webhook::running();
    let namespace = Namespace::plain(shared());
    namespace.claims(&["model-cache"]);
    let quota = json!({"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "one"},
        "spec": {"hard": {"count/jobs.batch": "1"}}});
    namespace.create(&quota.to_string()).unwrap();
    wait_for("the quota to count", || {
        let quota = read(&namespace, &["resourcequota", "one"]);
        if quota["status"]["hard"].is_null() { Err(quota.to_string()) } else { Ok(()) }
    });
    let file = workers(&["a/one", "a/two", "a/three"]);
    let said = namespace.dynamo_cache(&["download", "-f", &file, "--apply", "--wait", "--timeout", "1s"]);
    assert_eq!((said.code, jobs(&namespace).len()), (Some(1), 1), "{}", said.errors);
    assert_eq!(said.errors.matches(" was not created: ").count(), 2, "{}", said.errors);
    assert!(said.errors.contains(" has not completed after 1s and runs on: "), "{}", said.errors);
}

#[test]
fn a_job_that_is_being_deleted_is_waited_for() {
    let _webhook = webhook::running();
    let namespace = Namespace::plain(shared());
    namespace.claims(&["model-cache"]);
    let apply = ["download", "a/b", "--apply"];
    assert_eq!(namespace.dynamo_cache(&apply).code, Some(0));
    let before = jobs(&namespace);
    let job = format!("job/{}", before[0].1);
    let hold = |finalizers: Value| {
        let patch = json!({"metadata": {"finalizers": finalizers}}).to_string();
        namespace.kubectl(&["patch", &job, "--type=merge", "--patch", &patch]).unwrap();
    };
    hold(json!(["tests.dynamo-cache.io/hold"]));
    namespace.kubectl(&["delete", &job, "--wait=false"]).unwrap();
    let said = std::thread::scope(|scope| {
        let said = scope.spawn(|| namespace.dynamo_cache(&apply));
        hold(json!(null));
        said.join().unwrap()
    });
    assert_eq!((said.code, said.output), (Some(0), format!("created Job/{}\n", before[0].1)), "{}", said.errors);
    assert_ne!(jobs(&namespace), before);
}

#[test]
fn a_kind_that_the_preferred_version_of_its_group_lacks_is_read_in_another() {
    let _webhook = webhook::running();
    let namespace = Namespace::plain(shared());
    namespace.claims(&["model-cache"]);
    shared().define("nvidia.com", "v1beta1", "Preferred", "preferreds");
    shared().define("nvidia.com", "v1alpha1", "DynamoModel", "dynamomodels");
    let model = json!({"apiVersion": "nvidia.com/v1alpha1", "kind": "DynamoModel", "metadata": {"name": "adapter"},
        "spec": {"source": {"uri": "hf://team/adapter"}}});
    namespace.create(&model.to_string()).unwrap();
    for arguments in [&["download", "--from"][..], &["download", "--for", "dm/adapter"]] {
        wait_for("discovery to know the kind", || {
            let said = namespace.dynamo_cache(arguments);
            let is_named = said.errors.contains("DynamoModel/adapter") && said.output.contains("value: team/adapter");
            if is_named { Ok(()) } else { Err(said.errors) }
        });
    }
}
