//! `dynamo-cache download --apply`: the Job that is created, a Job that exists already, and how a Job ends.

use serde_json::{Value, json};

use crate::harness::control_plane::namespace::Namespace;
use crate::harness::control_plane::{shared, webhook};
use crate::harness::download_job::{COMMIT, MODEL, variable};
use crate::harness::program::end;
use crate::harness::wait_for;

/// The name of the Job that brings the commit to the claim `model-cache`.
const JOB: &str = "download-qwen3-0-6b-c1899de289a0-d5e15aa7";

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
    let job = "download-qwen3-0-6b-c1899de289a0-df3b1e2f";
    let created = format!(
        "created PersistentVolumeClaim/models\ncreated PersistentVolumeClaim/compilation-cache\ncreated Job/{job}\n"
    );
    assert_eq!(said.output, created);
    assert!(said.errors.contains(&format!("kubectl logs -n {} -f job/{job}", namespace.name)), "{}", said.errors);
    let probe = format!("dynamo-cache check -n {} --write-probe\n", namespace.name);
    assert!(
        said.errors.contains(&format!("then prove that workers can write to the claims: {probe}")),
        "{}",
        said.errors
    );
    let offline = format!("kubectl annotate namespace {} dynamo-cache.io/model-offline=true; ", namespace.name);
    assert!(said.errors.contains(&offline), "{}", said.errors);
    let stored = |kind: &str, name: &str| {
        let said = namespace.kubectl(&["get", kind, name, "--output=json"]).unwrap();
        serde_json::from_str::<Value>(&said.out).unwrap()
    };
    for (claim, size) in [("models", "1Gi"), ("compilation-cache", "50Gi")] {
        let claim = stored("persistentvolumeclaim", claim);
        assert_eq!(claim["spec"]["accessModes"], json!(["ReadWriteMany"]));
        assert_eq!(claim["spec"]["resources"]["requests"]["storage"], size);
    }
    let job = stored("job", job);
    assert_eq!(variable(&job, "HF_HUB_CACHE")["value"], "/model-cache");
    let volumes = &job["spec"]["template"]["spec"]["volumes"];
    assert_eq!(volumes[0]["persistentVolumeClaim"]["claimName"], "models");
    assert_eq!(volumes[1]["persistentVolumeClaim"]["claimName"], "compilation-cache");
    // Its pod passes `restricted`, and the webhook leaves it alone.
    let pod = namespace
        .pod_of_controller(&format!("batch.kubernetes.io/job-name={}", job["metadata"]["name"].as_str().unwrap()));
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

    // It is not repeated, and another revision or set of files is another Job.
    let said = namespace.dynamo_cache(&apply);
    assert_eq!((said.code, said.output.as_str()), (Some(0), ""), "{}", said.errors);
    assert!(said.errors.contains(&format!("Job {JOB} for {MODEL}, created at ")), "{}", said.errors);
    assert!(said.errors.contains("; --replace deletes it and starts again"), "{}", said.errors);
    assert_eq!(uid(), first);
    for other in [["--revision", "main"].as_slice(), &["--revision", "v1", "--include", "*.json"]] {
        let said = namespace.dynamo_cache(&[&["download", MODEL, "--apply"], other].concat());
        assert!(said.code == Some(0) && said.output.starts_with("created Job/download-qwen3-0-6b-"), "{}", said.errors);
    }
    let other = ["download", MODEL, "--revision", "v1", "--include", "*.json", "--apply", "--wait", "--name", JOB];
    let said = namespace.dynamo_cache(&other);
    assert_eq!(said.code, Some(1), "what it does is not what is asked for: {}", said.errors);
    let error = format!("Job {JOB} already exists with another revision; choose another name with --name\n");
    assert!(said.errors.ends_with(&error), "{}", said.errors);

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
    namespace.unproven_claims(&["model-cache"]);
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
    assert_eq!(said.output, format!("nothing to do: {MODEL} is on claim model-cache\n"));
    assert!(said.errors.contains("has been complete since "), "{}", said.errors);
    // The claim may be another one by now.
    assert!(said.errors.contains("no claim is marked: the Job was complete before"), "{}", said.errors);
    assert!(said.errors.contains(" --write-probe\n"), "{}", said.errors);

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
    let own = format!("Job {JOB} has failed, and --replace starts it again: RepositoryNotFoundError: 404\n");
    assert_eq!(said.errors, own);
}

