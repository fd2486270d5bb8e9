//! The chart with replicas as processes of their own, behind a balancer; with `failurePolicy: Fail` every failure is visible.

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::ControlPlane;
use super::balancer::Balancer;
use super::child_process::Program;
use super::webhook::{ask, external_name, free_ports, kubeconfig};
use crate::harness::{ROOT, wait_for};

/// Where replicas and balancer listen; nothing else here does.
pub(crate) const ADDRESS: &str = "127.0.0.6";

/// The control plane of the tests about certificates, for one of them at a time.
pub(crate) fn alone() -> (&'static ControlPlane, MutexGuard<'static, ()>) {
    static PLANE: LazyLock<Result<ControlPlane, String>> = LazyLock::new(ControlPlane::start);
    let one = lock_address();
    (PLANE.as_ref().unwrap_or_else(|why| panic!("{why}")), one)
}

/// The right to use the address of replicas and balancer: one test has it at a time.
pub(crate) fn lock_address() -> MutexGuard<'static, ()> {
    static ONE: Mutex<()> = Mutex::new(());
    ONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The chart as it is installed. Dropped, it is uninstalled.
pub(crate) struct Installation<'p> {
    plane: &'p ControlPlane,
    folder: PathBuf,
    arguments: Vec<String>,
    pub(crate) balancer: Balancer,
}

/// A running replica, which takes calls once it is ready. Dropped, it is stopped, and its end is awaited.
pub(crate) struct Replica<'i> {
    balancer: &'i Balancer,
    pub(crate) webhook: SocketAddr,
    pub(crate) admin: SocketAddr,
    log: PathBuf,
    program: Option<Program>,
}

impl<'p> Installation<'p> {
    /// Installs the chart with more values; `arguments` are more of them for each replica.
    pub(crate) fn new(plane: &'p ControlPlane, values: &str, arguments: &[&str]) -> Self {
        Self::behind(Balancer::start(ADDRESS), plane, values, arguments)
    }

    /// The same behind a balancer that already exists.
    pub(crate) fn behind(balancer: Balancer, plane: &'p ControlPlane, values: &str, arguments: &[&str]) -> Self {
        Self::over(balancer, plane, false, values, arguments)
    }

    /// A release that is installed already, so that replicas answer for it. It keeps its `failurePolicy`.
    pub(crate) fn adopt(plane: &'p ControlPlane, arguments: &[&str]) -> Self {
        Self::over(Balancer::start(ADDRESS), plane, true, "webhook.failurePolicy=Ignore", arguments)
    }

    fn over(balancer: Balancer, plane: &'p ControlPlane, is_there: bool, values: &str, arguments: &[&str]) -> Self {
        let folder = plane.folder(&format!("replicas-{}", balancer.address.port()));
        fs::create_dir(&folder).unwrap();
        let mut installation = Installation { plane, folder, arguments: Vec::new(), balancer };
        let command = if is_there { "upgrade" } else { "install" };
        let reuse: &[&str] = if is_there { &["--reuse-values"] } else { &["--create-namespace"] };
        let chart = format!("{ROOT}/manifests/chart");
        installation.helm(&[&[command, "dynamo-cache", &chart], reuse].concat(), values);
        let mut service = external_name(ADDRESS);
        // So that Helm owns it, and removes it again.
        service["metadata"]["labels"] = json!({"app.kubernetes.io/managed-by": "Helm"});
        service["metadata"]["annotations"] =
            json!({"meta.helm.sh/release-name": "dynamo-cache", "meta.helm.sh/release-namespace": "dynamo-cache"});
        plane.kubectl(&["replace", "--force", "-f", &plane.file(&service.to_string())]).unwrap();
        installation.act_as("dynamo-cache");
        let own = [
            "serve",
            "--service=dynamo-cache",
            "--namespace=dynamo-cache",
            "--renewal-check-interval=200ms",
            "--reload-interval=200ms",
        ];
        let own = own.into_iter().chain(arguments.iter().copied()).map(str::to_owned);
        installation.arguments = own.chain([format!("--kubeconfig={}", installation.kubeconfig())]).collect();
        installation
    }

    /// Has the replicas that start from now on act as a ServiceAccount, as their pods would.
    pub(crate) fn act_as(&self, account: &str) {
        let token = ["create", "token", account, "--namespace=dynamo-cache", "--duration=24h"];
        let token = self.plane.kubectl(&token).unwrap().out;
        self.file("kubeconfig", &kubeconfig(self.plane, token.trim()));
    }

    /// Runs Helm for this release, with the values that every test here needs, and more.
    pub(crate) fn helm(&self, command: &[&str], values: &str) {
        let port = self.balancer.address.port();
        let values = format!("--set=service.port={port},webhook.failurePolicy=Fail,{values}");
        self.plane.helm(&[command, &["--namespace=dynamo-cache", &values]].concat()).unwrap();
    }

    /// Writes a file that ends with the control plane.
    pub(crate) fn file(&self, name: &str, content: &str) -> String {
        let path = self.folder.join(name);
        fs::write(&path, content).unwrap();
        path.display().to_string()
    }

    /// The kubeconfig that the replicas have.
    pub(crate) fn kubeconfig(&self) -> String {
        self.folder.join("kubeconfig").display().to_string()
    }

