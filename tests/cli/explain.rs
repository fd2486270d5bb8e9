//! `dynamo-cache explain`: why a pod gets the caches that it gets.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use dynamo_cache::admission::reason::Reason;
use serde_json::json;

use crate::harness::ROOT;
use crate::harness::pods::worker;
use crate::harness::program::{Run, file, run};

/// For each reason code, a case that has it.
fn cases() -> BTreeMap<&'static str, PathBuf> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(format!("{ROOT}/tests/cases")).unwrap() {
        let folder = entry.unwrap().path();
        let expected = fs::read_to_string(folder.join("report.yaml")).unwrap();
        let has = |reason: &Reason| expected.lines().any(|line| line == format!("- {reason}"));
        found.extend(Reason::ALL.into_iter().filter(has).map(|reason| (reason.code(), folder.clone())));
    }
    found
}

/// Explains the pod of a case with what the case knows.
fn explain(folder: &Path) -> Run {
    let path = |name: &str| folder.join(name).display().to_string();
    let mut arguments = vec!["explain".to_owned(), "-f".to_owned(), path("object.yaml")];
    for (option, name) in
        [("--config", "config.yaml"), ("--namespace-file", "namespace.yaml"), ("--claims", "claims.yaml")]
    {
        if folder.join(name).exists() {
            arguments.extend([option.to_owned(), path(name)]);
        }
    }
    run(&arguments.iter().map(String::as_str).collect::<Vec<_>>(), "")
}

/// The reasons whose fix may name what the pod has.
const OF_THE_POD: [Reason; 5] =
    [Reason::EnvSetByUser, Reason::PathTaken, Reason::PathUnsafe, Reason::UserCache, Reason::VolumeNameTaken];

#[test]
fn a_fix_names_the_path_the_claim_or_the_flag_at_hand() {
    let worker = |volume: &serde_json::Value, mount: &serde_json::Value, args: &[&str]| {
        let container = json!({"name": "main", "command": ["python3", "-m", "dynamo.vllm"], "args": args,
            "volumeMounts": [mount]});
        json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": {"containers": [container],
            "volumes": [volume]}})
    };
    let claim = json!({"name": "v", "persistentVolumeClaim": {"claimName": "weights"}});
    let secret = json!({"name": "v", "secret": {"secretName": "hub"}});
    let at = |path: &str| json!({"name": "v", "mountPath": path});
    let huggingface = "/home/dynamo/.cache/huggingface";
    for (pod, line) in [
        (
            worker(&claim, &at(huggingface), &[]),
            format!("Unmount {huggingface} to get the shared cache, or name it: dynamo-cache.io/model-claim: weights."),
        ),
        (worker(&secret, &at(huggingface), &[]), format!("Unmount {huggingface} to get the shared cache.")),
        (
            worker(&secret, &at(&format!("{huggingface}/token")), &[]),
            format!("Unmount {huggingface}/token, or choose another model-mount-path."),
        ),
        (
            worker(&claim, &at("/home/dynamo/.cache/vllm"), &[]),
            "Unmount /home/dynamo/.cache/vllm to get the shared cache, or name it: dynamo-cache.io/compile-claim: weights."
                .to_owned(),
        ),
        (
            worker(&secret, &at("/x"), &["--download-dir", "/weights"]),
            "Remove --download-dir to get the shared cache.".to_owned(),
        ),
    ] {
        for command in ["explain", "inject"] {
            let said = run(&[command, "-f", &file("fix.yaml", &pod.to_string())], "");
            assert!(format!("{}{}", said.output, said.errors).contains(&line), "no {line:?} in:\n{}", said.output);
        }
    }
}

#[test]
fn every_reason_code_is_explained_with_its_words_and_its_fix() {
    let mut crowded = worker("crowded");
    crowded["metadata"]["annotations"] = json!({"notes": "x".repeat(262_100)});
    let crowded = file("crowded.yaml", &crowded.to_string());
    let cases = cases();
    for reason in Reason::ALL {
        let said = match (reason, cases.get(reason.code())) {
            (Reason::StatusTooLarge, None) => run(&["explain", "-f", &crowded], ""),
            (_, case) => explain(case.unwrap_or_else(|| panic!("no case folder has {reason}"))),
        };
        assert_eq!(said.code, Some(0), "{reason}: {}", said.errors);
        let (line, rest) = said.output.split_once(&format!("[{reason}]")).unwrap_or_else(|| {
            panic!("{reason} is not explained in:\n{}", said.output);
        });
        let line = line.lines().last().unwrap_or_default();
        assert!(line.len() > 20, "{reason} has no words: {line:?}");
        // Some reasons have a fix that speaks of the pod at hand.
        let own = rest.lines().nth(1).unwrap_or_default().trim_start();
        let has_own = OF_THE_POD.contains(&reason) && own.len() > 10 && own.ends_with('.');
        assert!(reason.fix().len() > 10 && (rest.contains(reason.fix()) || has_own), "{reason}:\n{}", said.output);
        assert!(reason.sentence().len() > 20, "{reason} has no sentence");
    }
}

