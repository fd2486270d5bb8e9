//! Who answers behind a Service.

use serde_json::Value;

use crate::command::api::{Api, Error};

/// The number of its ready endpoints.
///
/// # Errors
/// The API server refuses, or was not reached.
pub(super) async fn ready(api: &Api, namespace: &str, service: &str) -> Result<usize, Error> {
    let slices = format!("/apis/discovery.k8s.io/v1/namespaces/{namespace}/endpointslices");
    let of_service = format!("labelSelector=kubernetes.io%2Fservice-name%3D{service}");
    let slices = api.select(&slices, &of_service).await?;
    let endpoints =
        slices.iter().flat_map(|slice| slice.get("endpoints").and_then(Value::as_array).into_iter().flatten());
    // Not known means ready.
    let is_ready = |endpoint: &&Value| endpoint.pointer("/conditions/ready").is_none_or(|ready| ready != false);
    Ok(endpoints.filter(is_ready).count())
}
