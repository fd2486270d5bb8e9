//! `dynamo-cache download --from`: the models that the workloads of a namespace name, and downloads that cannot succeed.

use serde_json::{Value, json};

use super::cluster::{shared, wait_for};
use super::harness::tool::Run;
use super::hub::{COMMIT, EARLIER, Hub, MODEL};
use super::namespace::Namespace;
use super::pod::{self, PYTHON};
use super::release;
use super::volume::Volume;

/// Finds each model by the real client without a hub, and prunes what no ref names.
const LOOKS: &str = r#"
python3 - <<'PYTHON'
import huggingface_hub
earlier = "e6de91484c29aa9480d55605af694f39b081c455"
wanted = [("Qwen/Qwen3-0.6B", None), ("Qwen/Qwen3-0.6B", earlier), ("team/draft", None), ("team/adapter", None)]
for model, revision in wanted:
    folder = huggingface_hub.snapshot_download(model, revision=revision, local_files_only=True)
    print("found", model, folder.rpartition("/")[2][:12])
PYTHON
hf cache prune --yes --cache-dir "$HF_HUB_CACHE"
"#;

/// Where the Jobs run: as many beside one another as there are models, on a small node.
fn at<'a>(hub: &'a Hub<'_>, namespace: &'a Namespace) -> Vec<&'a str> {
    let place = ["--endpoint", &hub.endpoint, "--image", PYTHON, "--memory", "512Mi", "--cpu", "100m"];
    let wait = ["-n", &namespace.name, "--apply", "--wait", "--timeout", "5m"];
    [place.as_slice(), wait.as_slice()].concat()
}

/// Creates a Deployment that has no pods yet.
fn deployment(namespace: &Namespace, name: &str, container: &Value) {
    let labels = json!({"app": name});
    let template = json!({"metadata": {"labels": labels}, "spec": {"containers": [container]}});
    let spec = json!({"replicas": 0, "selector": {"matchLabels": labels}, "template": template});
    namespace.create(&json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name}, "spec": spec}));
}

/// Creates a graph of one worker, for which no operator makes pods here.
fn graph(namespace: &Namespace, name: &str, container: &Value) {
    const DEFINITION: &str = "dynamographdeployments.nvidia.com";
    let cluster = namespace.cluster;
    if cluster.kubectl(&["get", "customresourcedefinition", DEFINITION]).is_err() {
        let schema = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
        let version =
            json!({"name": "v1beta1", "served": true, "storage": true, "schema": {"openAPIV3Schema": schema}});
        let names = json!({
            "kind": "DynamoGraphDeployment", "plural": "dynamographdeployments", "singular": "dynamographdeployment",
        });
        let definition = json!({
            "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
            "metadata": {"name": DEFINITION},
            "spec": {"group": "nvidia.com", "scope": "Namespaced", "names": names, "versions": [version]},
        });
        cluster.kubectl(&["create", "-f", &cluster.file(&definition)]).unwrap();
        let definition = format!("customresourcedefinition/{DEFINITION}");
        let wait = ["wait", "--for=condition=Established", &definition, "--timeout=60s"];
        // It fails while there are no conditions yet.
        wait_for("the definition to be established", || cluster.kubectl(&wait).map(drop));
    }
    let component = json!({"name": "Worker", "type": "worker", "podTemplate": {"spec": {"containers": [container]}}});
    namespace.create(&json!({
        "apiVersion": "nvidia.com/v1beta1", "kind": "DynamoGraphDeployment", "metadata": {"name": name},
        "spec": {"components": [component]},
    }));
}