#[test]
fn a_container_that_is_not_selected_is_explained_by_the_rule_that_excluded_it() {
    let said = |annotations: serde_json::Value| {
        let mut pod = worker("passed");
        pod["metadata"]["annotations"] = annotations;
        let engine = pod["spec"]["containers"][0].clone();
        let with = |name: &str, module: &str| {
            let mut container = engine.clone();
            container["name"] = json!(name);
            container["command"] = json!(["python3", "-m", module]);
            container
        };
        let others = [with("second", "dynamo.vllm"), with("weights", "gpu_memory_service")];
        pod["spec"]["containers"].as_array_mut().unwrap().extend(others);
        pod["spec"]["initContainers"] = json!([with("once", "dynamo.vllm")]);
        let said = run(&["explain", "-f", "-"], &pod.to_string());
        assert_eq!(said.code, Some(0), "{}", said.errors);
        said.output
    };
    let usual = said(json!({}));
    let named = said(json!({"dynamo-cache.io/containers": "main"}));
    for (output, line) in [
        (
            &usual,
            "  once: not selected: it ends before the main containers start; dynamo-cache.io/containers can still name it",
        ),
        (&usual, "  second: selected by its command, which shows an engine, a dynamo.* module or a sidecar of Dynamo"),
        (&usual, "  weights: not selected: GPU Memory Service and containers that wait for a leader never get caches"),
        (&named, "  second: not selected: annotation dynamo-cache.io/containers names other containers"),
        (&named, "  weights: not selected: GPU Memory Service and containers that wait for a leader never get caches"),
    ] {
        assert!(output.lines().any(|found| found.starts_with(line)), "no {line:?} in:\n{output}");
    }
}

#[test]
fn the_rule_of_each_container_and_the_level_of_each_setting_are_shown() {
    let mut pod = worker("worker");
    pod["metadata"]["annotations"] = json!({"dynamo-cache.io/model-claim": "of-the-pod"});
    let sidecar = json!({"name": "logs", "image": "busybox"});
    pod["spec"]["containers"].as_array_mut().unwrap().push(sidecar);
    let pod = file("explained.yaml", &pod.to_string());
    let config = file(
        "explained-config.yaml",
        "apiVersion: dynamo-cache.io/v1alpha1\nkind: CacheConfig\nmodelCache: {offline: true}\n",
    );
    let said = run(
        &[
            "explain",
            "-f",
            &pod,
            "--config",
            &config,
            "--namespace-annotation",
            "dynamo-cache.io/model-mount-path=/models",
            "--claim",
            "of-the-pod",
        ],
        "",
    );
    assert_eq!(said.code, Some(0), "{}", said.errors);
    for line in [
        "Pod/worker",
        "  a Dynamo component, by the command of container main, which runs a dynamo.* module or a sidecar of Dynamo",
        "  main: selected by its command, which shows an engine, a dynamo.* module or a sidecar of Dynamo",
        "    engine vllm",
        "      adds: claim of-the-pod at /models",
        "      adds: HF_HUB_OFFLINE=1",
        "    compile: skipped: the claim is not in the pod's namespace (claim compilation-cache) [claim-not-found]",
        "  logs: not selected: its command shows no engine and no part of Dynamo; dynamo-cache.io/containers can name it",
    ] {
        assert!(said.output.lines().any(|found| found == line), "no {line:?} in:\n{}", said.output);
    }
    for (setting, value, level) in [
        ("modelCache.claim", "of-the-pod", "pod, dynamo-cache.io/model-claim"),
        ("modelCache.mountPath", "/models", "namespace, dynamo-cache.io/model-mount-path"),
        ("modelCache.offline", "true", "settings file"),
        ("missingClaim", "skip", "built in"),
    ] {
        let shows = |line: &str| {
            let mut words = line.split_whitespace();
            words.next() == Some(setting) && words.next() == Some(value) && line.ends_with(level)
        };
        assert!(said.output.lines().any(shows), "no {setting} {value} {level} in:\n{}", said.output);
    }
}

