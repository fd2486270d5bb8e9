//! `dynamo-cache check --write-probe`: Jobs that are created, report and are deleted. There is no kubelet, so the tests write
//! what one would report.

use serde_json::{Value, json};

use crate::harness::control_plane::namespace::Namespace;
use crate::harness::control_plane::{shared, webhook};
use crate::harness::program::{Run, end, file};
use crate::harness::wait_for;

const CACHES: [&str; 2] = ["model-cache", "compilation-cache"];
const LABEL: &str = "dynamo-cache.io/write-probe";

/// What is said of each claim, by its check: the state, the text and the hint.
fn lines(said: &Run) -> [(String, String, String); 2] {
    let lines: Value = serde_json::from_str(&said.output).unwrap_or_else(|_| panic!("{}{}", said.output, said.errors));
    ["model-write", "compile-write"].map(|check| {
        let line = lines.as_array().unwrap().iter().find(|line| line["check"] == check);
        let line = line.unwrap_or_else(|| panic!("no {check} in {lines:#}"));
        let text = |key: &str| line[key].as_str().unwrap_or_default().to_owned();
        (text("state"), text("text"), text("hint"))
    })
}

/// The Jobs and their pods that are there.
fn objects(namespace: &Namespace) -> Vec<String> {
    let said = namespace.kubectl(&["get", "jobs,pods", "--selector", LABEL, "--output=name"]).unwrap();
    said.out.lines().map(str::to_owned).collect()
}

fn nothing_is_left(namespace: &Namespace) {
    wait_for("the Jobs and their pods to be gone", || {
        let left = objects(namespace);
        if left.is_empty() { Ok(()) } else { Err(format!("{left:?}")) }
    });
}

/// Waits for the pod of a cache.
fn pod(namespace: &Namespace, cache: &str) -> Value {
    let begin = format!("pod/dynamo-cache-probe-{cache}-");
    wait_for("the pod of a Job", || {
        let all = objects(namespace);
        let name = all.iter().find(|name| name.starts_with(&begin)).ok_or_else(|| format!("{all:?}"))?;
        Ok(namespace.pod(name.trim_start_matches("pod/")))
    })
}

#[test]
fn each_claim_gets_a_line_by_what_its_own_pod_said_and_the_jobs_go() {
    let _webhook = webhook::running();
    let namespace = Namespace::opted_in(shared(), &[]);
    namespace
        .kubectl(&["label", "namespace", &namespace.name, "pod-security.kubernetes.io/enforce=restricted"])
        .unwrap();
    namespace.claims(&CACHES);
    let check = namespace.dynamo_cache(&["check"]);
    assert_eq!(check.code, Some(0), "{}{}", check.output, check.errors);
    assert_eq!(shared().audit(&namespace), Vec::<Value>::new(), "without --write-probe no pod is created");

    let check = ["check", "--write-probe", "-o", "json", "-n", &namespace.name];
    let running = shared().start_dynamo_cache(&check);
    let report = |cache: &str, status: Value| {
        let pod = pod(&namespace, cache);
        let (name, spec) = (pod["metadata"]["name"].as_str().unwrap(), &pod["spec"]);
        assert_eq!(spec["securityContext"]["runAsUser"], 1000);
        assert!(spec["securityContext"].get("fsGroup").is_none(), "it has what a worker has: {pod:#}");
        assert!(pod["metadata"]["annotations"].get("dynamo-cache.io/status").is_none(), "{pod:#}");
        let patch = json!({"status": status}).to_string();
        namespace.kubectl(&["patch", "pod", name, "--subresource=status", "--type=merge", "--patch", &patch]).unwrap();
    };
    report("model", json!({"phase": "Succeeded"}));
    let message = "mktemp: failed to create file: Permission denied\n/c is drwxr-xr-x 0:0\n";
    let terminated = json!({"terminated": {"exitCode": 1, "reason": "Error", "message": message}});
    let container = json!({"name": "write-probe", "image": "i", "imageID": "", "ready": false, "restartCount": 0, "state": terminated});
    report("compile", json!({"phase": "Failed", "containerStatuses": [container]}));

    let said = end(running);
    let [model, compile] = lines(&said);
    let path = "/home/dynamo/.cache/huggingface";
    let wrote =
        format!("model cache, claim model-cache: a file below {path} was written, read and removed as user 1000");
    assert_eq!(model, ("ok".to_owned(), wrote, String::new()));
    let failed = "compile cache, claim compilation-cache: the write failed: mktemp: failed to create file: \
                  Permission denied; /c is drwxr-xr-x 0:0";
    assert_eq!((compile.0.as_str(), compile.1.as_str()), ("failed", failed));
    assert!(compile.2.contains("fsGroup") && compile.2.contains("docs/storage.md"), "{}", compile.2);
    assert_eq!(said.code, Some(1));
    assert!(said.errors.ends_with("1 check failed\n"), "{}", said.errors);
    assert!(said.errors.starts_with(&format!("{}: ", namespace.name)), "{}", said.errors);
    assert!(
        said.errors.contains("cache: waiting for ") || said.errors.contains("caches: waiting for "),
        "{}",
        said.errors
    );
    nothing_is_left(&namespace);
}

