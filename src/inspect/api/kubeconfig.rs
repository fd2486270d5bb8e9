//! Loads the configuration of the client: a kubeconfig, or the ServiceAccount inside a pod.

use std::error::Error as _;
use std::ffi::OsString;
use std::io::ErrorKind;
use std::path::Path;

use kube::config::{Config, KubeConfigOptions, Kubeconfig, KubeconfigError};

use crate::cli::Cluster;
use crate::failure::root_cause;

/// Loads the kubeconfig that the options name, else the one that kubectl would use, else the pod's own ServiceAccount.
///
/// # Errors
/// Which kubeconfig was tried, and what is wrong with it.
pub(super) async fn load(options: &Cluster) -> anyhow::Result<Config> {
    let selection = KubeConfigOptions { context: options.context.clone(), ..KubeConfigOptions::default() };
    let failed = |path: &str, error: &KubeconfigError| {
        anyhow::anyhow!("failed to read the kubeconfig {path}: {}", first_line(error))
    };
    match (&options.kubeconfig, &options.context) {
        (Some(path), _) => {
            let name = path.display().to_string();
            let read = Kubeconfig::read_from(path).map_err(|error| failed(&name, &error))?;
            Config::from_custom_kubeconfig(read, &selection).await.map_err(|error| failed(&name, &error))
        }
        (None, Some(_)) => Config::from_kubeconfig(&selection).await.map_err(|error| failed(&default_path(), &error)),
        (None, None) => Config::infer().await.map_err(|error| {
            // That there is no ServiceAccount either does not help a person.
            let of_file = error.source().and_then(|error| error.downcast_ref::<KubeconfigError>());
            anyhow::anyhow!("no cluster: {}", of_file.map_or_else(|| error.to_string(), why_none))
        }),
    }
}

/// Why there is no usable kubeconfig where kubectl looks for one.
fn why_none(error: &KubeconfigError) -> String {
    match (error, from_environment()) {
        (KubeconfigError::ReadConfig(why, path), named) if why.kind() == ErrorKind::NotFound => {
            let path = path.display();
            match named {
                Some(_) => format!("KUBECONFIG names {path}, which does not exist; pass another with --kubeconfig"),
                None => format!("KUBECONFIG is not set, and {path} does not exist; pass one with --kubeconfig"),
            }
        }
        _ => format!("{}: {}; pass another with --kubeconfig", default_path(), first_line(error)),
    }
}

/// The path of the kubeconfig without --kubeconfig.
fn default_path() -> String {
    let file = || std::env::home_dir().map(|home| home.join(".kube/config").display().to_string());
    let named = from_environment().map(|named| Path::new(&named).display().to_string());
    named.or_else(file).unwrap_or_else(|| "~/.kube/config".to_owned())
}

/// The value of KUBECONFIG, one path or several; `None` if it is unset or empty.
#[expect(clippy::disallowed_methods, reason = "KUBECONFIG is how kubectl is configured")]
fn from_environment() -> Option<OsString> {
    std::env::var_os("KUBECONFIG").filter(|named| !named.is_empty())
}

/// The first line of the error. Further lines quote the file, which contains credentials.
fn first_line(error: &KubeconfigError) -> String {
    if let KubeconfigError::LoadContext(name) = error {
        return format!("it has no context {name}");
    }
    root_cause(error).lines().next().unwrap_or_default().to_owned()
}
