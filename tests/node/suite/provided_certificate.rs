//! Pairs of a CA and a certificate, as `certs/dev` makes them and a person brings them.

use std::fs;
use std::process::Command;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::cluster::{Cluster, ROOT};

/// A pair for the Service of a release, in files.
pub(crate) struct Pair {
    cluster: &'static Cluster,
    folder: String,
    service: String,
    namespace: String,
}

impl Pair {
    /// Makes one.
    pub(crate) fn new(cluster: &'static Cluster, service: &str, namespace: &str) -> Self {
        let folder = cluster.unused("certs");
        let mut dev = Command::new(format!("{ROOT}/certs/dev"));
        dev.args(["--service", service, "--namespace", namespace, "--out", &folder]);
        let made = dev.output().unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        Pair { cluster, folder, service: service.to_owned(), namespace: namespace.to_owned() }
    }

    /// Its CA, in PEM.
    pub(crate) fn authority(&self) -> String {
        fs::read_to_string(format!("{}/ca.crt", self.folder)).unwrap()
    }

    /// The SHA-256 of its certificate, in hex.
    pub(crate) fn fingerprint(&self) -> String {
        let pem = fs::read_to_string(format!("{}/tls.crt", self.folder)).unwrap();
        let text: String = pem.lines().filter(|line| !line.starts_with("-----")).collect();
        let digest = Sha256::digest(STANDARD.decode(text).unwrap());
        digest.iter().fold(String::new(), |hex, byte| format!("{hex}{byte:02x}"))
    }

    /// Creates the Secret that the chart mounts, or replaces it as a whole.
    pub(crate) fn bring(&self) {
        let file = |name: &str| (name.to_owned(), json!(STANDARD.encode(fs::read(self.path(name)).unwrap())));
        let data: serde_json::Map<String, Value> = ["tls.crt", "tls.key", "ca.crt"].map(file).into_iter().collect();
        let metadata = json!({"name": format!("{}-tls", self.service), "namespace": self.namespace});
        let secret = json!({"apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/tls", "metadata": metadata, "data": data});
        self.cluster.kubectl(&["apply", "-f", &self.cluster.file(&secret)]).unwrap();
    }

    /// Makes the API server trust its CA, and no other.
    pub(crate) fn publish(&self) {
        let bundle = STANDARD.encode(self.authority());
        let entries = ["pods.dynamo-cache.io", "canary.dynamo-cache.io"];
        let entries = entries.map(|name| json!({"name": name, "clientConfig": {"caBundle": bundle}}));
        let patch = json!({"webhooks": entries}).to_string();
        self.cluster.kubectl(&["patch", "mutatingwebhookconfiguration", &self.service, "--patch", &patch]).unwrap();
    }

    fn path(&self, name: &str) -> String {
        format!("{}/{name}", self.folder)
    }
}