#[test]
fn a_pod_that_does_not_run_in_time_is_reported_in_the_words_of_the_cluster() {
    let _webhook = webhook::running();
    let namespace = Namespace::opted_in(shared(), &[("compile-claim", "model-cache")]);
    namespace.claims(&CACHES[..1]);
    let check = ["check", "--write-probe", "-o", "json", "--probe-timeout"];
    let said = namespace.dynamo_cache(&[&check, ["1s"].as_slice()].concat());
    for (state, text, hint) in lines(&said) {
        assert_eq!(state, "failed");
        assert!(text.contains("claim model-cache: no write within 1s: waiting for "), "{text}");
        assert!(hint.contains(&format!("-n {}", namespace.name)), "{hint}");
    }
    assert!(said.errors.ends_with("2 checks failed\n"), "{}", said.errors);
    nothing_is_left(&namespace);

    let quota = json!({
        "apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "none"}, "spec": {"hard": {"pods": "0"}},
    });
    namespace.create(&quota.to_string()).unwrap();
    wait_for("the controller to refuse the pods", || {
        let said = namespace.dynamo_cache(&[&check, ["3s"].as_slice()].concat());
        let [(state, text, hint), _] = lines(&said);
        if !text.contains("no pod: ") {
            return Err(text);
        }
        assert!(state == "failed" && text.contains("exceeded quota: none"), "{text}");
        assert_eq!(hint, format!("kubectl describe resourcequotas -n {}", namespace.name));
        Ok(())
    });
    namespace
        .kubectl(&["patch", "resourcequota", "none", "-p", "{\"spec\":{\"hard\":{\"count/jobs.batch\":\"0\"}}}"])
        .unwrap();
    wait_for("the API server to refuse the Jobs", || {
        let said = namespace.dynamo_cache(&[&check, ["3s"].as_slice()].concat());
        let [(state, text, _), _] = lines(&said);
        if text.contains("exceeded quota: none, requested: count/jobs.batch=1") && state == "failed" {
            return Ok(());
        }
        Err(text)
    });
    nothing_is_left(&namespace);
}

#[test]
fn a_signal_ends_it_and_nothing_is_left() {
    let _webhook = webhook::running();
    let namespace = Namespace::opted_in(shared(), &[]);
    namespace.claims(&CACHES);
    for (signal, code) in [("INT", 130), ("TERM", 143)] {
        let running = shared().start_dynamo_cache(&["check", "--write-probe", "-n", &namespace.name]);
        pod(&namespace, "model");
        shared().bash(&format!("kill -{signal} {}", running.id())).unwrap();
        let said = end(running);
        assert_eq!((said.code, said.errors.lines().last()), (Some(code), Some(&*format!("stopped by SIG{signal}"))));
        // What is known by then has been printed.
        assert!(said.output.starts_with("API server\n  ✓ the API server answers: "), "{}", said.output);
        assert!(said.output.contains(&format!("  × check stopped here: stopped by SIG{signal}\n")), "{}", said.output);
        nothing_is_left(&namespace);
    }
}

#[test]
fn claims_that_are_not_used_and_people_who_may_create_no_job_are_not_checked() {
    let _webhook = webhook::running();
    let namespace = Namespace::opted_in(shared(), &[("model-read-only", "true")]);
    namespace.claims(&CACHES[..1]);
    let check = ["check", "--write-probe", "-o", "json", "--probe-timeout", "1s"];
    let [model, compile] = lines(&namespace.dynamo_cache(&check));
    let not_checked =
        |why: &str, check: &str| ("not-checked".to_owned(), format!("{check}: not checked: {why}"), String::new());
    assert_eq!(model, not_checked("the claim is mounted read-only", "model-write"));
    assert_eq!(compile, not_checked("it depends on the compile claim", "compile-write"));

    let namespace = Namespace::opted_in(shared(), &[]);
    namespace.claims(&CACHES);
    namespace
        .kubectl(&[
            "create",
            "rolebinding",
            "views",
            "--clusterrole=view",
            &format!("--serviceaccount={}:default", namespace.name),
        ])
        .unwrap();
    let kubeconfig = shared().kubeconfig_of("default", &namespace.name);
    let who = ["--kubeconfig", &kubeconfig];
    // The settings are not theirs to read, so they do not know which claims are meant.
    for (state, text, _) in lines(&namespace.dynamo_cache(&[&check, who.as_slice()].concat())) {
        assert_eq!(state, "not-checked");
        assert!(text.contains("it depends on the "), "{text}");
    }
    let config = file("probe-settings.yaml", "apiVersion: dynamo-cache.io/v1alpha1\nkind: CacheConfig\n");
    let said = namespace.dynamo_cache(&[check.as_slice(), &who, &["--config", &config]].concat());
    for (state, text, _) in lines(&said) {
        assert_eq!(state, "not-checked");
        assert!(text.contains("cannot create resource \"jobs\" in API group \"batch\""), "{text}");
    }
    assert_eq!(said.code, Some(0), "{}", said.errors);
}
