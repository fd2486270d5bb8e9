//! `dynamo-cache inject`.

use std::process::{Command, Stdio};

use dynamo_cache::yaml;
use serde_json::{Value, json};

use crate::harness::pods::worker;
use crate::harness::program::{Run, file, run};

const WORKLOADS: &str = include_str!("workloads.yaml");

const POD: &str = "apiVersion: v1\nkind: Pod\nmetadata:\n  name: worker\nspec:\n  containers:\n  - name: main\n    \
                   image: vllm-runtime\n    command:\n    - python3\n    - -m\n    - dynamo.vllm\n";

fn inject(arguments: &[&str], input: &str) -> Run {
    run(&[&["inject", "-f", "-"], arguments].concat(), input)
}

fn documents(text: &str) -> Vec<Value> {
    yaml::documents(text).unwrap().into_iter().map(|document| document.value).collect()
}

#[test]
fn every_kind_with_pods_gets_its_caches() {
    let run = inject(&["--pod-template", "/spec/tasks/0/template"], WORKLOADS);
    assert_eq!(run.code, Some(0), "{}", run.errors);
    let documents = documents(&run.output);
    let shared = "/items/";
    for (document, spec) in [
        (0, "/spec".to_owned()),
        (1, "/spec/template/spec".to_owned()),
        (2, "/spec/template/spec".to_owned()),
        (3, format!("{shared}0/spec/template/spec")),
        (3, format!("{shared}1/spec/template/spec")),
        (3, format!("{shared}2/items/0/spec/template/spec")),
        (3, format!("{shared}4/spec/template/spec")),
        (3, format!("{shared}5/spec/jobTemplate/spec/template/spec")),
        (3, format!("{shared}6/template/spec")),
        (3, format!("{shared}7/spec/leaderWorkerTemplate/leaderTemplate/spec")),
        (3, format!("{shared}7/spec/leaderWorkerTemplate/workerTemplate/spec")),
        (3, format!("{shared}8/spec/roles/0/template/spec")),
        (3, format!("{shared}8/spec/roles/1/template/spec")),
        (3, format!("{shared}9/spec/roles/0/standalonePattern/template/spec")),
        (3, format!("{shared}9/spec/roles/1/leaderWorkerPattern/template/spec")),
        (3, format!("{shared}9/spec/roles/2/customComponentsPattern/components/0/template/spec")),
        (3, format!("{shared}9/spec/roles/3/standalonePattern/templateRef/patch/spec")),
        (3, format!("{shared}10/spec/podSpec")),
        (3, format!("{shared}11/spec/template/cliques/0/spec/podSpec")),
        (3, format!("{shared}12/spec/tasks/0/template/spec")),
    ] {
        let found = documents[document].pointer(&format!("{spec}/volumes/0/name"));
        assert!(found.is_some_and(|name| name.as_str().unwrap().starts_with("dynamo-cache-")), "{document} {spec}");
    }
    let of = |pointer: &str| documents[3].pointer(pointer);
    // What the controller adds to its pods is known, and not written.
    for template in ["leaderTemplate", "workerTemplate"] {
        let template = of(&format!("{shared}7/spec/leaderWorkerTemplate/{template}")).unwrap();
        assert!(template["metadata"].get("labels").is_none(), "{template}");
        assert!(template["metadata"]["annotations"]["dynamo-cache.io/status"].as_str().unwrap().contains("multi-node"));
    }
    for (role, spans_nodes) in [(0, false), (1, true)] {
        let status = of(&format!("{shared}8/spec/roles/{role}/template/metadata/annotations/dynamo-cache.io~1status"));
        assert_eq!(status.unwrap().as_str().unwrap().contains("multi-node"), spans_nodes, "{role}");
    }
    // The labels and annotations of a clique are its pods'.
    let claim = of(&format!("{shared}10/spec/podSpec/volumes/0/persistentVolumeClaim/claimName"));
    assert_eq!(claim, Some(&"of-the-clique".into()));
    assert!(of(&format!("{shared}10/metadata/annotations/dynamo-cache.io~1status")).is_some());
    let claim =
        of(&format!("{shared}11/spec/template/cliques/0/spec/podSpec/volumes/0/persistentVolumeClaim/claimName"));
    assert_eq!(claim, Some(&"of-the-clique".into()));
    // A claim template is a volume of the pod: its mount is the user's cache.
    assert!(run.errors.contains("StatefulSet/statefulset: container main without model: "), "{}", run.errors);
    assert!(run.errors.contains("[user-cache]"), "{}", run.errors);
    // What has no effect gets a warning.
    let ignored =
        "Deployment/deployment: dynamo-cache.io/skip has no effect here, only on a pod [annotation-ignored]. ";
    assert!(run.errors.contains(ignored), "{}", run.errors);
    assert!(run.errors.contains(" It belongs into /spec/template/metadata/annotations.\n"), "{}", run.errors);
    // Order and unknown fields survive.
    assert_eq!(documents[1]["spec"]["unknownField"].to_string(), r#"{"stays":[1,"0644",true]}"#);
    let keys: Vec<_> = documents[1]["spec"].as_object().unwrap().keys().collect();
    assert_eq!(keys, ["unknownField", "template"]);
}

#[test]
fn a_second_pass_changes_nothing() {
    let first = inject(&[], WORKLOADS);
    let second = inject(&[], &first.output);
    assert_eq!(second.output, first.output);
    assert_eq!(inject(&["-o", "diff"], &first.output).output, "");
    let patches = inject(&["-o", "patch"], &first.output).output;
    assert!(patches.lines().all(|patch| patch == "[]"), "{patches}");
}

#[test]
fn documents_of_several_files_stay_apart_whether_their_text_is_kept_or_not() {
    let named = |name: &str, text: &str| text.replace("name: worker", &format!("name: {name}"));
    // The alias of a merge keeps additions out of the text.
    let rewritten =
        |name: &str| named(name, POD).replace("  containers:", "  x: &x {a: [b]}\n  y: {<<: *x}\n  containers: &c");
    let plain = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: plain}\n".to_owned();
    let files = [
        ("kept", named("kept", POD)),
        ("rewritten", rewritten("rewritten")),
        ("plain", plain),
        ("kept-2", format!("# note\n{}...\n", named("kept-2", POD))),
        ("rewritten-2", rewritten("rewritten-2").trim_end().to_owned()),
    ];
    let before = ["", "---\n", "# first\n---\n", "--- # first\n", "%YAML 1.2\n---\n", "# first\n%YAML 1.2\n---\n"];
    for (one, other) in (0..files.len()).flat_map(|one| (0..files.len()).map(move |other| (one, other))) {
        for (begin, first) in before.iter().enumerate() {
            let paths = [one, other].map(|index| {
                let (name, text) = &files[index];
                file(&format!("stream-{one}-{other}-{begin}-{name}.yaml"), &format!("{first}{text}"))
            });
            let said = run(&["inject", "-f", &paths[0], "-f", &paths[1]], "");
            assert_eq!(said.code, Some(0), "{}", said.errors);
            let alone = paths.each_ref().map(|path| documents(&run(&["inject", "-f", path], "").output)).concat();
            assert_eq!(alone.len(), 2);
            assert_eq!(documents(&said.output), alone, "{}", said.output);
            if files[one].0.starts_with("rewritten") {
                assert!(!said.output.contains("*x"), "it is rewritten: {}", said.output);
            }
        }
    }
}

