//! `dynamo-cache check --write-probe`: Jobs that are created, report and are deleted. There is no kubelet, so the tests write
//! what one would report.

use serde_json::{Value, json};

use crate::harness::control_plane::namespace::Namespace;
use crate::harness::control_plane::{shared, webhook};
use crate::harness::pods::worker;
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

/// The annotation of a claim that says who can write to it; empty if it has none.
pub(super) fn writable(namespace: &Namespace, claim: &str) -> String {
    let path = "--output=jsonpath={.metadata.annotations.dynamo-cache\\.io/writable}";
    namespace.kubectl(&["get", "persistentvolumeclaim", claim, path]).unwrap().out
}

/// The text and the hint of a line.
pub(super) fn line(said: &Run, check: &str) -> Option<(String, String, String)> {
    let lines: Value = serde_json::from_str(&said.output).unwrap();
    let line = lines.as_array().unwrap().iter().find(|line| line["check"] == check)?.clone();
    Some(["state", "text", "hint"].map(|key| line[key].as_str().unwrap_or_default().to_owned()).into())
}

/// Writes what a kubelet would report about the pod of a cache that has ended.
pub(super) fn end_pod(namespace: &Namespace, cache: &str, exit_code: u32, message: &str) {
    let pod = pod(namespace, cache);
    let phase = if exit_code == 0 { "Succeeded" } else { "Failed" };
    let terminated = json!({"terminated": {"exitCode": exit_code, "reason": "Error", "message": message}});
    let container = json!({"name": "write-probe", "image": "i", "imageID": "", "ready": false, "restartCount": 0, "state": terminated});
    let patch = json!({"status": {"phase": phase, "containerStatuses": [container]}}).to_string();
    let name = pod["metadata"]["name"].as_str().unwrap();
    namespace.kubectl(&["patch", "pod", name, "--subresource=status", "--type=merge", "--patch", &patch]).unwrap();
}

pub(super) fn nothing_is_left(namespace: &Namespace) {
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
    namespace.unproven_claims(&CACHES);
    let check = namespace.dynamo_cache(&["check"]);
    assert!(check.output.contains("claim compilation-cache: "), "{}{}", check.output, check.errors);
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
    end_pod(
        &namespace,
        "compile",
        1,
        "uid 1000\nmktemp: failed to create file: Permission denied\n/c is drwxr-xr-x 0:0\n",
    );

    let said = end(running);
    let [model, compile] = lines(&said);
    let path = "/home/dynamo/.cache/huggingface";
    let wrote = format!(
        "model cache, claim model-cache: a file below {path} was written, read and removed as user 1000, group 0"
    );
    assert_eq!(model, ("ok".to_owned(), wrote, String::new()));
    let failed = "compile cache, claim compilation-cache: the write failed as user 1000, group 0: mktemp: failed to \
                  create file: Permission denied; /c is drwxr-xr-x 0:0";
    assert_eq!((compile.0.as_str(), compile.1.as_str()), ("failed", failed));
    assert!(compile.2.contains("fsGroup") && compile.2.contains("docs/storage.md"), "{}", compile.2);
    // The model Job could not report its user: the pod's own one counts.
    let marked = |claim: &str, not: &str, value: &str| {
        let text = format!(
            "claim {claim} is marked as {not}writable for user 1000 (dynamo-cache.io/writable: {value}); to undo: \
             kubectl annotate pvc {claim} -n {} dynamo-cache.io/writable-",
            namespace.name
        );
        Some(("ok".to_owned(), text, String::new()))
    };
    assert_eq!(line(&said, "model-proof"), marked("model-cache", "", "1000"));
    assert_eq!(line(&said, "compile-proof"), marked("compilation-cache", "not ", "false"));
    assert_eq!(CACHES.map(|claim| writable(&namespace, claim)), ["1000", "false"]);
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
    namespace.unproven_claims(&CACHES[..1]);
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
    namespace.unproven_claims(&CACHES);
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
    namespace.unproven_claims(&CACHES[..1]);
    let check = ["check", "--write-probe", "-o", "json", "--probe-timeout", "1s"];
    let [model, compile] = lines(&namespace.dynamo_cache(&check));
    let not_checked =
        |why: &str, check: &str| ("not-checked".to_owned(), format!("{check}: not checked: {why}"), String::new());
    assert_eq!(model, not_checked("the claim is mounted read-only", "model-write"));
    assert_eq!(compile, not_checked("it depends on the compile claim", "compile-write"));

    let namespace = Namespace::opted_in(shared(), &[]);
    namespace.unproven_claims(&CACHES);
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
    let (state, text, _) = line(&said, "compile-proof").unwrap();
    let unproven = "claim compilation-cache stays unproven: a Job could not be run";
    assert_eq!((state.as_str(), text.as_str()), ("failed", unproven));
    assert_eq!(line(&said, "model-proof"), None, "workers get the model cache without a proof");
    assert_eq!(said.code, Some(1), "{}", said.errors);
}

