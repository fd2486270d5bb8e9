//! `dynamo-cache usage` and `prune`: the Jobs that they create, and what they refuse. There is no kubelet, so what Jobs find is
//! tested in the node suite.

use serde_json::{Value, json};

use crate::harness::control_plane::namespace::Namespace;
use crate::harness::control_plane::{shared, webhook};
use crate::harness::pods::worker;
use crate::harness::program::{Run, end, file};
use crate::harness::wait_for;

const CACHES: [&str; 2] = ["model-cache", "compilation-cache"];
const LABEL: &str = "dynamo-cache.io/claim-job";

/// A namespace with both claims bound.
fn furnished(annotations: &[(&str, &str)]) -> Namespace<'static> {
    let namespace = Namespace::opted_in(shared(), annotations);
    for claim in CACHES {
        namespace.bound_claim(claim, &json!({"hostPath": {"path": "/none"}}));
    }
    namespace
}

/// The Jobs and their pods that are there.
fn objects(namespace: &Namespace<'_>) -> Vec<String> {
    let said = namespace.kubectl(&["get", "jobs,pods", "--selector", LABEL, "--output=name"]).unwrap();
    said.out.lines().map(str::to_owned).collect()
}

fn nothing_is_left(namespace: &Namespace<'_>) {
    wait_for("the Jobs and their pods to be gone", || {
        let left = objects(namespace);
        if left.is_empty() { Ok(()) } else { Err(format!("{left:?}")) }
    });
}

/// The pods of the Jobs, once there are so many, by their claims.
fn pods(namespace: &Namespace<'_>, number: usize) -> Vec<(String, Value)> {
    wait_for("the pods of the Jobs", || {
        let all = objects(namespace);
        let names: Vec<_> = all.iter().filter_map(|name| name.strip_prefix("pod/")).collect();
        if names.len() != number {
            return Err(format!("{all:?}"));
        }
        let mut pods: Vec<_> = names
            .iter()
            .map(|name| {
                let pod = namespace.pod(name);
                let volume = &pod["spec"]["volumes"][0]["persistentVolumeClaim"];
                (volume["claimName"].as_str().unwrap().to_owned(), pod)
            })
            .collect();
        pods.sort_by(|(claim, _), (other, _)| claim.cmp(other));
        Ok(pods)
    })
}

/// Writes what a kubelet would report about a pod that has failed.
fn fail(namespace: &Namespace<'_>, pod: &Value, message: &str) {
    let terminated = json!({"terminated": {"exitCode": 1, "reason": "Error", "message": message}});
    let container = json!({
        "name": "dynamo-cache", "image": "i", "imageID": "", "ready": false, "restartCount": 0, "state": terminated,
    });
    let patch = json!({"status": {"phase": "Failed", "containerStatuses": [container]}}).to_string();
    let name = pod["metadata"]["name"].as_str().unwrap();
    namespace.kubectl(&["patch", "pod", name, "--subresource=status", "--type=merge", "--patch", &patch]).unwrap();
}

fn claims(said: &Run) -> Vec<Value> {
    serde_json::from_str(&said.output).unwrap_or_else(|_| panic!("{}{}", said.output, said.errors))
}

#[test]
fn each_claim_is_measured_read_only_by_a_job_of_a_restricted_pod_that_goes() {
    let _webhook = webhook::running();
    let namespace = furnished(&[]);
    let restricted = "pod-security.kubernetes.io/enforce=restricted";
    namespace.kubectl(&["label", "namespace", &namespace.name, restricted]).unwrap();
    let usage = ["usage", "-o", "json", "-n", &namespace.name, "--image", "tool:1"];
    let running = shared().start_dynamo_cache(&usage);
    let found = pods(&namespace, 2);
    let names: Vec<_> = found.iter().map(|(claim, _)| claim.as_str()).collect();
    assert_eq!(names, ["compilation-cache", "model-cache"]);
    for (claim, pod) in &found {
        let container = &pod["spec"]["containers"][0];
        assert_eq!(container["volumeMounts"], json!([{"name": "claim", "mountPath": "/claim", "readOnly": true}]));
        assert_eq!(container["image"], "tool:1");
        assert_eq!(container["command"], json!(["/dynamo-cache", "measure", "/claim", "--limit=270s"]), "{claim}");
        assert_eq!(pod["spec"]["securityContext"]["runAsUser"], 1000);
        assert!(pod["metadata"]["annotations"].get("dynamo-cache.io/status").is_none(), "{pod:#}");
        fail(&namespace, pod, "failed to read /claim: Permission denied (os error 13)\n");
    }
    let said = end(running);
    assert_eq!(said.code, Some(1), "{}", said.errors);
    for claim in claims(&said) {
        let why = claim["error"].as_str().unwrap();
        assert!(why.starts_with("failed to read /claim: Permission denied (os error 13) (--user"), "{why}");
    }
    let last = "claim model-cache was not measured: failed to read /claim: Permission denied";
    assert!(said.errors.contains(last), "{}", said.errors);
    nothing_is_left(&namespace);
}