#[test]
fn every_output_says_the_same() {
    let yaml = documents(&inject(&[], WORKLOADS).output);
    let json = inject(&["-o", "json"], WORKLOADS).output;
    assert_eq!(documents(&json), yaml);
    assert_eq!(documents(&inject(&["-o", "json"], &json).output), yaml);
    let lines = inject(&["-o", "patch"], WORKLOADS).output;
    let mut patched = documents(WORKLOADS);
    assert_eq!(lines.lines().count(), patched.len());
    for (document, patch) in patched.iter_mut().zip(lines.lines()) {
        let patch: json_patch::Patch = serde_json::from_str(patch).unwrap();
        json_patch::patch(document, &patch).unwrap();
    }
    assert_eq!(patched, yaml);
}

#[test]
fn a_diff_shows_what_is_added() {
    let run = inject(&["-o", "diff"], &format!("{POD}---\napiVersion: v1\nkind: ConfigMap\n"));
    assert!(run.output.starts_with("--- Pod/worker\n+++ Pod/worker\n@@ "), "{}", run.output);
    let body: Vec<_> = run.output.lines().skip(2).collect();
    assert!(body.contains(&"+      value: /home/dynamo/.cache/huggingface"), "{}", run.output);
    assert!(body.iter().all(|line| !line.starts_with('-') && !line.contains('\u{1b}')), "{}", run.output);
    assert!(!run.output.contains("ConfigMap"), "{}", run.output);
}