#[test]
fn a_download_that_is_followed_marks_the_claims_that_its_containers_wrote_to() {
    let _webhook = webhook::running();
    let namespace = Namespace::opted_in(shared(), &[]);
    namespace.unproven_claims(&["model-cache", "compilation-cache"]);
    let container = |name: &str, message: &str| {
        let state = json!({"terminated": {"exitCode": 0, "reason": "Completed", "message": message}});
        json!({"name": name, "image": "i", "imageID": "", "ready": false, "restartCount": 0, "state": state})
    };
    let apply = |job: &'static str| {
        [
            "download",
            MODEL,
            "--revision",
            COMMIT,
            "--apply",
            "--wait",
            "--timeout",
            "60s",
            "-n",
            &namespace.name,
            "--name",
            job,
        ]
    };
    let report = |job: &'static str, begun: Option<&str>, of_compile_claim: &str| {
        let running = shared().start_dynamo_cache(&apply(job));
        let pod = namespace.pod_of_controller(&format!("batch.kubernetes.io/job-name={job}"));
        let status = json!({"status": {
            "phase": "Succeeded",
            "startTime": begun.map_or_else(|| pod["metadata"]["creationTimestamp"].clone(), Value::from),
            "initContainerStatuses": [container("client", of_compile_claim)],
            "containerStatuses": [container("proxy", ""), container("download", "uid 1000\nwrote\n")],
        }});
        let (name, patch) = (pod["metadata"]["name"].as_str().unwrap(), status.to_string());
        namespace.kubectl(&["patch", "pod", name, "--subresource=status", "--type=merge", "--patch", &patch]).unwrap();
        let said = end(running);
        assert_eq!(said.code, Some(0), "{}", said.errors);
        said.errors
    };
    let writable = |claim: &str| {
        let path = "--output=jsonpath={.metadata.annotations.dynamo-cache\\.io/writable}";
        namespace.kubectl(&["get", "persistentvolumeclaim", claim, path]).unwrap().out
    };
    let name = &namespace.name;
    let said = report("before", Some("2001-01-01T00:00:00Z"), "uid 1000\nwrote\n");
    assert_eq!((writable("model-cache"), writable("compilation-cache")), (String::new(), String::new()));
    assert!(said.contains("claim model-cache is not marked: it was created after"), "{said}");
    let said = report("broken", None, "uid 1000\ncat: write error: Input/output error\n");
    assert_eq!((writable("model-cache"), writable("compilation-cache")), ("1000".to_owned(), String::new()));
    let error = "claim compilation-cache is not marked: cat: write error: Input/output error\n";
    assert!(said.contains(error), "{said}");
    let said = report("refused", None, "uid 1000\nmktemp: failed to create file: Permission denied\n");
    assert_eq!((writable("model-cache"), writable("compilation-cache")), ("1000".to_owned(), "false".to_owned()));
    let probe = format!("to prove that workers can write to the claims: dynamo-cache check -n {name} --write-probe\n");
    assert!(said.contains("\ndone\n") && said.contains(&probe), "{said}");

    let said = report("written", None, "uid 1000\nwrote\n");
    assert_eq!((writable("model-cache"), writable("compilation-cache")), ("1000".to_owned(), "1000".to_owned()));
    let marked = format!(
        "claim compilation-cache is marked as writable for user 1000 (dynamo-cache.io/writable: 1000); to undo: \
         kubectl annotate pvc compilation-cache -n {name} --overwrite dynamo-cache.io/writable=false\n"
    );
    assert!(said.contains(&marked) && said.contains("claim model-cache is marked already ("), "{said}");
    assert!(!said.contains("--write-probe"), "{said}");
    // The last words are a command: `check` then has nothing to recommend any more.
    let offline = |said: &str| {
        said.lines()
            .find_map(|line| line.split_once("set offline mode: ")?.1.split_once(';'))
            .map(|(command, _)| command.to_owned())
    };
    let hint = || {
        let said = namespace.dynamo_cache(&["check", "-o", "json"]);
        let lines: Value = serde_json::from_str(&said.output).unwrap();
        lines.as_array().unwrap().iter().find(|line| line["check"] == "model-offline").cloned()
    };
    let command = offline(&said).unwrap();
    let line = hint().unwrap();
    assert_eq!(line["state"], "warning");
    assert!(
        line["text"].as_str().unwrap().contains(MODEL) && line["hint"].as_str().unwrap().ends_with(&command),
        "{line:#}"
    );
    shared().bash(&command).unwrap();
    assert_eq!(hint(), None);
    assert_eq!(offline(&report("offline", None, "uid 1000\nwrote\n")), None);

    // The Job is the old one: what it wrote to may be gone.
    namespace.kubectl(&["annotate", "pvc", "model-cache", "dynamo-cache.io/writable-"]).unwrap();
    let said = shared().dynamo_cache(&apply("written"));
    assert!(said.code == Some(0) && said.errors.contains(&probe), "{}", said.errors);
    assert_eq!(writable("model-cache"), "");
}