#[test]
fn a_scratch_volume_is_explained_and_so_is_what_is_missing_without_one() {
    let cases = Path::new(ROOT).join("tests/cases");
    for (case, line) in [
        ("a_read_only_root_gets_a_scratch_volume", "      adds: emptyDir dynamo-cache-scratch at /tmp/huggingface"),
        (
            "a_scratch_volume_whose_name_is_taken_leaves_its_variables_out",
            "    without HF_XET_CACHE, HF_MODULES_CACHE and HF_TOKEN_PATH: /tmp/huggingface is read-only, or not the container's own",
        ),
        (
            "only_the_missing_variable_is_omitted_without_scratch",
            "    without HF_MODULES_CACHE and HF_TOKEN_PATH: /tmp/huggingface is read-only, or not the container's own",
        ),
    ] {
        let said = explain(&cases.join(case));
        assert!(said.output.lines().any(|found| found == line), "no {line:?} in:\n{}", said.output);
    }
}

#[test]
fn explain_and_inject_refer_a_graph_deployment_to_the_pods_of_its_operator() {
    let graph = |metadata: &str, spec: &str| {
        let graph = format!(
            "apiVersion: nvidia.com/v1alpha1\nkind: DynamoGraphDeployment\nmetadata: {metadata}\nspec: {spec}\n"
        );
        ["explain", "inject"].map(|command| run(&[command, "-f", "-"], &graph))
    };
    for (metadata, namespace) in [("{name: qwen3}", "NAMESPACE"), ("{name: qwen3, namespace: llm}", "llm")] {
        let preview = format!("`dynamo-cache preview -n {namespace}` shows the running pods\n");
        // Of a graph without components there is nothing to explain.
        let [explained, injected] = graph(metadata, "{}");
        for said in [&explained, &injected] {
            assert_eq!((said.code, said.errors.lines().count()), (Some(0), 1), "{}", said.errors);
            let begin = "DynamoGraphDeployment/qwen3: its operator creates the pods, ";
            let end = format!("nothing to do here: {preview}");
            assert!(said.errors.contains(begin) && said.errors.ends_with(&end), "{}", said.errors);
        }
        let [explained, injected] = graph(metadata, "{services: {Worker: {componentType: worker}}}");
        assert_eq!((explained.code, explained.errors.as_str()), (Some(0), ""));
        let end =
            format!("nothing to do here: `dynamo-cache explain -f FILE` shows what its pods would get, and {preview}");
        assert!(injected.errors.ends_with(&end) && injected.errors.lines().count() == 1, "{}", injected.errors);
    }
    // Beside a graph, what is to be said of others is said.
    let list = "apiVersion: v1\nkind: List\nitems:\n- {apiVersion: nvidia.com/v1alpha1, kind: DynamoGraphDeployment, metadata: {name: g}, \
                spec: {services: {W: {componentType: worker}}}}\n- {apiVersion: nvidia.com/v1beta1, kind: \
                DynamoGraphDeploymentRequest, metadata: {name: r}}\n- {apiVersion: trainer.kubeflow.org/v1alpha1, kind: TrainJob, \
                metadata: {name: t}, spec: {}}\n";
    let said = run(&["explain", "-f", "-"], list);
    assert_eq!((said.code, said.errors.lines().count()), (Some(0), 2), "{}", said.errors);
    assert!(said.errors.contains("DynamoGraphDeploymentRequest/r: its operator creates the pods, "), "{}", said.errors);
    assert!(said.errors.contains("TrainJob/t: only its controller knows the pods, "), "{}", said.errors);
    let said = run(&["explain", "-f", "-"], "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: other}\n");
    assert_eq!((said.code, said.errors.as_str()), (Some(0), "<stdin>:1:1: ConfigMap/other has no pods\n"));
}

#[test]
fn a_workload_in_a_file_is_explained_by_its_template_and_wrong_usage_is_two() {
    let said = run(&["explain", "-f", &format!("{ROOT}/manifests/examples/vllm-worker.yaml")], "");
    assert!(said.output.starts_with("Deployment/vllm-worker\n"), "{}", said.output);
    for arguments in [&["explain"][..], &["explain", "pod", "-f", "x.yaml"], &["explain", "pod", "--claim", "x"]] {
        assert_eq!(run(arguments, "").code, Some(2), "{arguments:?}");
    }
    let said = run(&["explain"], "");
    assert!(said.errors.contains("<POD|--filename <FILE>>"), "{}", said.errors);
    let said = run(&["explain", "deployment/worker"], "");
    assert!(said.code == Some(2) && said.errors.contains("only pods can be explained"), "{}", said.errors);
    let said = run(&["explain", "pod"], "");
    assert_eq!(said.code, Some(1));
    assert!(said.errors.contains("--kubeconfig"), "{}", said.errors);
}