#[test]
fn an_unreadable_document_fails_with_file_line_and_column_and_prints_nothing() {
    for (name, text, message) in [
        ("syntax.yaml", format!("{POD}---\na: [1\nb: 2\n"), ":15:2: "),
        ("twice.yaml", format!("{POD}---\na: 1\na: 2\n"), ":15:1: duplicate key \"a\""),
        ("list.yaml", format!("{POD}---\n- a\n"), ":14:1: expected a Kubernetes object, not a list"),
        (
            "no-pod.yaml",
            format!(
                "{POD}---\napiVersion: apps/v1\nkind: Deployment\nspec: {{template: {{spec: {{containers: 5}}}}}}\n"
            ),
            ":16:38: Deployment: spec.template.spec.containers: invalid type: integer `5`, expected a sequence",
        ),
        (
            "number.yaml",
            format!("{POD}    env:\n    - {{name: A, value: x}}\n    - name: B\n      value: 8000\n"),
            ":16:14: Pod/worker: spec.containers.0.env.1.value: invalid type: integer `8000`, expected a string",
        ),
        ("broken.json", "{\"kind\": \"Pod\",\n\"spec\": ]}".to_owned(), ":2:9: expected value"),
    ] {
        let path = file(name, &text);
        let run = run(&["inject", "-f", &path], "");
        assert_eq!((run.code, run.output.as_str()), (Some(1), ""), "{name}");
        assert!(run.errors.starts_with(&format!("{path}{message}")), "{name}: {}", run.errors);
        assert_eq!(run.errors.lines().count(), 1, "{}", run.errors);
    }
    let stdin = inject(&[], "a: 'b\n");
    assert!(stdin.code == Some(1) && stdin.errors.starts_with("<stdin>:1:"), "{}", stdin.errors);
    let endless = run(&["inject", "-f", "/dev/zero"], "");
    let expected = "failed to read /dev/zero: it is larger than 256 MiB; split it\n";
    assert_eq!((endless.code, endless.errors.as_str()), (Some(1), expected));
}

#[test]
fn wrong_usage_is_two() {
    for arguments in [
        &["-o", "xml"][..],
        &["--claim", "models=ReadWriteSome"],
        &["--namespace-annotation", "model-claim=x"],
        &["--pod-template", "spec"],
    ] {
        let run = inject(arguments, POD);
        assert_eq!((run.code, run.output.as_str()), (Some(2), ""), "{arguments:?}");
    }
    assert_eq!(run(&["inject"], "").code, Some(2));
}

