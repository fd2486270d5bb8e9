//! The cluster in which pods run: the one that `DYNAMO_CACHE_TEST_KUBECONFIG` names, else a node of our own.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;

/// The checkout.
pub(crate) const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// Enough for a cluster that pulls, schedules and mounts slowly; on our node nothing takes a tenth of it.
pub(crate) const DEADLINE: Duration = Duration::from_secs(300);

/// What we write: manifests, certificates, logs to read afterwards.
pub(crate) use crate::FOLDER;

/// A cluster whose nodes run pods.
pub(crate) struct Cluster {
    reached: Reached,
    files: AtomicUsize,
}

enum Reached {
    /// One that a person named. They loaded the images.
    Named { kubeconfig: PathBuf, programs: String },
    /// One node, which ends when our end of its standard input closes: when this process ends, however that happens.
    Node { name: String, volumes: String, image: PathBuf, _up: Child },
}

/// The cluster that all promises share.
pub(crate) fn shared() -> &'static Cluster {
    static SHARED: LazyLock<Result<Cluster, String>> = LazyLock::new(Cluster::reach);
    SHARED.as_ref().unwrap_or_else(|why| panic!("{why}"))
}

impl Cluster {
    fn reach() -> Result<Self, String> {
        let _ = fs::remove_dir_all(FOLDER);
        fs::create_dir_all(FOLDER).map_err(|why| format!("failed to make {FOLDER}: {why}"))?;
        #[expect(clippy::disallowed_methods, reason = "the one thing that a person may set here")]
        let named = std::env::var_os("DYNAMO_CACHE_TEST_KUBECONFIG").filter(|value| !value.is_empty());
        let reached = match named {
            Some(kubeconfig) => named_cluster(kubeconfig.into())?,
            None => start_node()?,
        };
        Ok(Cluster { reached, files: AtomicUsize::new(0) })
    }

    /// Runs kubectl.
    ///
    /// # Errors
    /// What it said, where it failed.
    pub(crate) fn kubectl(&self, arguments: &[&str]) -> Result<String, String> {
        output(self.command("kubectl").args(arguments))
    }

    /// Runs Helm.
    ///
    /// # Errors
    /// What it said, where it failed.
    pub(crate) fn helm(&self, arguments: &[&str]) -> Result<String, String> {
        output(self.command("helm").args(arguments))
    }

    /// What `kubectl get … -o json` prints.
    pub(crate) fn read(&self, arguments: &[&str]) -> Value {
        let out = self.kubectl(&[&["get", "--output=json"], arguments].concat()).unwrap();
        serde_json::from_str(&out).unwrap()
    }

    /// Writes a manifest, and says where it is.
    pub(crate) fn file(&self, content: &Value) -> String {
        let path = self.unused("json");
        fs::write(&path, content.to_string()).unwrap();
        path
    }

    /// A path below our folder where nothing is yet.
    pub(crate) fn unused(&self, ending: &str) -> String {
        format!("{FOLDER}/{}.{ending}", self.files.fetch_add(1, Ordering::Relaxed))
    }

    /// The folder on the node that volumes go below.
    pub(crate) fn volumes(&self) -> &str {
        match &self.reached {
            Reached::Named { .. } => "/var/tmp/dynamo-cache-suite",
            Reached::Node { volumes, .. } => volumes,
        }
    }

    /// The archive with the product's image; none where a person loaded it.
    pub(crate) fn image(&self) -> Option<&Path> {
        match &self.reached {
            Reached::Named { .. } => None,
            Reached::Node { image, .. } => Some(image),
        }
    }

    /// The label that chooses the node where the volumes are: the first that takes pods.
    pub(crate) fn host(&self) -> String {
        let nodes = self.read(&["nodes"]);
        let mut nodes = nodes["items"].as_array().unwrap().iter();
        let free =
            nodes.find(|node| node["spec"].get("taints").is_none() && node["spec"].get("unschedulable").is_none());
        let free = free.expect("a node without taints");
        free["metadata"]["labels"]["kubernetes.io/hostname"].as_str().unwrap().to_owned()
    }

    /// A program in the cluster's network, with the way into it.
    pub(crate) fn command(&self, program: &str) -> Command {
        let mut command = match &self.reached {
            Reached::Named { kubeconfig, programs } => {
                let mut command = Command::new("env");
                command.arg(format!("PATH={programs}")).arg(program).env("KUBECONFIG", kubeconfig);
                command
            }
            Reached::Node { name, .. } => {
                let mut command = Command::new(format!("{ROOT}/tests/node/exec"));
                command.args(["--node", name, program]);
                command
            }
        };
        for (variable, folder) in [
            ("KUBECACHEDIR", "kubectl"),
            ("HELM_CACHE_HOME", "helm/cache"),
            ("HELM_CONFIG_HOME", "helm/config"),
            ("HELM_DATA_HOME", "helm/data"),
        ] {
            command.env(variable, format!("{FOLDER}/{folder}"));
        }
        command
    }
}