#[test]
fn the_probe_runs_as_the_components_do_and_takes_no_model_cache_from_them() {
    let _webhook = webhook::running();
    let namespace = Namespace::opted_in(shared(), &[]);
    namespace.unproven_claims(&CACHES);
    let mut worker = worker("worker");
    worker["spec"]["securityContext"] = json!({"fsGroup": 1000, "supplementalGroups": [7]});
    namespace.create(&worker.to_string()).unwrap();
    let check = ["check", "--write-probe", "-o", "json", "-n", &namespace.name];
    let refused = "uid 1000\nmktemp: Permission denied\n";
    for (arguments, group, words) in [
        (&[][..], json!(1000), "user 1000, group 0, fsGroup 1000, supplementalGroups 7"),
        (&["--probe-fs-group", "none"], Value::Null, "user 1000, group 0, supplementalGroups 7"),
    ] {
        let running = shared().start_dynamo_cache(&[&check, arguments].concat());
        let security = pod(&namespace, "model")["spec"]["securityContext"].clone();
        assert_eq!((&security["fsGroup"], &security["supplementalGroups"]), (&group, &json!([7])), "{security:#}");
        for cache in ["model", "compile"] {
            end_pod(&namespace, cache, 1, refused);
        }
        let said = end(running);
        let [(state, text, _), _] = lines(&said);
        assert!(state == "failed" && text.contains(&format!("the write failed as {words}: mktemp")), "{text}");
        let (state, text, _) = line(&said, "model-proof").unwrap();
        let of_worker = "pod worker (the image's user, fsGroup 1000, supplementalGroups 7) has its model cache there";
        assert!(state == "warning" && text.contains(&format!("({words})")) && text.ends_with(of_worker), "{text}");
        assert_eq!(CACHES.map(|claim| writable(&namespace, claim)), ["", "false"]);
        nothing_is_left(&namespace);
    }
}

#[test]
fn a_claim_is_marked_by_what_its_probe_reports_and_what_a_person_wrote_stays() {
    let _webhook = webhook::running();
    let namespace = Namespace::opted_in(shared(), &[]);
    namespace.unproven_claims(&CACHES);
    let annotate = |value: &str| {
        let annotation = format!("dynamo-cache.io/writable={value}");
        namespace.kubectl(&["annotate", "pvc", "compilation-cache", "--overwrite", &annotation]).unwrap();
    };
    let check = ["check", "--write-probe", "-o", "json", "-n", &namespace.name];
    let wrote = "uid 1000\nwrote\n";
    let probe = |arguments: &[&str], exit_code: u32, message: &str| {
        let running = shared().start_dynamo_cache(&[&check, arguments].concat());
        end_pod(&namespace, "model", 0, wrote);
        end_pod(&namespace, "compile", exit_code, message);
        let said = end(running);
        nothing_is_left(&namespace);
        said
    };

    let said = probe(&["--no-mark"], 0, wrote);
    assert_eq!((line(&said, "model-proof"), line(&said, "compile-proof")), (None, None));
    assert_eq!(CACHES.map(|claim| writable(&namespace, claim)), ["", ""]);

    // The user is the one of the process, not the one that was asked for.
    annotate("2000, 0");
    let said = probe(&[], 0, "uid 1000680000\nwrote\n");
    assert_eq!(writable(&namespace, "compilation-cache"), "0,2000,1000680000");
    assert!(
        lines(&said)[1].1.ends_with(" was written, read and removed as user 1000680000, group 0"),
        "{}",
        said.output
    );

    probe(&[], 1, "uid 2000\ncat: write error: No space left on device\n");
    assert_eq!(writable(&namespace, "compilation-cache"), "0,1000680000");
    probe(&[], 1, "uid 0\nmktemp: not found\n");
    assert_eq!(writable(&namespace, "compilation-cache"), "0,1000680000", "this says nothing about the claim");

    annotate("false");
    probe(&[], 0, wrote);
    assert_eq!(CACHES.map(|claim| writable(&namespace, claim)), ["1000", "1000"]);
    let (state, text, _) = line(&probe(&[], 0, wrote), "compile-proof").unwrap();
    let already = "claim compilation-cache is marked already (dynamo-cache.io/writable: 1000)";
    assert_eq!((state.as_str(), text.as_str()), ("ok", already));

    for (value, exit_code, message, state_of, in_its_place) in
        [("yes", 0, wrote, "failed", "1000"), ("true", 1, "uid 1000\nmktemp: Permission denied\n", "warning", "false")]
    {
        annotate(value);
        let (state, text, hint) = line(&probe(&[], exit_code, message), "compile-proof").unwrap();
        assert_eq!(state, state_of, "a claim that is not proven otherwise has failed");
        assert!(
            text.starts_with(&format!(
                "claim compilation-cache keeps its annotation dynamo-cache.io/writable: \"{value}\""
            )),
            "{text}"
        );
        assert_eq!(writable(&namespace, "compilation-cache"), value);
        shared().bash(&hint).unwrap();
        assert_eq!(writable(&namespace, "compilation-cache"), in_its_place, "{hint}");
    }
}