#[test]
fn the_jobs_run_as_the_components_do_and_know_the_folders_that_these_have() {
    let _webhook = webhook::running();
    let namespace = furnished(&[]);
    namespace.kubectl(&["annotate", "pvc", "--all", "dynamo-cache.io/writable=true"]).unwrap();
    let mut worker = worker("worker");
    worker["spec"]["securityContext"] = json!({"fsGroup": 1000, "supplementalGroups": [7]});
    worker["spec"]["containers"][0]["env"] = json!([{"name": "VLLM_CACHE_ROOT", "value": "/mine/by-hand"}]);
    worker["spec"]["containers"][0]["volumeMounts"] = json!([{"name": "own", "mountPath": "/mine"}]);
    worker["spec"]["volumes"] = json!([{"name": "own", "persistentVolumeClaim": {"claimName": "compilation-cache"}}]);
    namespace.create(&worker.to_string()).unwrap();
    for (arguments, user, group) in [
        (&[][..], json!(1000), json!(1000)),
        (&["--user", "0", "--fs-group", "none"], json!(0), Value::Null),
        (&["--user", "none"], Value::Null, json!(1000)),
    ] {
        let usage = [&["usage", "-o", "json", "-n", &namespace.name], arguments].concat();
        let running = shared().start_dynamo_cache(&usage);
        let found = pods(&namespace, 2);
        let security = &found[0].1["spec"]["securityContext"];
        let context = (&security["runAsUser"], &security["fsGroup"], &security["runAsNonRoot"]);
        assert_eq!(context, (&user, &group, &json!(user != 0)), "{security:#}");
        assert_eq!(security["supplementalGroups"], json!([7]));
        let command = found[0].1["spec"]["containers"][0]["command"].as_array().unwrap();
        assert_eq!(command.last().unwrap(), "--also=by-hand");
        for (_, pod) in &found {
            fail(&namespace, pod, "x");
        }
        assert_eq!(end(running).code, Some(1));
        nothing_is_left(&namespace);
    }
}

#[test]
fn a_namespace_that_takes_no_job_or_no_pod_is_reported_in_its_own_words() {
    let _webhook = webhook::running();
    let namespace = furnished(&[]);
    let usage = ["usage", "-o", "json", "--timeout"];
    let why = |said: &Run| claims(said)[0]["error"].as_str().unwrap_or_default().to_owned();
    let said = namespace.dynamo_cache(&[&usage, ["1s"].as_slice()].concat());
    assert!(why(&said).starts_with("the Job has not ended within 1s: waiting for "), "{}", why(&said));
    nothing_is_left(&namespace);
    let limits = json!({"type": "Container", "max": {"memory": "16Mi"}});
    let limits =
        json!({"apiVersion": "v1", "kind": "LimitRange", "metadata": {"name": "small"}, "spec": {"limits": [limits]}});
    namespace.create(&limits.to_string()).unwrap();
    wait_for("the controller to refuse the pods", || {
        let why = why(&namespace.dynamo_cache(&[&usage, ["3s"].as_slice()].concat()));
        if why.contains("maximum memory usage per Container is 16Mi") { Ok(()) } else { Err(why) }
    });
    namespace.kubectl(&["delete", "limitrange", "small"]).unwrap();
    let quota = json!({
        "apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "none"},
        "spec": {"hard": {"count/jobs.batch": "0"}},
    });
    namespace.create(&quota.to_string()).unwrap();
    wait_for("the API server to refuse the Jobs", || {
        let why = why(&namespace.dynamo_cache(&[&usage, ["3s"].as_slice()].concat()));
        if why.contains("exceeded quota: none, requested: count/jobs.batch=1") { Ok(()) } else { Err(why) }
    });
    nothing_is_left(&namespace);
}

