//! A Hugging Face hub inside a namespace.

use serde_json::json;

use super::namespace::Namespace;
use super::pod::PYTHON;

/// The model that it has.
pub(crate) const MODEL: &str = "Qwen/Qwen3-0.6B";
/// The commit that is its `main`.
pub(crate) const COMMIT: &str = "c1899de289a04d12100db370d81485cdf75e47ca";

/// An earlier commit of it.
pub(crate) const EARLIER: &str = "e6de91484c29aa9480d55605af694f39b081c455";

/// A hub, whose pod and Service are called that: where the image's shells look for it.
pub(crate) struct Hub<'n> {
    namespace: &'n Namespace,
    /// Where it is, for clients.
    pub(crate) endpoint: String,
}

impl<'n> Hub<'n> {
    /// A hub that gives what it has.
    pub(crate) fn serve(namespace: &'n Namespace) -> Self {
        Self::with(namespace, &[])
    }

    /// A hub with two more files, of which each `go` gives one.
    pub(crate) fn serve_and_hold_back(namespace: &'n Namespace) -> Self {
        Self::with(namespace, &["--hold-back"])
    }

    /// A hub with faults, such as `--busy=2`.
    pub(crate) fn serve_with(namespace: &'n Namespace, faults: &[&str]) -> Self {
        Self::with(namespace, faults)
    }

    fn with(namespace: &'n Namespace, arguments: &[&str]) -> Self {
        namespace.config_map("hub", "hub.py", include_str!("hub.py"));
        let ports = json!([{"port": 80, "targetPort": 8080}]);
        let service = json!({"selector": {"app": "hub"}, "ports": ports});
        namespace.create(&json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "hub"}, "spec": service}));
        let main = json!({
            "name": "main", "image": PYTHON, "command": ["python3", "/hub/hub.py"], "args": arguments,
            "volumeMounts": [{"name": "hub", "mountPath": "/hub"}],
            "readinessProbe": {"tcpSocket": {"port": 8080}, "periodSeconds": 1},
        });
        let spec = json!({"containers": [main], "volumes": [{"name": "hub", "configMap": {"name": "hub"}}]});
        let metadata = json!({"name": "hub", "labels": {"app": "hub"}});
        namespace.create(&json!({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}));
        namespace.kubectl(&["wait", "--for=condition=Ready", "pod/hub", "--timeout=3m"]).unwrap();
        let service = namespace.read(&["service", "hub"]);
        Hub { namespace, endpoint: format!("http://{}", service["spec"]["clusterIP"].as_str().unwrap()) }
    }

    /// Gives the next of the files that it holds back.
    pub(crate) fn go(&self) {
        let path = format!("/api/v1/namespaces/{}/pods/hub:8080/proxy/go", self.namespace.name);
        self.namespace.cluster.kubectl(&["get", "--raw", &path]).unwrap();
    }

    /// What it was asked for, a line each.
    pub(crate) fn log(&self) -> String {
        self.namespace.kubectl(&["logs", "hub"]).unwrap()
    }

    /// How often it gave the content of a file.
    pub(crate) fn given(&self) -> usize {
        self.log().lines().filter(|line| line.starts_with("GET ") && line.contains("/resolve/")).count()
    }
}
