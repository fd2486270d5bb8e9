//! A real control plane for the tests that need one: etcd, an API server and a controller manager.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use kube::config::{KubeConfigOptions, Kubeconfig};
use serde_json::{Value, json};

use self::child_process::Program;
use super::program::Run;
use super::{ROOT, wait_for};

pub(crate) mod audit_log;
pub(crate) mod balancer;
pub(crate) mod faulty_api_server;
pub(crate) mod namespace;
pub(crate) mod child_process;
pub(crate) mod replicas;
pub(crate) mod second_webhook;
pub(crate) mod webhook;

/// As `tests/control-plane/build` calls it.
const OLDEST_HELM: &str = "helm-v3.18.0";

/// A control plane on free ports of 127.0.0.1, with a folder of its own. It has no node: pods stay `Pending`.
pub(crate) struct ControlPlane {
    folder: PathBuf,
    kubeconfig: PathBuf,
    audit_log: PathBuf,
    programs: PathBuf,
    files: AtomicUsize,
    _up: Program,
}

/// What a command said when it succeeded.
pub(crate) struct Output {
    /// Its standard output.
    pub(crate) out: String,
    /// Its standard error: warnings.
    pub(crate) err: String,
}

/// The control plane that the tests of this process share; it ends with the process, however that ends.
pub(crate) fn shared() -> &'static ControlPlane {
    static SHARED: LazyLock<Result<ControlPlane, String>> = LazyLock::new(ControlPlane::start);
    SHARED.as_ref().unwrap_or_else(|why| panic!("{why}"))
}

impl ControlPlane {
    /// One more control plane, for a test that needs it to itself. What is missing is built, progress shown.
    pub(crate) fn start() -> Result<Self, String> {
        Self::start_with(&[])
    }

    /// One more, its API server with more flags.
    pub(crate) fn start_with(flags: &[String]) -> Result<Self, String> {
        let mut command = Command::new(format!("{ROOT}/tests/control-plane/up"));
        command.args(flags.iter().map(|flag| format!("--apiserver-arg={flag}")));
        command.arg("--until-stdin-closes").stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut up = Program::start(&mut command)?;
        let lines: Vec<_> = BufReader::new(up.stdout()?).lines().map_while(Result::ok).take(3).collect();
        let path = |name: &str| {
            let value = lines.iter().find_map(|line| line.strip_prefix(&format!("export {name}=")));
            value.map(|value| PathBuf::from(value.trim_matches('\''))).ok_or_else(|| {
                format!("the control plane did not start: run tests/control-plane/up and read what it says (no {name})")
            })
        };
        let kubeconfig = path("KUBECONFIG")?;
        let folder = kubeconfig.parent().map(Path::to_owned).ok_or("KUBECONFIG is in no folder")?;
        let (audit_log, programs) = (path("DYNAMO_CACHE_AUDIT_LOG")?, path("DYNAMO_CACHE_CONTROL_PLANE_BIN")?);
        Ok(ControlPlane { folder, kubeconfig, audit_log, programs, files: AtomicUsize::new(0), _up: up })
    }

    /// Runs kubectl.
    ///
    /// # Errors
    /// What it said, where it failed.
    pub(crate) fn kubectl(&self, arguments: &[&str]) -> Result<Output, String> {
        self.run(Command::new(self.programs.join("kubectl")).args(arguments))
    }

    /// Runs dynamo-cache as a person at this cluster.
    pub(crate) fn dynamo_cache(&self, arguments: &[&str]) -> Run {
        super::program::run_in(&self.kubeconfig, arguments, "")
    }

    /// Starts dynamo-cache as a person at this cluster; the test may stop it.
    pub(crate) fn start_dynamo_cache(&self, arguments: &[&str]) -> Child {
        super::program::start_in(&self.kubeconfig, arguments)
    }

    /// A kubeconfig for a ServiceAccount.
    pub(crate) fn kubeconfig_of(&self, account: &str, namespace: &str) -> String {
        let token = ["create", "token", account, "--namespace", namespace, "--duration=24h"];
        let token = self.kubectl(&token).unwrap().out;
        self.file(&webhook::kubeconfig(self, token.trim()))
    }

    /// Runs Helm.
    ///
    /// # Errors
    /// What it said, where it failed.
    pub(crate) fn helm(&self, arguments: &[&str]) -> Result<Output, String> {
        self.run(Command::new(self.programs.join("helm")).args(arguments))
    }

    /// Runs the oldest Helm that the README promises.
    ///
    /// # Errors
    /// What it said, where it failed.
    pub(crate) fn oldest_helm(&self, arguments: &[&str]) -> Result<Output, String> {
        self.run(Command::new(self.programs.join(OLDEST_HELM)).args(arguments))
    }