#[test]
fn claims_are_those_that_are_given() {
    let claims = |arguments: &[&str]| {
        let run = inject(arguments, POD);
        assert_eq!(run.code, Some(0), "{}", run.errors);
        let pod = documents(&run.output).remove(0);
        let volumes = pod["spec"]["volumes"].as_array().cloned().unwrap_or_default();
        let names =
            volumes.iter().map(|volume| volume["persistentVolumeClaim"]["claimName"].as_str().unwrap().to_owned());
        (names.collect::<Vec<_>>().join(" "), run.errors)
    };
    assert_eq!(claims(&[]), ("model-cache compilation-cache".to_owned(), String::new()));
    let (names, errors) = claims(&["--claim", "model-cache"]);
    assert_eq!(names, "model-cache");
    assert!(errors.starts_with("Pod/worker: container main without compile: "), "{errors}");
    assert!(errors.contains("(claim compilation-cache) [claim-not-found]. Create the claim"), "{errors}");
    assert_eq!(errors.lines().count(), 1, "{errors}");
    let (names, errors) =
        claims(&["--claim", "model-cache=ReadWriteOnce", "--claim", "compilation-cache=ReadWriteOncePod"]);
    assert_eq!(names, "");
    assert!(errors.contains("[claim-single-node]") && errors.contains("[claim-single-pod]"), "{errors}");

    let one = |name: &str, more: &str| {
        format!("  - {{apiVersion: v1, kind: PersistentVolumeClaim, metadata: {{name: {name}}}, {more}}}\n")
    };
    let list = |claims: &[String]| format!("apiVersion: v1\nkind: List\nitems:\n{}", claims.concat());
    for (more, code) in [
        ("spec: {accessModes: [ReadWriteMany], volumeMode: Block}", "[claim-block]"),
        ("spec: {accessModes: [ReadWriteMany]}, status: {phase: Lost}", "[claim-lost]"),
        ("spec: {accessModes: [ReadWriteOnce]}", "[claim-single-node]"),
    ] {
        let proven = "kind: PersistentVolumeClaim, metadata: {annotations: {dynamo-cache.io/writable: '1000,0'}, ";
        let compile = one("compilation-cache", "spec: {}").replace("kind: PersistentVolumeClaim, metadata: {", proven);
        let file = file("claims.yaml", &list(&[one("model-cache", more), compile]));
        let (names, errors) = claims(&["--claims", &file]);
        assert_eq!(names, "compilation-cache", "{more}");
        assert!(errors.contains(code), "{more}: {errors}");
    }
    let text = "apiVersion: v1\nkind: PersistentVolumeClaim\nmetadata: {name: model-cache, deletionTimestamp: 2026-01-01T00:00:00Z}\n";
    let terminating = file("terminating.yaml", text);
    assert!(claims(&["--claims", &terminating]).1.contains("[claim-terminating]"));
    let wrong = file("no-claim.yaml", POD);
    let run = inject(&["--claims", &wrong], POD);
    assert_eq!(run.code, Some(1));
    assert_eq!(run.errors, format!("{wrong}:1:1: expected only PersistentVolumeClaims and StorageClasses\n"));
}

#[test]
fn the_namespace_and_the_settings_file_count() {
    let namespace = file(
        "namespace.yaml",
        "apiVersion: v1\nkind: Namespace\nmetadata: {name: x, annotations: {dynamo-cache.io/model-claim: of-namespace}}\n",
    );
    let config = file(
        "settings.yaml",
        "apiVersion: dynamo-cache.io/v1alpha1\nkind: CacheConfig\nmodelCache: {claim: of-file, offline: true}\n",
    );
    let used = |arguments: &[&str]| inject(arguments, POD).output;
    assert!(used(&["--config", &config]).contains("claimName: of-file"));
    let both = used(&["--config", &config, "--namespace-file", &namespace]);
    assert!(both.contains("claimName: of-namespace") && both.contains("HF_HUB_OFFLINE"), "{both}");
    let option = ["--namespace-file", &namespace, "--namespace-annotation", "dynamo-cache.io/model-claim=of-option"];
    assert!(used(&option).contains("claimName: of-option"));
    let wrong = file("wrong-settings.yaml", "apiVersion: v1\nkind: CacheConfig\n");
    let run = inject(&["--config", &wrong], POD);
    assert_eq!(run.code, Some(1));
    assert!(run.errors.starts_with(&format!("{wrong}:1:13: apiVersion is ")), "{}", run.errors);
}

#[test]
fn objects_without_components_are_untouched_and_reported() {
    let text = POD.replace("dynamo.vllm", "http.server");
    let run = inject(&[], &text);
    assert_eq!(run.output, text);
    assert!(run.errors.contains("untouched: the pod is not a Dynamo component [not-a-component]"), "{}", run.errors);
    let run = inject(&["--pod-template", "/spec/nowhere"], "kind: Other\n");
    assert_eq!((run.code, run.output.as_str()), (Some(1), ""));
    assert_eq!(run.errors, "--pod-template /spec/nowhere: no document has a pod template there\n");
}