#[test]
fn the_models_of_the_workloads_get_a_job_each_that_is_not_repeated() {
    let _webhook = webhook::running();
    let namespace = Namespace::opted_in(shared(), &[]);
    namespace.claims(&["model-cache"]);
    let from = ["download", "--from", "--apply"];
    let nothing = format!("nothing to do: no workload of namespace {} names a model\n", namespace.name);
    assert_eq!(namespace.dynamo_cache(&from).output, nothing);

    let deployment = |name: &str, args: &[&str]| {
        let main = json!({"name": "main", "image": "i", "command": ["python3", "-m", "dynamo.vllm"], "args": args,
            "env": [{"name": "SPEC", "valueFrom": {"configMapKeyRef": {"name": "llm-config", "key": "spec"}}}]});
        let template = json!({"metadata": {"labels": {"app": name}}, "spec": {"containers": [main]}});
        let spec = json!({"replicas": 0, "selector": {"matchLabels": {"app": name}}, "template": template});
        namespace
            .create(
                &json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name}, "spec": spec})
                    .to_string(),
            )
            .unwrap();
    };
    let data = json!({"spec": "{\"model\": \"team/draft\"}"});
    namespace
        .create(
            &json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "llm-config"}, "data": data})
                .to_string(),
        )
        .unwrap();
    deployment("a", &["--model", MODEL, "--revision", COMMIT, "--speculative-config=$(SPEC)"]);
    deployment("b", &["--model", MODEL, "--revision", COMMIT]);

    let models = || {
        let said = namespace.dynamo_cache(&["check", "-o", "json"]);
        let lines: Value = serde_json::from_str(&said.output).unwrap();
        lines.as_array().unwrap().iter().find(|line| line["check"] == "models").cloned()
    };
    let line = models().unwrap();
    assert!(
        line["state"] == "ok" && line["text"].as_str().unwrap().contains("no download Job has run here"),
        "{line:#}"
    );

    let said = namespace.dynamo_cache(&["download", "--from"]);
    assert_eq!(said.code, Some(0), "{}", said.errors);
    assert!(
        said.errors.contains("MODEL            REVISION"),
        "the table is not in what kubectl reads: {}",
        said.errors
    );
    assert_eq!(said.output.matches("kind: Job\n").count(), 2, "{}", said.output);

    let said = namespace.dynamo_cache(&["preview"]);
    assert!(said.output.contains("team/draft (Deployment/a, --speculative-config)"), "{}", said.output);

    let said = namespace.dynamo_cache(&from);
    assert_eq!(said.code, Some(0), "{}", said.errors);
    assert!(said.output.contains("Deployment/a (--model) and 1 more"), "{}", said.output);
    assert!(said.output.contains("Deployment/a (--speculative-config)"), "{}", said.output);
    assert!(said.output.contains("claim model-cache requests "), "{}", said.output);
    assert!(said.output.contains(&format!("\ncreated Job/{JOB}\n")), "{}", said.output);
    assert_eq!(said.output.matches("created Job/").count(), 2, "{}", said.output);

    let line = models().unwrap();
    assert_eq!(line["state"], "warning");
    let text = line["text"].as_str().unwrap();
    assert!(text.contains(&format!("{MODEL} at {COMMIT} (Deployment/a, --model), team/draft (")), "{line:#}");

    // What a kubelet would report of both.
    let message = format!("uid 1000\nwrote\ncommit {COMMIT}\nbytes 2147483648\n");
    let state = json!({"terminated": {"exitCode": 0, "reason": "Completed", "message": message}});
    let container =
        json!({"name": "download", "image": "i", "imageID": "", "ready": false, "restartCount": 0, "state": state});
    let status = json!({"status": {"phase": "Succeeded", "containerStatuses": [container]}}).to_string();
    wait_for("both Jobs to be complete", || {
        let pods = namespace.kubectl(&["get", "pods", "--output=jsonpath={.items[*].metadata.name}"])?.out;
        for pod in pods.split_whitespace() {
            namespace.kubectl(&["patch", "pod", pod, "--subresource=status", "--type=merge", "--patch", &status])?;
        }
        namespace.kubectl(&["wait", "--for=condition=complete", "job", "--all", "--timeout=1s"])
    });
    let said = namespace.dynamo_cache(&["download", "--from", "--apply", "--wait"]);
    assert_eq!(said.code, Some(0), "{}", said.errors);
    assert_eq!(said.output.matches("yes, commit c1899de289a0  2048 MiB").count(), 2, "{}", said.output);
    assert!(said.output.contains(", and these models take 4096 MiB\n"), "{}", said.output);
    assert!(said.output.ends_with("nothing to do: 2 models are on claim model-cache\n"), "{}", said.output);

    assert_eq!(models(), None);

    // One workload by its name, and what does not exist.
    let said = namespace.dynamo_cache(&["download", "--for", "deploy/b", "--apply"]);
    assert!(said.output.ends_with(&format!("nothing to do: {MODEL} is on claim model-cache\n")), "{}", said.output);
    let said = namespace.dynamo_cache(&["download", "--for", "deployment/none"]);
    let none = format!("there is no deployment/none in namespace {}\n", namespace.name);
    assert_eq!((said.code, said.errors.as_str()), (Some(1), none.as_str()));
    let said = namespace.dynamo_cache(&["download", "--for", "service/none"]);
    assert!(said.code == Some(1) && said.errors.starts_with("service is no kind with pods"), "{}", said.errors);
}

