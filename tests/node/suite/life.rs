//! The proof of life: a worker without any setting for caches finds its model, and what others compiled.

use serde_json::{Value, json};

use super::cluster::{ROOT, keep, wait_for};
use super::hub::Hub;
use super::namespace::Namespace;
use super::pod::PYTHON;
use super::release;
use super::volume::Volume;

/// The name of the download Job of the examples.
const JOB: &str = "job/download-qwen3-0-6b-c1899de289a0-d5e15aa7";

#[test]
fn a_worker_finds_its_model_with_the_network_gone_and_without_the_label_it_does_not() {
    let namespace = Namespace::opted_in(&[("model-offline", "true")]);
    namespace.volumes(&[Volume::prepared("model-cache"), Volume::prepared("compilation-cache")]);
    let examples = format!("{ROOT}/manifests/examples");
    namespace.kubectl(&["create", "-f", &format!("{examples}/claims.yaml")]).unwrap();
    namespace.wait_until_bound();

    // The Job as it is shipped, with the real client, from a hub of our own.
    let hub = Hub::serve(&namespace);
    let endpoint = hub.endpoint.clone();
    namespace.create(&download_job());
    wait_for("the download to be complete", || {
        let job = namespace.read(&[JOB]);
        if job["status"]["succeeded"] == 1 {
            return Ok(());
        }
        let log = namespace.kubectl(&["logs", JOB]);
        Err(format!("{:#}\n{}", job["status"], log.unwrap_or_else(|why| why)))
    });
    let job = namespace.kubectl(&["logs", JOB]).unwrap();
    let hub = hub.log();

    // From here on only the claim has the model. The Service stays without endpoints, so that a call is refused after a
    // while: a call to an address that no Service has is dropped, and the client waits for minutes.
    namespace.kubectl(&["delete", "pod/hub", "--now"]).unwrap();

    let _running = release::running();
    let probe = ["check", "--write-probe", "--probe-image", PYTHON, "-n", &namespace.name];
    let said = namespace.cluster.dynamo_cache(&probe);
    assert!(said.output.contains("claim compilation-cache is marked"), "{}{}", said.output, said.errors);
    namespace.config_map("engine", "__main__.py", include_str!("engine.py"));
    let worker = worker(&namespace, &endpoint);
    namespace.create(&worker);
    let first = namespace.log_with("app=vllm-worker", "serving", 1);
    let pods = namespace.read(&["pods", "--selector", "app=vllm-worker"]);
    let pod = &pods["items"][0];
    let status = pod["metadata"]["annotations"]["dynamo-cache.io/status"].as_str().unwrap_or_default();
    namespace.kubectl(&["wait", "--for=condition=Available", "deployment/vllm-worker", "--timeout=3m"]).unwrap();
    namespace.kubectl(&["scale", "deployment/vllm-worker", "--replicas=2"]).unwrap();
    let name = pod["metadata"]["name"].as_str().unwrap();
    let both = namespace.log_with("app=vllm-worker", "serving", 2);
    let second: String =
        both.split_inclusive('\n').filter(|line| !line.starts_with(&format!("[pod/{name}/"))).collect();

    // The same worker, the same claims, without the label.
    namespace.kubectl(&["label", "namespace", &namespace.name, "dynamo-cache.io/inject-"]).unwrap();
    let mut unlabelled = worker.clone();
    unlabelled["metadata"]["name"] = json!("unlabelled");
    for pointer in ["/spec/selector/matchLabels/app", "/spec/template/metadata/labels/app"] {
        *unlabelled.pointer_mut(pointer).unwrap() = json!("unlabelled");
    }
    namespace.create(&unlabelled);
    let without = namespace.log_with("app=unlabelled", "no model", 1);
    let log = format!(
        "# The Job\n{job}# The hub\n{hub}# The worker\n{first}{status}\n# The second replica\n{second}# The same without the label\n{without}"
    );
    let path = keep("worker.log", &log);

    let snapshots = "/home/dynamo/.cache/huggingface/hub/models--Qwen--Qwen3-0.6B/snapshots/";
    for line in [
        "user 1000 group 0",
        "environment HF_HUB_OFFLINE=1",
        "mount /home/dynamo/.cache/huggingface rw",
        "mount /home/dynamo/.cache/dynamo-cache rw",
        "network gone",
        &format!("model {snapshots}"),
        "config model_type=qwen3",
        "weights 1 tensor",
        "compiled VLLM_CACHE_ROOT /home/dynamo/.cache/dynamo-cache/",
    ] {
        assert!(first.contains(&format!("] {line}")), "the worker did not say '{line}': {path}");
    }
    assert!(!first.contains("] found"), "the first worker found what no worker had compiled: {path}");
    let found = format!("] found VLLM_CACHE_ROOT by {name}");
    assert!(second.contains(&found), "the second replica does not see what the first compiled: {path}");
    assert!(!without.contains("] model"), "{path}");
}

/// The download Job of the examples, but for its image, whose digest none that is made here has.
fn download_job() -> Value {
    let example = std::fs::read_to_string(format!("{ROOT}/manifests/examples/download-job.yaml")).unwrap();
    let image = example.lines().find_map(|line| line.trim().strip_prefix("image: ")).unwrap();
    let mut documents = dynamo_cache::yaml::documents(&example.replace(image, PYTHON)).unwrap();
    documents.remove(0).value
}

/// The worker of the examples, but for what no test has: its image, and a GPU.
fn worker(namespace: &Namespace, endpoint: &str) -> Value {
    let example = format!("{ROOT}/manifests/examples/vllm-worker.yaml");
    let example = namespace.kubectl(&["create", "--dry-run=client", "--output=json", "-f", &example]).unwrap();
    let mut worker: Value = serde_json::from_str(&example).unwrap();
    worker["metadata"].as_object_mut().unwrap().remove("namespace");
    let pod = &mut worker["spec"]["template"]["spec"];
    let main = &mut pod["containers"][0];
    main["image"] = json!(PYTHON);
    main["resources"] = json!({});
    // Not an engine, but what one is called, and where the model would come from if it could.
    let append = |list: &mut Value, more: Value| list.as_array_mut().unwrap().push(more);
    append(&mut main["env"], json!({"name": "PYTHONPATH", "value": "/engine"}));
    append(&mut main["env"], json!({"name": "HF_ENDPOINT", "value": endpoint}));
    append(&mut main["volumeMounts"], json!({"name": "engine", "mountPath": "/engine/dynamo/vllm"}));
    append(&mut pod["volumes"], json!({"name": "engine", "configMap": {"name": "engine"}}));
    worker
}