fn named_cluster(kubeconfig: PathBuf) -> Result<Reached, String> {
    if !kubeconfig.is_file() {
        return Err(format!("DYNAMO_CACHE_TEST_KUBECONFIG names {}, which is no file", kubeconfig.display()));
    }
    let mut build = Command::new(format!("{ROOT}/tests/control-plane/build"));
    output(build.args(["kubectl", "helm"]).stderr(Stdio::inherit()))?;
    let print = ["--print-path", "kubectl", "helm"];
    let programs = output(Command::new(format!("{ROOT}/tests/control-plane/build")).args(print))?;
    let path = output(Command::new("printenv").arg("PATH"))?;
    Ok(Reached::Named { kubeconfig, programs: format!("{}:{}", programs.trim(), path.trim()) })
}

/// Builds what is missing, its progress shown, and starts a node with the images.
fn start_node() -> Result<Reached, String> {
    output(Command::new(format!("{ROOT}/tests/node/up")).arg("--check"))?;
    let image = build("tests/node/image")?;
    let mut command = Command::new(format!("{ROOT}/tests/node/up"));
    command.args(["--until-stdin-closes", "--image", &image]);
    for script in crate::IMAGES {
        command.args(["--image", &build(script)?]);
    }
    let up = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
    let mut up = up.map_err(|why| format!("failed to start tests/node/up: {why}"))?;
    let out = up.stdout.take().ok_or("tests/node/up has no piped output")?;
    // The last line that it prints names the folder for volumes; there is none where it failed.
    let mut lines = Vec::new();
    for line in BufReader::new(out).lines().map_while(Result::ok) {
        let last = line.starts_with("export DYNAMO_CACHE_NODE_VOLUMES=");
        lines.push(line);
        if last {
            break;
        }
    }
    let value = |name: &str| {
        let line = lines.iter().find_map(|line| line.strip_prefix(&format!("export {name}=")));
        line.map(|value| value.trim_matches('\'').to_owned())
            .ok_or_else(|| format!("the node did not start: run tests/node/up and read what it says (no {name})"))
    };
    let (name, volumes) = (value("DYNAMO_CACHE_NODE")?, value("DYNAMO_CACHE_NODE_VOLUMES")?);
    Ok(Reached::Node { name, volumes, image: image.into(), _up: up })
}

/// The path that a script of this checkout prints, which builds what is missing there and shows its progress.
pub(crate) fn build(script: &str) -> Result<String, String> {
    let path = output(Command::new(format!("{ROOT}/{script}")).stderr(Stdio::inherit()))?;
    Ok(path.trim().to_owned())
}

/// What a command prints; where it fails, all that it said, unless that is shown already.
fn output(command: &mut Command) -> Result<String, String> {
    let ended = command.stdin(Stdio::null()).output();
    let ended = ended.map_err(|why| format!("failed to run {}: {why}", command.get_program().display()))?;
    let out = String::from_utf8_lossy(&ended.stdout);
    if ended.status.success() {
        return Ok(out.into_owned());
    }
    Err(format!("{command:?} failed with {}:\n{out}{}", ended.status, String::from_utf8_lossy(&ended.stderr)))
}

/// Prints a log, and keeps it in a file of this name, whose path is the answer.
pub(crate) fn keep(name: &str, log: &str) -> String {
    let path = format!("{FOLDER}/{name}");
    fs::write(&path, log).unwrap();
    println!("---- {path}\n{log}----");
    path
}

/// Waits until `look` sees what it looks for; what it last saw instead is in the message when the deadline has passed.
#[track_caller]
pub(crate) fn wait_for<T>(what: &str, look: impl FnMut() -> Result<T, String>) -> T {
    wait_at_most(DEADLINE, what, look)
}

/// The same, with another deadline.
#[track_caller]
pub(crate) fn wait_at_most<T>(deadline: Duration, what: &str, look: impl FnMut() -> Result<T, String>) -> T {
    wait_or_say(deadline, what, look).unwrap_or_else(|why| panic!("{why}"))
}

/// The same, for a caller that has more to say than what was last seen.
///
/// # Errors
/// The deadline has passed.
pub(crate) fn wait_or_say<T>(
    deadline: Duration,
    what: &str,
    mut look: impl FnMut() -> Result<T, String>,
) -> Result<T, String> {
    let begun = Instant::now();
    loop {
        match look() {
            Ok(seen) => return Ok(seen),
            Err(why) if begun.elapsed() > deadline => {
                return Err(format!("waited {deadline:?} in vain for {what}: {why}"));
            }
            Err(_) => {}
        }
        #[expect(clippy::disallowed_methods, reason = "the one place where the tests pause, between two looks")]
        std::thread::sleep(Duration::from_millis(200));
    }
}
