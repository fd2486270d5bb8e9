//! Reviews as an API server sends them, and the journey from one to its answer without the network.

use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use dynamo_cache::admission::Evaluation;
use dynamo_cache::admission::claim::{Claim, Claims};
use dynamo_cache::admission::review::Request;
use dynamo_cache::admission::settings::Settings;
use serde_json::{Value, json};

/// A vLLM worker of the operator with a sidecar, as API server 1.37.2 showed it: defaulted, with managedFields.
const WORKER: &str = include_str!("samples/worker.json");

/// One review.
pub(crate) struct Sample {
    /// What it is.
    pub(crate) name: &'static str,
    /// Its bytes.
    pub(crate) body: Vec<u8>,
}

/// The worker's review, from a namespace.
pub(crate) fn worker_from(namespace: &str) -> String {
    static WORKER: LazyLock<String> = LazyLock::new(|| String::from_utf8(review(&worker(0))).unwrap());
    WORKER.replacen("\"namespace\":\"inference\"", &format!("\"namespace\":\"{namespace}\""), 1)
}

/// Every kind of review.
pub(crate) fn all() -> Vec<Sample> {
    let mut opted_out = worker(0);
    opted_out["metadata"]["annotations"]["dynamo-cache.io/inject"] = json!("false");
    let sample = |name, pod: &Value| Sample { name, body: review(pod) };
    vec![
        sample("1 kB, small", &small()),
        sample("8 kB, worker", &worker(0)),
        sample("100 kB", &worker(425)),
        sample("3 MB", &worker(13_800)),
        sample("8 kB, untouched", &opted_out),
        sample("8 kB, staged", &staged()),
        sample("8 kB, second pass", &patched(&worker(0), &answer(&mut review(&worker(0))))),
    ]
}

/// The worker with a staged compile cache.
pub(crate) fn staged() -> Value {
    let mut worker = worker(0);
    worker["metadata"]["annotations"]["dynamo-cache.io/compile-mode"] = json!("staged");
    worker
}

/// The answer to a review, where every claim is there; all that the server does between body and answer, in the body itself.
pub(crate) fn answer(body: &mut [u8]) -> Vec<u8> {
    let defaults = Settings::default();
    let mut review = Request::read(body).unwrap();
    let Some(pod) = review.pod().unwrap() else { return review.answer(None) };
    let evaluation = Evaluation::new(&pod, &defaults, &[]);
    let claims: Claims = evaluation.claims().map(|name| (name.to_owned(), Claim::default())).collect();
    review.answer(Some(&evaluation.decide(&claims)))
}

/// The worker, with so many more variables: each also stands in managedFields, as the API server has it.
pub(crate) fn worker(variables: usize) -> Value {
    let mut worker: Value = serde_json::from_str(WORKER).unwrap();
    for number in 0..variables {
        let (name, value) = (format!("APP_SETTING_{number:05}"), "a value of usual length; ".repeat(4));
        let managed = format!("k:{{\"name\":\"{name}\"}}");
        let managers = "/metadata/managedFields/0/fieldsV1/f:spec/f:containers/k:{\"name\":\"main\"}/f:env";
        let fields = json!({".": {}, "f:name": {}, "f:value": {}});
        worker.pointer_mut(managers).unwrap()[managed] = fields;
        let variables = worker.pointer_mut("/spec/containers/0/env").unwrap().as_array_mut().unwrap();
        variables.push(json!({"name": name, "value": value}));
    }
    worker
}

/// The review in which a pod comes, written as Go writes it.
pub(crate) fn review(pod: &Value) -> Vec<u8> {
    let kind = json!({"group": "", "version": "v1", "kind": "Pod"});
    let resource = json!({"group": "", "version": "v1", "resource": "pods"});
    let user = "system:serviceaccount:kube-system:replicaset-controller";
    let groups = ["system:serviceaccounts", "system:serviceaccounts:kube-system", "system:authenticated"];
    let request = json!({
        "uid": "705ab4f5-6393-11e8-b7cc-42010a800002",
        "kind": kind, "resource": resource, "requestKind": kind, "requestResource": resource,
        "name": pod["metadata"]["name"], "namespace": "inference", "operation": "CREATE",
        "userInfo": {"username": user, "uid": "2b3b1b59-4b4f-4a4d-9c7e-0d7f3b2a5e11", "groups": groups},
        "object": pod, "oldObject": null, "dryRun": false,
        "options": {"kind": "CreateOptions", "apiVersion": "meta.k8s.io/v1"},
    });
    let review = json!({"kind": "AdmissionReview", "apiVersion": "admission.k8s.io/v1", "request": request});
    // Go escapes what could end a script element of a page.
    let text = review.to_string();
    text.replace('<', "\\u003c").replace('>', "\\u003e").replace('&', "\\u0026").into_bytes()
}

/// A pod after the patch in an answer.
pub(crate) fn patched(pod: &Value, answer: &[u8]) -> Value {
    let answer: Value = serde_json::from_slice(answer).unwrap();
    assert_eq!(answer["response"]["allowed"], true, "{answer}");
    let patch = STANDARD.decode(answer["response"]["patch"].as_str().expect("the pod is patched")).unwrap();
    let patch: json_patch::Patch = serde_json::from_slice(&patch).unwrap();
    let mut pod = pod.clone();
    json_patch::patch(&mut pod, &patch).unwrap();
    pod
}

/// The least that is a worker.
fn small() -> Value {
    let worker = json!({
        "name": "main",
        "image": "nvcr.io/nvidia/ai-dynamo/vllm-runtime:1.6.1",
        "command": ["python3", "-m", "dynamo.vllm"],
        "args": ["--model", "Qwen/Qwen3-0.6B"],
    });
    let metadata = json!({"name": "worker", "namespace": "inference"});
    json!({"kind": "Pod", "apiVersion": "v1", "metadata": metadata, "spec": {"containers": [worker]}})
}
