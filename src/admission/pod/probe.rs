//! Where a container answers a probe by HTTP.

use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::{Container, StructAsMap};

/// The port and the path of a probe, as the kubelet asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpGet {
    /// The port, not 0.
    pub port: u16,
    /// The path, with a slash before it.
    pub path: String,
}

/// A probe, as far as it is read.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Probe {
    http_get: Option<Action>,
}

#[derive(Deserialize)]
struct Action {
    host: Option<String>,
    path: Option<String>,
    port: Option<Value>,
    scheme: Option<String>,
}

/// A port of a container.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Port {
    container_port: Option<u16>,
    name: Option<String>,
}

/// Most bytes of a path that is asked for. One with other characters than a URL has by itself is not asked for either.
const LONGEST_PATH: usize = 1024;

impl Container<'_> {
    /// Where a probe asks the container itself, without TLS; none for a probe of another kind, of another host, and for one that
    /// cannot be read.
    pub fn http_get(&self, probe: Option<&RawValue>) -> Option<HttpGet> {
        let action = read::<Probe>(probe?)?.http_get?;
        let is_own_host = action.host.as_deref().is_none_or(str::is_empty);
        let is_plain = matches!(action.scheme.as_deref(), None | Some("" | "HTTP"));
        if !is_own_host || !is_plain {
            return None;
        }
        let path = action.path.unwrap_or_default();
        let path = if path.starts_with('/') { path } else { format!("/{path}") };
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@%/?".contains(&byte);
        if path.len() > LONGEST_PATH || !path.bytes().all(is_plain) {
            return None;
        }
        let port = match action.port? {
            Value::Number(number) => u16::try_from(number.as_u64()?).ok()?,
            Value::String(name) => self.port_named(&name).or_else(|| name.parse().ok())?,
            _ => return None,
        };
        (port > 0).then_some(HttpGet { port, path })
    }

    /// The number of a port that the container names.
    fn port_named(&self, name: &str) -> Option<u16> {
        let ports: Vec<Port> = read(self.ports?)?;
        ports.into_iter().find(|port| port.name.as_deref() == Some(name))?.container_port
    }
}

fn read<'de, T: Deserialize<'de>>(value: &'de RawValue) -> Option<T> {
    T::deserialize(StructAsMap(&mut serde_json::Deserializer::from_str(value.get()))).ok()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::Pod;

    fn asked(probe: &Value) -> Option<(u16, String)> {
        let ports =
            json!([{"containerPort": 1}, {"name": "system", "containerPort": 9090}, {"name": "0", "containerPort": 7}]);
        let pod = json!({"spec": {"containers": [{"ports": ports, "readinessProbe": probe}]}}).to_string();
        let pod: Pod<'_> = serde_json::from_str(&pod).unwrap();
        let container = pod.containers().first().unwrap();
        container.http_get(container.readiness_probe).map(|get| (get.port, get.path))
    }

    #[test]
    fn a_port_is_a_number_or_a_name_of_the_container() {
        for (port, number) in [(json!(80), 80), (json!("system"), 9090), (json!("8000"), 8000), (json!("0"), 7)] {
            assert_eq!(asked(&json!({"httpGet": {"port": port, "path": "/live"}})), Some((number, "/live".to_owned())));
        }
        for port in [json!(0), json!(65536), json!(-1), json!("other"), json!(null), json!([]), json!(1.5)] {
            assert_eq!(asked(&json!({"httpGet": {"port": port}})), None, "{port}");
        }
    }

    #[test]
    fn only_what_the_container_itself_answers_without_tls_is_asked() {
        let of = |more: Value| {
            let mut get = json!({"port": 80});
            get.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            asked(&json!({"httpGet": get})).map(|(_, path)| path)
        };
        assert_eq!(of(json!({})).as_deref(), Some("/"));
        assert_eq!(of(json!({"path": "health", "scheme": "HTTP", "host": ""})).as_deref(), Some("/health"));
        for other in [
            json!({"scheme": "HTTPS"}),
            json!({"host": "10.0.0.1"}),
            json!({"path": "/a b"}),
            json!({"path": "/é"}),
            json!({"path": "/a#b"}),
            json!({"path": "/<a>"}),
            json!({"path": format!("/{}", "x".repeat(1024))}),
        ] {
            assert_eq!(of(other.clone()), None, "{other}");
        }
        for probe in [json!({"tcpSocket": {"port": 80}}), json!({"exec": {}}), json!("x"), json!({"httpGet": [80]})] {
            assert_eq!(asked(&probe), None, "{probe}");
        }
    }
}
