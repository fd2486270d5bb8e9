//! A namespace of its own for a test.

use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Map, Value, json};

use super::cluster::{Cluster, shared, wait_for};
use super::pod::Ended;

/// A namespace, ready for pods. It goes with the test, unless that failed on a cluster that a person named: then there is
/// something to look at.
pub(crate) struct Namespace {
    pub(crate) cluster: &'static Cluster,
    /// What it is called: after the test.
    pub(crate) name: String,
}

impl Namespace {
    /// A namespace that asks for caches, with these annotations after `dynamo-cache.io/`.
    pub(crate) fn opted_in(annotations: &[(&str, &str)]) -> Self {
        Self::new(&json!({"dynamo-cache.io/inject": "enabled"}), annotations)
    }

    /// A namespace that asks for nothing.
    pub(crate) fn plain() -> Self {
        Self::new(&json!({}), &[])
    }

    fn new(labels: &Value, annotations: &[(&str, &str)]) -> Self {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let cluster = shared();
        let test = std::thread::current().name().unwrap_or_default().replace('_', "-");
        let test: String = test.rsplit("::").next().unwrap_or_default().chars().take(30).collect();
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("dynamo-cache-t{number}-{}", test.trim_matches('-'));
        let annotations = annotations.iter().map(|(name, value)| (format!("dynamo-cache.io/{name}"), json!(value)));
        let annotations: Map<String, Value> = annotations.collect();
        let metadata = json!({"name": name, "labels": labels, "annotations": annotations});
        let file = cluster.file(&json!({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata}));
        cluster.kubectl(&["create", "-f", &file]).unwrap();
        let wait = ["wait", "--for=create", "serviceaccount/default", "--timeout=60s", "--namespace", &name];
        cluster.kubectl(&wait).unwrap();
        Namespace { cluster, name }
    }

    /// Runs kubectl in this namespace.
    ///
    /// # Errors
    /// What it said, where it failed.
    pub(crate) fn kubectl(&self, arguments: &[&str]) -> Result<String, String> {
        self.cluster.kubectl(&[&["--namespace", &self.name], arguments].concat())
    }

    /// What `kubectl get … -o json` prints in this namespace.
    pub(crate) fn read(&self, arguments: &[&str]) -> Value {
        self.cluster.read(&[&["--namespace", &self.name], arguments].concat())
    }

    /// The annotation of a claim that says who can write to it.
    pub(crate) fn writable(&self, claim: &str) -> Value {
        self.read(&["persistentvolumeclaim", claim])["metadata"]["annotations"]["dynamo-cache.io/writable"].take()
    }

    /// Creates an object.
    pub(crate) fn create(&self, object: &Value) {
        self.kubectl(&["create", "-f", &self.cluster.file(object)]).unwrap();
    }

    /// A ConfigMap with one file.
    pub(crate) fn config_map(&self, name: &str, file: &str, content: &str) {
        let metadata = json!({"name": name});
        self.create(&json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {file: content}}));
    }

    /// What a pod would be stored as; it is not created.
    ///
    /// # Errors
    /// What kubectl said, where it failed.
    pub(crate) fn dry_run(&self, pod: &Value) -> Result<Value, String> {
        let file = self.cluster.file(pod);
        let out = self.kubectl(&["create", "--dry-run=server", "--output=json", "-f", &file])?;
        serde_json::from_str(&out).map_err(|why| format!("{why}: {out}"))
    }

    /// Creates a pod and waits for its end.
    pub(crate) fn run(&self, pod: &Value) -> Ended {
        let name = pod["metadata"]["name"].as_str().unwrap();
        self.create(pod);
        let succeeded = wait_for(&format!("the end of pod {name} in {}", self.name), || {
            let pod = self.read(&["pod", name]);
            match pod["status"]["phase"].as_str() {
                Some("Succeeded") => Ok(true),
                Some("Failed") => Ok(false),
                _ => Err(format!("{:#}", pod["status"])),
            }
        });
        let log = self.kubectl(&["logs", name]).unwrap();
        println!("---- {name} in {}\n{log}----", self.name);
        Ended { pod: self.read(&["pod", name]), succeeded, log }
    }

    /// The log of the pods with a label, once it has this number of lines with this beginning.
    pub(crate) fn log_with(&self, label: &str, begin: &str, lines: usize) -> String {
        wait_for(&format!("{lines} times '{begin}' from pods {label} in {}", self.name), || {
            let log = self.kubectl(&["logs", "--selector", label, "--tail=-1", "--prefix"])?;
            let begins = |line: &&str| line.split_once("] ").is_some_and(|(_, said)| said.starts_with(begin));
            if log.lines().filter(begins).count() >= lines {
                return Ok(log);
            }
            let pods = self.kubectl(&["describe", "pods", "--selector", label])?;
            Err(format!("{log}\n{pods}"))
        })
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        let failed = std::thread::panicking();
        if failed && self.cluster.image().is_none() {
            println!("Namespace {} is left as it is, to look at.", self.name);
            return;
        }
        if !failed {
            self.remove_volumes();
        }
        // On a node of our own, which ends with the tests, its pods would only slow down the tests to come.
        let gone = self.cluster.kubectl(&["delete", "namespace", &self.name, "--wait=false"]);
        assert!(failed || gone.is_ok(), "{gone:?}");
    }
}
