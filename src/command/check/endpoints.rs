//! The backend of a Service: its endpoints, ports and pods.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::inspect::api::{Api, Error};

/// The backend of a Service.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Backend {
    /// The Service points to this host and has no endpoints of its own.
    External(String),
    /// The user may not read the Service or its endpoints; the API server's message.
    Hidden(String),
    /// The Service does not exist.
    Missing,
    /// The Service lacks the port; the ports it has.
    NoPort(String),
    /// The number of ready endpoints; an endpoint with two address families counts once.
    Ready(usize),
}

/// A Service's backend, and how to select its pods.
pub(super) struct Found {
    /// The backend.
    pub(super) backend: Backend,
    /// The label selector of its pods as kubectl takes it; `None` without a selector.
    pub(super) pods: Option<String>,
}

/// Finds the backend of a port of a Service.
///
/// # Errors
/// The API server was not reached.
pub(super) async fn find(api: &Api, namespace: &str, service: &str, port: u64) -> Result<Found, Error> {
    let object = match api.get(&format!("/api/v1/namespaces/{namespace}/services/{service}")).await {
        Err(error) if error.is_forbidden() => return Ok(Backend::Hidden(error.to_string()).into()),
        Ok(None) => return Ok(Backend::Missing.into()),
        found => found?.unwrap_or_default(),
    };
    let pods = pod_selector(&object);
    if let Some(backend) = without_endpoints(&object, port) {
        return Ok(Found { backend, pods });
    }
    let slices = format!("/apis/discovery.k8s.io/v1/namespaces/{namespace}/endpointslices");
    let of_service = format!("labelSelector=kubernetes.io%2Fservice-name%3D{service}");
    let backend = match api.select(&slices, &of_service).await {
        Err(error) if error.is_forbidden() => Backend::Hidden(error.to_string()),
        slices => Backend::Ready(ready(&slices?)),
    };
    Ok(Found { backend, pods })
}

impl From<Backend> for Found {
    fn from(backend: Backend) -> Self {
        Found { backend, pods: None }
    }
}

/// The backend as far as the Service alone decides it; `None` if its endpoints do.
fn without_endpoints(service: &Value, port: u64) -> Option<Backend> {
    if let Some(host) = service.pointer("/spec/externalName").and_then(Value::as_str) {
        return Some(Backend::External(host.to_owned()));
    }
    // A headless Service resolves to the pods, so any of their ports is reachable.
    if service.pointer("/spec/clusterIP").is_some_and(|address| address == "None") {
        return None;
    }
    let ports = service.pointer("/spec/ports").and_then(Value::as_array).into_iter().flatten();
    let ports: Vec<_> = ports.filter_map(|port| port.get("port")?.as_u64()).collect();
    let list = || ports.iter().map(u64::to_string).collect::<Vec<_>>().join(", ");
    (!ports.contains(&port)).then(|| Backend::NoPort(list()))
}

/// Counts the ready endpoints in a Service's slices. A dual-stack Service has slices for each address family.
fn ready(slices: &[Value]) -> usize {
    let mut families = BTreeMap::new();
    for slice in slices {
        let family = slice.get("addressType").and_then(Value::as_str).unwrap_or_default();
        let endpoints = slice.get("endpoints").and_then(Value::as_array).into_iter().flatten();
        // An unknown condition counts as ready.
        let is_ready = |endpoint: &&Value| endpoint.pointer("/conditions/ready").is_none_or(|ready| ready != false);
        *families.entry(family).or_insert(0) += endpoints.filter(is_ready).count();
    }
    families.into_values().max().unwrap_or_default()
}

/// A Service's selector in the syntax of kubectl.
fn pod_selector(service: &Value) -> Option<String> {
    let selector = service.pointer("/spec/selector")?.as_object()?;
    let mut labels: Vec<_> =
        selector.iter().filter_map(|(key, value)| Some(format!("{key}={}", value.as_str()?))).collect();
    labels.sort();
    Some(labels.join(",")).filter(|labels| !labels.is_empty())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{Backend, pod_selector, ready, without_endpoints};

    #[test]
    fn a_service_has_a_host_or_ports_and_a_selector() {
        let of = |spec: &Value| without_endpoints(&json!({"spec": spec}), 8001);
        assert_eq!(of(&json!({"ports": [{"port": 80}, {"port": 8001}]})), None);
        assert_eq!(of(&json!({"ports": [{"port": 80}, {"port": 81}]})), Some(Backend::NoPort("80, 81".to_owned())));
        assert_eq!(of(&json!({"clusterIP": "None", "ports": [{"port": 80}]})), None);
        let external = Some(Backend::External("mx.example.com".to_owned()));
        assert_eq!(of(&json!({"type": "ExternalName", "externalName": "mx.example.com"})), external);
        let service = json!({"spec": {"selector": {"b/name": "mine", "a": "1"}}});
        assert_eq!(pod_selector(&service).as_deref(), Some("a=1,b/name=mine"));
        assert_eq!(pod_selector(&json!({"spec": {}})), None);
    }

    #[test]
    fn an_endpoint_with_two_address_families_counts_once() {
        let slice = |family: &str, ready: &[Option<bool>]| {
            let endpoint = |ready: &Option<bool>| match ready {
                Some(ready) => json!({"conditions": {"ready": ready}}),
                None => json!({}),
            };
            json!({"addressType": family, "endpoints": ready.iter().map(endpoint).collect::<Vec<_>>()})
        };
        let two = [Some(true), None];
        assert_eq!(ready(&[]), 0);
        assert_eq!(ready(&[slice("IPv4", &two), slice("IPv6", &two)]), 2);
        assert_eq!(ready(&[slice("IPv4", &two), slice("IPv4", &two), slice("IPv6", &[Some(true)])]), 4);
        assert_eq!(ready(&[slice("IPv4", &[Some(false)]), slice("IPv6", &[Some(false), Some(true)])]), 1);
    }
}