#[test]
fn a_kind_without_a_known_pod_template_is_reported_with_how_to_name_one() {
    let job = |name: &str| {
        format!(
            "apiVersion: example.com/v1\nkind: Job\nmetadata: {{name: {name}}}\nspec: {{tasks: [{{template: {{spec: {{}}}}}}]}}\n"
        )
    };
    let jobs = format!("{}---\n{}", job("one"), job("two"));
    let run = inject(&[], &jobs);
    let expected = "no pod template is known in Job/one, Job/two; --pod-template POINTER names one\n";
    assert_eq!((run.code, run.errors.as_str()), (Some(0), expected));
    let run = inject(&["--pod-template", "/spec/tasks/0/template"], &jobs);
    assert!(!run.errors.contains("no pod template"), "{}", run.errors);
    let many: Vec<_> = ["a", "b", "c", "d", "e", "f", "g"].map(job).into();
    let run = inject(&[], &many.join("---\n"));
    assert!(run.errors.contains("Job/e and 2 more; --pod-template"), "{}", run.errors);
    let list = "apiVersion: v1\nkind: List\nitems: [{apiVersion: nvidia.com/v1alpha1, kind: DynamoGraphDeployment, metadata: {name: q}}]\n";
    let run = inject(&[], list);
    assert!(
        run.errors.contains("/q: its operator creates the pods") && !run.errors.contains("--pod-template"),
        "{}",
        run.errors
    );
    // What Kubernetes itself has beside pods goes through without a word.
    for (version, kind) in
        [("v1", "Service"), ("networking.k8s.io/v1", "Ingress"), ("autoscaling/v2", "HorizontalPodAutoscaler")]
    {
        let run = inject(&[], &format!("apiVersion: {version}\nkind: {kind}\nmetadata: {{name: x}}\n"));
        assert_eq!((run.code, run.errors.as_str()), (Some(0), ""), "{kind}");
    }
}

#[test]
fn nasty_text_survives() {
    let texts =
        ["yes", "0644", "1e3", "null", "~", " a ", "a\n\n b \n\n", "trailing  ", "#!/bin/sh\necho 'a' \"b\"\n", "\t"];
    let mut object: Value = serde_json::from_str(r#"{"kind":"ConfigMap","data":{}}"#).unwrap();
    for text in texts {
        object["data"][text] = text.into();
    }
    let run = inject(&[], &object.to_string());
    assert_eq!(documents(&run.output), [object]);
    assert!(run.output.contains("|\n"), "{}", run.output);
}

#[test]
fn ten_thousand_documents_are_fine() {
    let text = vec![POD; 10_000].join("---\n");
    let run = inject(&["--claim", "model-cache"], &text);
    assert_eq!(run.code, Some(0));
    assert_eq!(run.output.matches("claimName: model-cache").count(), 10_000);
    assert_eq!(run.errors.lines().count(), 10_000);
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let path = file("many.yaml", &vec![POD; 200].join("---\n"));
    let mut child = Command::new(env!("CARGO_BIN_EXE_dynamo-cache"))
        .args(["inject", "-f", &path])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), String::from_utf8_lossy(&output.stderr).as_ref()), (Some(0), ""));
}

#[test]
fn a_file_that_nests_too_deep_is_refused_with_its_place() {
    let deep = (0..150).fold(json!({}), |inner, _| json!({"f:a": inner}));
    let mut pod = worker("worker");
    pod["metadata"]["managedFields"] = json!([{"fieldsV1": deep}]);
    for (name, text) in [("deep.json", pod.to_string()), ("deep.yaml", format!("# YAML\n{pod}"))] {
        let path = file(name, &text);
        let said = run(&["inject", "-f", &path], "");
        assert_eq!((said.code, said.output.as_str()), (Some(1), ""), "{name}");
        assert!(said.errors.starts_with(&format!("{path}:")) && said.errors.contains("nest"), "{}", said.errors);
    }
}