#[test]
fn two_probes_that_mark_a_claim_at_the_same_time_lose_nothing() {
    let _webhook = webhook::running();
    let namespace = Namespace::opted_in(shared(), &[("compile-claim", "model-cache")]);
    namespace.unproven_claims(&CACHES[..1]);
    let check = ["check", "--write-probe", "-o", "json", "-n", &namespace.name, "--probe-user"];
    let running = ["1000", "2000"].map(|user| shared().start_dynamo_cache(&[&check, [user].as_slice()].concat()));
    let pods = wait_for("the pods of both probes", || {
        let all: Vec<_> = objects(&namespace).into_iter().filter(|name| name.starts_with("pod/")).collect();
        if all.len() == 4 { Ok(all) } else { Err(format!("{all:?}")) }
    });
    let wrote = json!({"status": {"phase": "Succeeded"}}).to_string();
    for pod in pods {
        namespace.kubectl(&["patch", &pod, "--subresource=status", "--type=merge", "--patch", &wrote]).unwrap();
    }
    for said in running.map(end) {
        let (state, text, _) = line(&said, "model-proof").unwrap();
        assert!(state == "ok" && text.contains(" is marked as writable for user "), "{text}");
        assert_eq!(line(&said, "compile-proof"), None, "both caches are on one claim");
    }
    assert_eq!(writable(&namespace, "model-cache"), "1000,2000");
}

#[test]
fn a_compile_claim_is_unproven_until_a_probe_has_written_to_it() {
    let _webhook = webhook::running();
    let namespace = Namespace::opted_in(shared(), &[]);
    namespace.unproven_claims(&CACHES);
    let check = |arguments: &[&str]| namespace.dynamo_cache(&[&["check", "-o", "json"], arguments].concat());
    let compile = |said: &Run| line(said, "compile-claim").unwrap();
    let (state, text, hint) = compile(&check(&[]));
    assert!(state == "failed" && text.ends_with("[claim-unproven]"), "{text}");
    assert!(hint.contains("--write-probe"), "{hint}");

    let probe = ["check", "--write-probe", "-o", "json", "-n", &namespace.name];
    let run = |arguments: &[&str], exit_code: u32, message: &str| {
        let running = shared().start_dynamo_cache(&[&probe, arguments].concat());
        end_pod(&namespace, "model", 0, "uid 1000\nwrote\n");
        end_pod(&namespace, "compile", exit_code, message);
        end(running)
    };
    let said = run(&["--no-mark"], 0, "uid 1000\nwrote\n");
    assert_eq!((compile(&said).0.as_str(), said.code), ("failed", Some(1)), "it is probed, and stays unproven");
    let said = run(&[], 1, "uid 1000\nmktemp: Permission denied\n");
    let (state, text, _) = compile(&said);
    assert_eq!((state.as_str(), said.code), ("ok", Some(1)), "the probe's own line fails: {text}");
    let said = run(&[], 0, "uid 1000\nwrote\n");
    assert_eq!(said.code, Some(0), "{}", said.output);
    assert_eq!(check(&[]).code, Some(0));

    // A model claim to which a probe could not write is probed again.
    namespace.kubectl(&["annotate", "pvc", "model-cache", "--overwrite", "dynamo-cache.io/writable=false"]).unwrap();
    assert_eq!(line(&check(&[]), "model-claim").unwrap().0, "failed");
    assert_eq!(run(&[], 0, "uid 1000\nwrote\n").code, Some(0));
    assert_eq!(writable(&namespace, "model-cache"), "1000");
}