    /// Runs a script as a person would paste it, in the checkout, with kubectl and helm at hand.
    ///
    /// # Errors
    /// What it said, where it failed.
    pub(crate) fn bash(&self, script: &str) -> Result<Output, String> {
        let script = format!("set -euo pipefail; PATH=$DYNAMO_CACHE_CONTROL_PLANE_BIN:$PATH\n{script}");
        self.run(Command::new("bash").args(["-c", &script]).current_dir(ROOT))
    }

    /// What `kubectl get … -o json` prints.
    pub(crate) fn read(&self, arguments: &[&str]) -> Value {
        let said = self.kubectl(&[&["get", "--output=json"], arguments].concat()).unwrap();
        serde_json::from_str(&said.out).unwrap()
    }

    /// Defines a kind of another product, without a schema.
    pub(crate) fn define(&self, group: &str, version: &str, kind: &str, plural: &str) {
        let schema = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
        let version = json!({"name": version, "served": true, "storage": true, "schema": {"openAPIV3Schema": schema}});
        let names = json!({"kind": kind, "plural": plural, "singular": kind.to_lowercase()});
        let name = format!("{plural}.{group}");
        let definition = json!({
            "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": {"name": name},
            "spec": {"group": group, "scope": "Namespaced", "names": names, "versions": [version]},
        });
        self.kubectl(&["create", "-f", &self.file(&definition.to_string())]).unwrap();
        self.wait_until_established(&[&format!("customresourcedefinition/{name}")]);
    }

    /// Waits until a definition is established. kubectl fails, and does not wait, while one has no conditions yet.
    pub(crate) fn wait_until_established(&self, definition: &[&str]) {
        let wait = ["wait", "--for=condition=Established", "--timeout=60s"];
        wait_for("a definition to be established", || self.kubectl(&[&wait, definition].concat()).map(drop));
    }

    /// Writes a file that ends with the control plane, and says where it is.
    pub(crate) fn file(&self, content: &str) -> String {
        let number = self.files.fetch_add(1, Ordering::Relaxed);
        let path = self.folder.join(format!("test-{number}.yaml"));
        fs::write(&path, content).unwrap();
        path.display().to_string()
    }

    /// Stops the API server alone, or starts it again.
    pub(crate) fn api_server(&self, runs: bool) {
        let (signal, folder) = (if runs { "USR2" } else { "USR1" }, self.folder.display());
        self.bash(&format!("kill -{signal} \"$(cat '{folder}/up.pid')\"")).unwrap();
        wait_for("the API server to stop or to answer", || match (self.kubectl(&["get", "--raw=/readyz"]), runs) {
            (Ok(_), true) | (Err(_), false) => Ok(()),
            (Ok(_), false) => Err("it still answers".to_owned()),
            (Err(why), true) => Err(why),
        });
    }

    /// A client with all rights.
    pub(crate) async fn client(&self) -> kube::Client {
        let config = Kubeconfig::read_from(&self.kubeconfig).unwrap();
        let config = kube::Config::from_custom_kubeconfig(config, &KubeConfigOptions::default()).await.unwrap();
        kube::Client::try_from(config).unwrap()
    }

    /// The way in with all rights.
    pub(crate) fn kubeconfig(&self) -> String {
        self.kubeconfig.display().to_string()
    }

    /// A folder inside the control plane's that does not exist yet.
    pub(crate) fn folder(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    fn run(&self, command: &mut Command) -> Result<Output, String> {
        command.env("KUBECONFIG", &self.kubeconfig).env("DYNAMO_CACHE_CONTROL_PLANE_BIN", &self.programs);
        for (variable, folder) in [
            ("KUBECACHEDIR", "kubectl"),
            ("HELM_CACHE_HOME", "helm/cache"),
            ("HELM_CONFIG_HOME", "helm/config"),
            ("HELM_DATA_HOME", "helm/data"),
        ] {
            command.env(variable, self.folder.join(folder));
        }
        let ended = command.stdin(Stdio::null()).output().map_err(|why| {
            format!("failed to run {}: {why}; tests/run installs what the tests need", command.get_program().display())
        })?;
        let (out, err) = (String::from_utf8_lossy(&ended.stdout), String::from_utf8_lossy(&ended.stderr));
        if ended.status.success() {
            return Ok(Output { out: out.into_owned(), err: err.into_owned() });
        }
        Err(format!("{command:?} failed with {}:\n{out}{err}", ended.status))
    }
}
