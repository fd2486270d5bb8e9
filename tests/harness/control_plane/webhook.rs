//! The webhook as a person installs it: the chart by Helm, and the program by itself.
//!
//! Two things differ from a cluster with nodes. The Service is an `ExternalName` to a loopback address, so the API server
//! calls the program there under the Service's name; and the program runs beside the control plane, with a token of the
//! chart's own ServiceAccount and the settings of the chart's own ConfigMap.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::{LazyLock, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use serde_json::json;

use super::child_process::Program;
use super::namespace::Namespace;
use super::{ControlPlane, shared};
use crate::harness::pods;
use crate::harness::{DEADLINE, ROOT, wait_for};

/// Where the Service leads, an address that nothing else here listens on.
const ADDRESS: &str = "127.0.0.5";

/// The installed webhook.
pub(crate) struct Webhook {
    arguments: Vec<String>,
    admin: SocketAddr,
    log: PathBuf,
    program: Option<Program>,
}

static INSTALLED: LazyLock<RwLock<Webhook>> = LazyLock::new(|| RwLock::new(Webhook::install(shared())));

/// The webhook, running for as long as the answer is held.
pub(crate) fn running() -> RwLockReadGuard<'static, Webhook> {
    INSTALLED.read().unwrap_or_else(PoisonError::into_inner)
}

/// No webhook for as long as the answer is held: every test that needs one waits.
pub(crate) fn stopped() -> Stopped {
    let mut webhook = INSTALLED.write().unwrap_or_else(PoisonError::into_inner);
    webhook.program = None;
    Stopped(webhook)
}

/// The webhook is stopped for as long as this is held.
pub(crate) struct Stopped(RwLockWriteGuard<'static, Webhook>);

impl Stopped {
    /// Starts it again; other tests still wait.
    pub(crate) fn start_while_others_wait(&mut self) {
        self.0.start();
    }

    /// Where it answers the API server.
    pub(crate) fn address(&self) -> SocketAddr {
        let option = self.0.arguments.iter().find_map(|argument| argument.strip_prefix("--listen="));
        option.expect("the program has an address to listen on").parse().unwrap()
    }
}

impl Drop for Stopped {
    fn drop(&mut self) {
        if self.0.program.is_none() {
            self.0.start();
        }
    }
}

impl Webhook {
    /// What the program has logged so far.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// The way into the cluster that the program has: a token of the chart's ServiceAccount.
    pub(crate) fn kubeconfig(&self) -> &str {
        let option = self.arguments.iter().find_map(|argument| argument.strip_prefix("--kubeconfig="));
        option.expect("the program is given a kubeconfig")
    }

    /// What the admin listener answers, head and body.
    ///
    /// # Errors
    /// Why it did not.
    pub(crate) fn admin(&self, path: &str) -> Result<String, String> {
        ask(self.admin, path)
    }

    fn install(plane: &'static ControlPlane) -> Self {
        let [listen, admin] = free_ports(ADDRESS);
        let (chart, port) = (format!("{ROOT}/manifests/chart"), format!("service.port={}", listen.port()));
        let install = ["install", "dynamo-cache", &chart, "--namespace=dynamo-cache", "--create-namespace"];
        plane.helm(&[&install, ["--set", &port].as_slice()].concat()).unwrap();

        let service = plane.file(&external_name(ADDRESS).to_string());
        plane.kubectl(&["replace", "--force", "-f", &service]).unwrap();

        let folder = plane.folder("webhook");
        fs::create_dir(&folder).unwrap();
        let token = ["create", "token", "dynamo-cache", "--namespace=dynamo-cache", "--duration=24h"];
        let token = plane.kubectl(&token).unwrap().out;
        fs::write(folder.join("kubeconfig"), kubeconfig(plane, token.trim())).unwrap();
        let settings = plane.read(&["configmap", "dynamo-cache", "--namespace=dynamo-cache"]);
        fs::write(folder.join("config.yaml"), settings["data"]["config.yaml"].as_str().unwrap()).unwrap();

        let file = |name: &str| folder.join(name).display().to_string();
        let arguments = vec![
            "serve".to_owned(),
            "--service=dynamo-cache".to_owned(),
            "--namespace=dynamo-cache".to_owned(),
            format!("--kubeconfig={}", file("kubeconfig")),
            format!("--config={}", file("config.yaml")),
            format!("--listen={listen}"),
            format!("--admin-listen={admin}"),
            // No balancer has to notice first: the test that stops it here waits for it.
            "--shutdown-delay=0s".to_owned(),
            // A claim here is Pending as long as a case runs.
            "--binding-timeout=0s".to_owned(),
        ];
        let mut webhook = Webhook { arguments, admin, log: folder.join("log"), program: None };
        webhook.start();
        webhook.wait_to_be_called(plane);
        webhook
    }

    fn start(&mut self) {
        let mut program = Program::keep(env!("CARGO_BIN_EXE_dynamo-cache"), &self.arguments, &self.log).unwrap();
        wait_for("the webhook to be ready", || {
            if let Err(why) = program.is_alive() {
                panic!("{why}:\n{}", self.log());
            }
            let answer = self.admin("/readyz")?;
            answer.starts_with("HTTP/1.1 200").then_some(()).ok_or(format!("{answer}\n{}", self.log()))
        });
        self.program = Some(program);
    }

    /// The API server takes a moment to see a new configuration or a new Service.
    fn wait_to_be_called(&self, plane: &'static ControlPlane) {
        let namespace = Namespace::opted_in(plane, &[]);
        wait_for("the API server to call the webhook", || {
            let pod = namespace.dry_run(&pods::worker("canary").to_string());
            let status = pod.pointer("/metadata/annotations/dynamo-cache.io~1status");
            status.map(drop).ok_or_else(|| format!("no status on the pod; the webhook's log:\n{}", self.log()))
        });
    }
}

/// What an admin listener answers, head and body.
///
/// # Errors
/// Why it did not.
pub(crate) fn ask(address: SocketAddr, path: &str) -> Result<String, String> {
    let ask = || -> std::io::Result<String> {
        let mut connection = TcpStream::connect_timeout(&address, DEADLINE)?;
        connection.set_read_timeout(Some(DEADLINE))?;
        write!(connection, "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n")?;
        let mut answer = String::new();
        connection.read_to_string(&mut answer)?;
        Ok(answer)
    };
    ask().map_err(|why| format!("failed to ask {address} for {path}: {why}"))
}

/// Two ports that were free a moment ago. Nothing else binds this address, and connections from it there are none.
pub(crate) fn free_ports(address: &str) -> [SocketAddr; 2] {
    let sockets = [(); 2].map(|()| TcpListener::bind((address, 0)).unwrap());
    sockets.map(|socket| socket.local_addr().unwrap())
}

pub(crate) fn external_name(address: &str) -> serde_json::Value {
    let metadata = json!({"name": "dynamo-cache", "namespace": "dynamo-cache"});
    let spec = json!({"type": "ExternalName", "externalName": address});
    json!({"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": spec})
}

/// The way into the cluster for the chart's own ServiceAccount, so that the program may do what the chart allows it.
pub(crate) fn kubeconfig(plane: &ControlPlane, token: &str) -> String {
    let view = plane.kubectl(&["config", "view", "--raw", "--flatten", "--minify", "--output=json"]).unwrap();
    let mut config: serde_json::Value = serde_json::from_str(&view.out).unwrap();
    config["users"][0]["user"] = json!({"token": token});
    config.to_string()
}
