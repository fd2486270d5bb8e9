//! The creation of a pod: on a dry run, which is all of admission and stores nothing, or in earnest.

use std::time::{Duration, Instant};

use kube::Client;
use serde_json::Value;

use crate::samples;

/// The worker with so many more variables as the creator of a pod sends it, before the API server adds its defaults.
pub(crate) fn worker(variables: usize) -> Value {
    let mut worker = samples::worker(variables);
    let metadata = worker["metadata"].as_object_mut().unwrap();
    metadata.retain(|key, _| !matches!(key.as_str(), "managedFields" | "namespace"));
    let is_token = |part: &Value| part["name"].as_str().is_some_and(|name| name.starts_with("kube-api-access"));
    for list in ["/spec/volumes", "/spec/containers/0/volumeMounts", "/spec/initContainers/0/volumeMounts"] {
        let list = worker.pointer_mut(list).unwrap().as_array_mut().unwrap();
        list.retain(|part| !is_token(part));
    }
    worker
}

/// What a pod would be stored as, and how long that took.
pub(crate) async fn create(client: &Client, namespace: &str, pod: &Value) -> (Value, Duration) {
    let uri = format!("/api/v1/namespaces/{namespace}/pods?dryRun=All");
    let request = hyper::Request::post(uri).header("content-type", "application/json");
    let request = request.body(serde_json::to_vec(pod).unwrap()).unwrap();
    let begun = Instant::now();
    let text = client.request_text(request).await.unwrap();
    let took = begun.elapsed();
    (serde_json::from_str(&text).unwrap(), took)
}

/// Creates a pod, and returns what was stored and how long that took.
///
/// # Errors
/// The API server has refused it.
pub(crate) async fn store(client: &Client, namespace: &str, pod: &[u8]) -> Result<(String, Duration), kube::Error> {
    let uri = format!("/api/v1/namespaces/{namespace}/pods");
    let request = hyper::Request::post(uri).header("content-type", "application/json");
    let request = request.body(pod.to_vec()).unwrap();
    let begun = Instant::now();
    let text = client.request_text(request).await?;
    Ok((text, begun.elapsed()))
}