    /// Starts a replica, whose log has a name of its own, and does not wait for it.
    pub(crate) fn start(&self, name: &str) -> Replica<'_> {
        self.start_with(name, &[])
    }

    /// Starts a replica with arguments that the others have not.
    pub(crate) fn start_with(&self, name: &str, more: &[String]) -> Replica<'_> {
        let [webhook, admin] = free_ports(ADDRESS);
        let listen = [format!("--listen={webhook}"), format!("--admin-listen={admin}")];
        let arguments = [self.arguments.as_slice(), &listen, more].concat();
        let log = self.folder.join(format!("{name}.log"));
        let program = Program::keep(env!("CARGO_BIN_EXE_dynamo-cache"), &arguments, &log).unwrap();
        self.balancer.add(webhook, admin);
        Replica { balancer: &self.balancer, webhook, admin, log, program: Some(program) }
    }

    /// Starts a replica, and waits until it is ready.
    pub(crate) fn ready(&self, name: &str) -> Replica<'_> {
        let mut replica = self.start(name);
        replica.wait_until_ready();
        replica
    }

    /// The `caBundle` of each entry, in PEM.
    pub(crate) fn bundles(&self) -> Vec<String> {
        let configuration = self.plane.read(&["mutatingwebhookconfiguration", "dynamo-cache"]);
        let entries = configuration["webhooks"].as_array().unwrap();
        entries.iter().map(|entry| decoded(&entry["clientConfig"]["caBundle"])).collect()
    }

    /// The Secret's certificates and keys, in PEM; empty where it does not exist.
    pub(crate) fn secret(&self) -> [String; 2] {
        let get =
            ["get", "secret", "dynamo-cache-ca", "--namespace=dynamo-cache", "--ignore-not-found", "--output=json"];
        let said = self.plane.kubectl(&get).unwrap().out;
        let secret: Value = serde_json::from_str(&said).unwrap_or_default();
        ["ca.crt", "ca.key"].map(|key| decoded(&secret["data"][key]))
    }

    /// Takes out of the Secret what the replicas wrote.
    pub(crate) fn empty_secret(&self) {
        let empty = ["patch", "secret", "dynamo-cache-ca", "--namespace=dynamo-cache", "--type=merge"];
        self.plane.kubectl(&[&empty, ["--patch={\"data\":null}"].as_slice()].concat()).unwrap();
    }

    /// Sets the `caBundle` of the first entry as another writer.
    pub(crate) fn overwrite_bundle(&self, pem: &str) {
        self.set_bundle(&["pods.dynamo-cache.io"], pem);
    }

    /// Sets the `caBundle` of every entry as another writer.
    pub(crate) fn publish(&self, pem: &str) {
        self.set_bundle(&["pods.dynamo-cache.io", "canary.dynamo-cache.io"], pem);
    }

    fn set_bundle(&self, entries: &[&str], pem: &str) {
        let bundle = STANDARD.encode(pem);
        let entry = |name: &&str| json!({"name": name, "clientConfig": {"caBundle": bundle}});
        let patch = json!({"webhooks": entries.iter().map(entry).collect::<Vec<_>>()}).to_string();
        let patch = ["patch", "mutatingwebhookconfiguration", "dynamo-cache", "--field-manager=stranger", "-p", &patch];
        self.plane.kubectl(&patch).unwrap();
    }
}

fn decoded(value: &Value) -> String {
    String::from_utf8(STANDARD.decode(value.as_str().unwrap_or_default()).unwrap()).unwrap()
}

impl Drop for Installation<'_> {
    fn drop(&mut self) {
        // Nothing else here may be broken by what a failed test leaves behind.
        let _ = self.plane.helm(&["uninstall", "dynamo-cache", "--namespace=dynamo-cache"]);
        // One that a test has put there by hand is not Helm's to remove, and would keep the next release from being installed.
        let left = ["delete", "secret", "dynamo-cache-ca", "--namespace=dynamo-cache", "--ignore-not-found"];
        let _ = self.plane.kubectl(&left);
    }
}

impl Replica<'_> {
    /// Waits until it says that it is ready.
    pub(crate) fn wait_until_ready(&mut self) {
        wait_for("the replica to be ready", || {
            if let Err(why) = self.program.as_mut().unwrap().is_alive() {
                panic!("{why}:\n{}", self.log());
            }
            let answer = self.page("/readyz?verbose")?;
            answer.starts_with("HTTP/1.1 200").then_some(()).ok_or(format!("{answer}\n{}", self.log()))
        });
    }

    /// What the admin listener answers.
    ///
    /// # Errors
    /// Why it did not.
    pub(crate) fn page(&self, path: &str) -> Result<String, String> {
        ask(self.admin, path)
    }

    /// Waits until a page of the admin listener has these words.
    #[track_caller]
    pub(crate) fn wait_for(&self, path: &str, words: &str) {
        wait_for(words, || {
            let page = self.page(path)?;
            if page.contains(words) { Ok(()) } else { Err(format!("{page}\n{}", self.log())) }
        });
    }

    /// What it has logged so far.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }
}

impl Drop for Replica<'_> {
    fn drop(&mut self) {
        drop(self.program.take());
        self.balancer.remove(self.webhook);
    }
}
