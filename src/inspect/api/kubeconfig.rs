//! Which cluster is meant, and the way to it: a kubeconfig, or inside a pod its ServiceAccount.

use std::error::Error as _;
use std::ffi::OsString;
use std::io::ErrorKind;
use std::path::Path;

use kube::config::{Config, KubeConfigOptions, Kubeconfig, KubeconfigError};

use crate::cli::Cluster;
use crate::failure::root_cause;

/// The way that options choose, else the one that kubectl would take, else a pod's own.
///
/// # Errors
/// Where a kubeconfig was looked for, and what is wrong with it.
pub(super) async fn of(options: &Cluster) -> anyhow::Result<Config> {
    let choice = KubeConfigOptions { context: options.context.clone(), ..KubeConfigOptions::default() };
    let failed = |place: &str, error: &KubeconfigError| {
        anyhow::anyhow!("failed to read the kubeconfig {place}: {}", in_a_line(error))
    };
    match (&options.kubeconfig, &options.context) {
        (Some(path), _) => {
            let place = path.display().to_string();
            let read = Kubeconfig::read_from(path).map_err(|error| failed(&place, &error))?;
            Config::from_custom_kubeconfig(read, &choice).await.map_err(|error| failed(&place, &error))
        }
        (None, Some(_)) => Config::from_kubeconfig(&choice).await.map_err(|error| failed(&usual(), &error)),
        (None, None) => Config::infer().await.map_err(|error| {
            // That this is no pod either says nothing to a person.
            let of_file = error.source().and_then(|error| error.downcast_ref::<KubeconfigError>());
            anyhow::anyhow!("no cluster: {}", of_file.map_or_else(|| error.to_string(), none))
        }),
    }
}

/// Why there is no kubeconfig where kubectl looks for one.
fn none(error: &KubeconfigError) -> String {
    match (error, named()) {
        (KubeconfigError::ReadConfig(why, path), named) if why.kind() == ErrorKind::NotFound => {
            let path = path.display();
            match named {
                Some(_) => format!("KUBECONFIG names {path}, which is not there; --kubeconfig names another"),
                None => format!("KUBECONFIG is not set, and {path} is not there; --kubeconfig names one"),
            }
        }
        _ => format!("{}: {}; --kubeconfig names another", usual(), in_a_line(error)),
    }
}

/// Where a kubeconfig is looked for that no option names.
fn usual() -> String {
    let file = || std::env::home_dir().map(|home| home.join(".kube/config").display().to_string());
    let named = named().map(|named| Path::new(&named).display().to_string());
    named.or_else(file).unwrap_or_else(|| "~/.kube/config".to_owned())
}

/// What KUBECONFIG says: one path or several.
#[expect(clippy::disallowed_methods, reason = "kubectl's own way of telling")]
fn named() -> Option<OsString> {
    std::env::var_os("KUBECONFIG").filter(|named| !named.is_empty())
}

/// What is wrong. The lines below the first show what is in the file, and there are credentials in it.
fn in_a_line(error: &KubeconfigError) -> String {
    if let KubeconfigError::LoadContext(name) = error {
        return format!("it has no context {name}");
    }
    root_cause(error).lines().next().unwrap_or_default().to_owned()
}