#[test]
fn a_signal_ends_usage_and_prune_and_nothing_is_left_on_the_cluster() {
    let _webhook = webhook::running();
    let namespace = furnished(&[]);
    for (command, signal, code) in [("usage", "INT", 130), ("prune", "TERM", 143)] {
        let running = shared().start_dynamo_cache(&[command, "-n", &namespace.name]);
        pods(&namespace, 2);
        shared().bash(&format!("kill -{signal} {}", running.id())).unwrap();
        let said = end(running);
        assert_eq!((said.code, said.errors.lines().last()), (Some(code), Some(&*format!("stopped by SIG{signal}"))));
        nothing_is_left(&namespace);
    }
}

#[test]
fn claims_without_a_volume_are_not_mounted_and_nothing_is_guessed() {
    let _webhook = webhook::running();
    let namespace = Namespace::opted_in(shared(), &[("compile-claim", "none-such")]);
    namespace.unproven_claims(&CACHES[..1]);
    let said = namespace.dynamo_cache(&["usage"]);
    assert_eq!((said.code, said.output.as_str()), (Some(0), "No claim with caches was measured.\n"), "{}", said.errors);
    for line in [
        "claim model-cache is not measured: it is not bound, so there is nothing on it\n",
        "claim none-such is not measured: it does not exist\n",
    ] {
        assert!(said.errors.contains(line), "{}", said.errors);
    }
    let said = namespace.dynamo_cache(&["prune"]);
    assert_eq!(
        (said.code, said.output.as_str()),
        (Some(0), "No compile cache is on the claims.\n\nNothing to remove.\n")
    );
    let said = namespace.dynamo_cache(&["prune", "--model", "Qwen/Qwen3-0.6B"]);
    let none = format!("model Qwen/Qwen3-0.6B is on no claim of namespace {}; ", namespace.name);
    assert!(said.code == Some(1) && said.errors.contains(&none), "{}", said.errors);
}

#[test]
fn a_person_who_cannot_know_what_the_workloads_get_removes_nothing() {
    let _webhook = webhook::running();
    let namespace = Namespace::opted_in(shared(), &[]);
    let account = format!("--serviceaccount={}:default", namespace.name);
    // More than the role `view` has, which cannot list what other tests define.
    let all = json!({"apiGroups": ["*"], "resources": ["*"], "verbs": ["get", "list"]});
    let role = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": {"name": "reads"}, "rules": [all],
    });
    namespace.create(&role.to_string()).unwrap();
    namespace.kubectl(&["create", "rolebinding", "reads", "--role=reads", &account]).unwrap();
    let kubeconfig = shared().kubeconfig_of("default", &namespace.name);
    // The settings are not theirs to read.
    let said = namespace.dynamo_cache(&["prune", "--kubeconfig", &kubeconfig]);
    let nothing =
        "nothing is removed, because it is not known what all workloads of the namespace would get (--config FILE ";
    assert!(said.code == Some(1) && said.errors.contains(nothing), "{}", said.errors);
    let config = file("usage-settings.yaml", "apiVersion: dynamo-cache.io/v1alpha1\nkind: CacheConfig\n");
    let said = namespace.dynamo_cache(&["prune", "--kubeconfig", &kubeconfig, "--config", &config]);
    assert_eq!(
        (said.code, said.output.as_str()),
        (Some(0), "No compile cache is on the claims.\n\nNothing to remove.\n")
    );

    // With claims, the Jobs are refused in the API server's own words.
    namespace.bound_claim(CACHES[0], &json!({"hostPath": {"path": "/none"}}));
    let said = namespace.dynamo_cache(&["usage", "-o", "json", "--kubeconfig", &kubeconfig, "--config", &config]);
    let why = claims(&said)[0]["error"].as_str().unwrap().to_owned();
    assert!(why.contains("cannot create resource \"jobs\" in API group \"batch\""), "{why}");
}
