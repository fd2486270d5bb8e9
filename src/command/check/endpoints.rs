//! What is behind a Service.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::inspect::api::{Api, Error};

/// What was found of a Service.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Behind {
    /// It leads to this host, and has no endpoints of its own.
    External(String),
    /// It may not be seen; the API server's sentence.
    Hidden(String),
    /// There is none.
    Missing,
    /// It has other ports.
    NoPort(String),
    /// So many answer, each counted once whatever its addresses.
    Ready(usize),
}

/// A Service, and its pods.
pub(super) struct Found {
    /// What is behind it.
    pub(super) behind: Behind,
    /// How kubectl selects its pods, where it says so.
    pub(super) pods: Option<String>,
}

/// Looks for what answers at a port of a Service.
///
/// # Errors
/// The API server was not reached.
pub(super) async fn behind(api: &Api, namespace: &str, service: &str, port: u64) -> Result<Found, Error> {
    let object = match api.get(&format!("/api/v1/namespaces/{namespace}/services/{service}")).await {
        Err(error) if error.is_forbidden() => return Ok(Behind::Hidden(error.to_string()).into()),
        Ok(None) => return Ok(Behind::Missing.into()),
        found => found?.unwrap_or_default(),
    };
    let pods = selection(&object);
    if let Some(behind) = by_itself(&object, port) {
        return Ok(Found { behind, pods });
    }
    let slices = format!("/apis/discovery.k8s.io/v1/namespaces/{namespace}/endpointslices");
    let of_service = format!("labelSelector=kubernetes.io%2Fservice-name%3D{service}");
    let behind = match api.select(&slices, &of_service).await {
        Err(error) if error.is_forbidden() => Behind::Hidden(error.to_string()),
        slices => Behind::Ready(ready(&slices?)),
    };
    Ok(Found { behind, pods })
}

impl From<Behind> for Found {
    fn from(behind: Behind) -> Self {
        Found { behind, pods: None }
    }
}

/// What a Service tells without its endpoints.
fn by_itself(service: &Value, port: u64) -> Option<Behind> {
    if let Some(host) = service.pointer("/spec/externalName").and_then(Value::as_str) {
        return Some(Behind::External(host.to_owned()));
    }
    // The name of a headless one leads to the pods, and to whatever port they have.
    if service.pointer("/spec/clusterIP").is_some_and(|address| address == "None") {
        return None;
    }
    let ports = service.pointer("/spec/ports").and_then(Value::as_array).into_iter().flatten();
    let ports: Vec<_> = ports.filter_map(|port| port.get("port")?.as_u64()).collect();
    let shown = || ports.iter().map(u64::to_string).collect::<Vec<_>>().join(", ");
    (!ports.contains(&port)).then(|| Behind::NoPort(shown()))
}

/// The ready endpoints of a Service's slices: those of a dual-stack Service are in one slice for each family of addresses.
fn ready(slices: &[Value]) -> usize {
    let mut families = BTreeMap::new();
    for slice in slices {
        let family = slice.get("addressType").and_then(Value::as_str).unwrap_or_default();
        let endpoints = slice.get("endpoints").and_then(Value::as_array).into_iter().flatten();
        // Not known means ready.
        let is_ready = |endpoint: &&Value| endpoint.pointer("/conditions/ready").is_none_or(|ready| ready != false);
        *families.entry(family).or_insert(0) += endpoints.filter(is_ready).count();
    }
    families.into_values().max().unwrap_or_default()
}

/// A Service's selector as kubectl takes it.
fn selection(service: &Value) -> Option<String> {
    let selector = service.pointer("/spec/selector")?.as_object()?;
    let mut labels: Vec<_> =
        selector.iter().filter_map(|(key, value)| Some(format!("{key}={}", value.as_str()?))).collect();
    labels.sort();
    Some(labels.join(",")).filter(|labels| !labels.is_empty())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{Behind, by_itself, ready, selection};

    #[test]
    fn a_service_tells_where_it_leads_which_ports_it_has_and_whose_pods_are_its_own() {
        let of = |spec: &Value| by_itself(&json!({"spec": spec}), 8001);
        assert_eq!(of(&json!({"ports": [{"port": 80}, {"port": 8001}]})), None);
        assert_eq!(of(&json!({"ports": [{"port": 80}, {"port": 81}]})), Some(Behind::NoPort("80, 81".to_owned())));
        assert_eq!(of(&json!({"clusterIP": "None", "ports": [{"port": 80}]})), None);
        let external = Some(Behind::External("mx.example.com".to_owned()));
        assert_eq!(of(&json!({"type": "ExternalName", "externalName": "mx.example.com"})), external);
        let service = json!({"spec": {"selector": {"b/name": "mine", "a": "1"}}});
        assert_eq!(selection(&service).as_deref(), Some("a=1,b/name=mine"));
        assert_eq!(selection(&json!({"spec": {}})), None);
    }

    #[test]
    fn an_endpoint_of_two_families_is_one() {
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