#[test]
fn a_job_that_can_get_no_pod_is_not_waited_for() {
    let _webhook = webhook::running();
    let namespace = Namespace::plain(shared());
    namespace.claims(&["model-cache"]);
    let wait = ["download", MODEL, "--revision", COMMIT, "--apply", "--wait", "--timeout", "60s"];
    let quota = |name: &str, hard: Value| {
        let quota =
            json!({"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": name}, "spec": {"hard": hard}});
        namespace.create(&quota.to_string()).unwrap();
    };
    // What the Job asks for is within the quota, whatever the quota counts.
    quota("wide", json!({"limits.cpu": "8", "limits.memory": "16Gi", "requests.cpu": "8", "requests.memory": "16Gi"}));
    let said = namespace.dynamo_cache(&["download", MODEL, "--revision", "v1", "--apply", "--name", "fits"]);
    assert_eq!(said.code, Some(0), "{}", said.errors);
    namespace.pod_of_controller("batch.kubernetes.io/job-name=fits");

    quota("small", json!({"requests.memory": "4Gi"}));
    let said = namespace.dynamo_cache(&wait);
    assert_eq!(said.code, Some(1), "{}", said.errors);
    let last = said.errors.lines().last().unwrap();
    assert!(last.starts_with(&format!("Job {JOB} gets no pod, and waits on; ")), "{}", said.errors);
    assert!(last.contains("exceeded quota: small, requested: requests.memory=8Gi"), "{}", said.errors);
    namespace.kubectl(&["delete", "resourcequota", "--all"]).unwrap();
    let limit = json!({"type": "Container", "max": {"memory": "2Gi"}});
    let range =
        json!({"apiVersion": "v1", "kind": "LimitRange", "metadata": {"name": "range"}, "spec": {"limits": [limit]}});
    namespace.create(&range.to_string()).unwrap();
    let said = namespace.dynamo_cache(&[&wait, ["--replace"].as_slice()].concat());
    let last = said.errors.lines().last().unwrap();
    assert!(last.contains("maximum memory usage per Container is 2Gi, but limit is 8Gi"), "{}", said.errors);
    let said = namespace.dynamo_cache(&[&wait[..5], &["--replace", "--memory", "2Gi"]].concat());
    assert_eq!(said.code, Some(0), "{}", said.errors);
    pod_of(&namespace);
}