#[test]
fn all_models_of_a_namespace_are_brought_once_and_found_offline() {
    let cluster = shared();
    let namespace = Namespace::opted_in(&[("model-offline", "true")]);
    namespace.volumes(&[Volume::of_root("model-cache"), Volume::of_root("compilation-cache")]);
    let hub = Hub::serve_with(&namespace, &["--busy=2", "--break-off=1"]);
    // What else a namespace may demand of pods.
    namespace
        .kubectl(&["label", "namespace", &namespace.name, "pod-security.kubernetes.io/enforce=restricted"])
        .unwrap();
    let hard = json!({"limits.cpu": "5", "limits.memory": "5Gi", "requests.cpu": "5", "requests.memory": "5Gi"});
    let usual = json!({"cpu": "100m", "memory": "256Mi"});
    let limit =
        json!({"type": "Container", "default": usual, "defaultRequest": usual, "max": {"cpu": "4", "memory": "2Gi"}});
    for (kind, spec) in [("ResourceQuota", json!({"hard": hard})), ("LimitRange", json!({"limits": [limit]}))] {
        namespace.create(&json!({"apiVersion": "v1", "kind": kind, "metadata": {"name": "small"}, "spec": spec}));
    }
    let _running = release::running();
    let container =
        |command: Value, args: &[&str]| json!({"name": "main", "image": PYTHON, "command": command, "args": args});
    let worker = json!(["python3", "-m", "dynamo.vllm"]);
    let speculator = r#"{"model": "team/draft", "num_speculative_tokens": 3}"#;
    let arguments = ["--model", MODEL, "--revision", COMMIT, "--speculative-config", speculator];
    deployment(&namespace, "decode", &container(worker.clone(), &arguments));
    deployment(&namespace, "prefill", &container(worker.clone(), &arguments[..4]));
    deployment(&namespace, "last", &container(worker, &["--model", MODEL, "--revision", EARLIER]));
    let script = "exec python3 -m dynamo.vllm --model \"$MODEL_PATH\" --served-model-name own/name";
    let mut third = container(json!(["bash", "-c"]), &[script]);
    third["env"] = json!([{"name": "MODEL_PATH", "value": "team/adapter"}]);
    graph(&namespace, "third", &third);

    let at_the_hub = at(&hub, &namespace);
    let from = [["download", "--from", "--create-claim", "1Gi"].as_slice(), &at_the_hub].concat();
    let said = cluster.dynamo_cache(&from);
    assert_eq!(said.code, Some(0), "{}", hub.log());
    assert!(said.output.contains("Deployment/decode (--model) and 1 more"), "{}", said.output);
    assert_eq!(said.output.matches("created Job/download-").count(), 4, "{}", said.output);
    let commits = ["Qwen/Qwen3-0.6B c1899de289a0", "Qwen/Qwen3-0.6B e6de91484c29"];
    for label in commits.into_iter().chain(["team/draft main", "team/adapter main"]) {
        assert!(said.errors.contains(&format!("\n{label}: done\n")), "{}", said.errors);
    }
    assert!(hub.log().contains(" 429\n") && hub.log().contains("broken off"), "{}", hub.log());
    let given = hub.given();
    let said = cluster.dynamo_cache(&from);
    assert_eq!(said.code, Some(0), "{}", said.errors);
    assert!(said.output.ends_with("nothing to do: 4 models are on claim model-cache\n"), "{}", said.output);
    assert_eq!(hub.given(), given, "{}", hub.log());
    let said = cluster.dynamo_cache(&["preview", "-n", &namespace.name]);
    assert!(!said.output.contains("No finished download"), "{}", said.output);

    namespace.kubectl(&["delete", "pod/hub", "--now"]).unwrap();
    let mut engine = pod::engine("worker", LOOKS);
    engine["spec"]["securityContext"]["seccompProfile"] = json!({"type": "RuntimeDefault"});
    engine["spec"]["containers"][0]["securityContext"] =
        json!({"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}});
    let ended = namespace.run(&engine);
    ended.assert_said(&[
        // The first that is named is `main`.
        "found Qwen/Qwen3-0.6B c1899de289a0",
        "found Qwen/Qwen3-0.6B e6de91484c29",
        "found team/draft dddddddddddd",
        "found team/adapter aaaaaaaaaaaa",
    ]);
    assert!(ended.log.contains("Nothing to prune"), "each commit has a ref: {}", ended.log);
}

#[test]
fn a_download_that_cannot_succeed_ends_at_once_and_says_why_last() {
    let cluster = shared();
    let namespace = Namespace::opted_in(&[]);
    namespace.claims(&[Volume::prepared("model-cache")]);
    let hub = Hub::serve(&namespace);
    let _running = release::running();
    let at_the_hub = at(&hub, &namespace);
    let download = |arguments: &[&str]| cluster.dynamo_cache(&[&["download"], arguments, &at_the_hub].concat());
    let fails = |said: &Run, reason: &str| {
        let last = said.errors.lines().last().unwrap_or_default();
        assert!(said.code == Some(1) && last.contains(reason), "not '{reason}': {}", said.errors);
    };
    let missing = download(&["team/none"]);
    fails(&missing, "Error: the hub has no model team/none that this token may read (HTTP 404)");
    let wrong = download(&[MODEL, "--revision", "none"]);
    fails(&wrong, "Error: Qwen/Qwen3-0.6B has no revision none at the hub (HTTP 404)");
    let large = download(&["team/huge"]);
    fails(&large, "Error: team/huge needs 1048576 TiB more, and ");
    fails(&large, " are free on the claim: enlarge it, or remove from it what is not needed");
    namespace.kubectl(&["delete", "pod/hub", "--now"]).unwrap();
    let away = download(&[MODEL, "--retry-for", "5s"]);
    fails(&away, "Error: the hub cannot be reached: ");
    // None of them was tried by another pod.
    let jobs = namespace.read(&["jobs"]);
    let pods = jobs["items"].as_array().unwrap().iter().map(|job| job["status"]["failed"].clone());
    assert_eq!(pods.collect::<Vec<_>>(), vec![json!(1); 4], "{jobs:#}");
    let again = download(&[MODEL, "--retry-for", "5s"]);
    fails(&again, " has failed, and --replace starts it again: ");
}
