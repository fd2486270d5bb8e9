//! The webhook's view of the cluster: the client, the facts that decisions depend on, events, and the count of
//! unreviewed pods.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use kube::Client;
use kube::config::{Config, InClusterError, KubeConfigOptions, Kubeconfig, KubeconfigError};

use crate::admission::claim::{Claim, Claims};
use crate::admission::dns_name;
use crate::metrics::Metrics;

pub mod claims;
pub mod events;
mod backoff;
mod collection;
mod read_through;
pub mod namespaces;
mod object;
mod observed;
pub mod pod_count;
mod projection;
mod reflector;
pub mod ca_secret;
mod skipped_objects;
mod storage_classes;
mod store;
mod watch_one;
pub mod webhook_configuration;

/// The field manager of every write.
const FIELD_MANAGER: &str = "dynamo-cache";

/// The environment variable by which a kubelet gives a container the address of the API server.
const API_SERVER_HOST: &str = "KUBERNETES_SERVICE_HOST";

/// A connection on which the API server sends nothing for this long is dead. A watch lasts 290 s and may be silent for
/// all of it; without a limit, a first list that is never answered would block for ever.
const READ_TIMEOUT: Duration = Duration::from_secs(300);

/// A client that cannot be created.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The client cannot be built.
    #[error("failed to create a Kubernetes client")]
    Client(#[source] kube::Error),
    /// This pod has no usable `ServiceAccount`.
    #[error("failed to read the ServiceAccount of this pod")]
    InCluster(#[source] InClusterError),
    /// The kubeconfig cannot be used.
    #[error("failed to read the kubeconfig {}", path.display())]
    Kubeconfig {
        /// The file.
        path: PathBuf,
        /// The reason.
        source: KubeconfigError,
    },
    /// This process is not in a pod, and has no kubeconfig.
    #[error("no cluster: this is not a pod ({API_SERVER_HOST} is not set), and --kubeconfig is missing")]
    NoCluster,
}

#[expect(clippy::disallowed_methods, reason = "the kubelet sets this variable, and no option replaces it")]
fn is_in_a_pod() -> bool {
    std::env::var_os(API_SERVER_HOST).is_some()
}

/// Creates a client from a kubeconfig, or from the `ServiceAccount` of this pod. It does not call the cluster.
///
/// # Errors
/// There is neither, or it cannot be used.
pub async fn connect(kubeconfig: Option<&Path>) -> Result<Client, Error> {
    let mut config = match kubeconfig {
        Some(path) => {
            let wrong = |source| Error::Kubeconfig { path: path.to_owned(), source };
            let options = KubeConfigOptions::default();
            Config::from_custom_kubeconfig(Kubeconfig::read_from(path).map_err(wrong)?, &options)
                .await
                .map_err(wrong)?
        }
        None if !is_in_a_pod() => return Err(Error::NoCluster),
        None => Config::incluster().map_err(Error::InCluster)?,
    };
    config.read_timeout = Some(READ_TIMEOUT);
    config.reset_reader_on_write = true;
    // Each caller has its own schedule of retries, and reports the error in the meantime.
    config.default_retry = false;
    Client::try_from(config).map_err(Error::Client)
}

/// The facts about the cluster that a decision depends on.
#[derive(Clone, Debug)]
pub enum Facts {
    /// Facts from files and options, without a cluster.
    Static {
        /// The annotations of every namespace.
        annotations: Arc<[(String, String)]>,
        /// The claims of every namespace. `None` means that every claim exists.
        claims: Option<Claims>,
    },
    /// Facts from watches, with bounded reads of objects that no watch has delivered yet.
    Watched {
        /// The annotations of namespaces.
        namespaces: Arc<namespaces::Namespaces>,
        /// The claims.
        claims: Arc<claims::Claims>,
    },
}

impl Facts {
    /// Facts of a cluster. They stay empty until `follow` of namespaces and of claims runs. `selector` is the label
    /// selector of the namespaces that opted in. A claim that has been pending for longer than `binding_timeout` may be
    /// one that never gets a volume.
    pub fn new(client: &Client, selector: &str, binding_timeout: Duration, metrics: &Arc<Metrics>) -> Self {
        let budget = read_through::Budget::new();
        Facts::Watched {
            namespaces: Arc::new(namespaces::Namespaces::new(client, selector, &budget, metrics)),
            claims: Arc::new(claims::Claims::new(client, binding_timeout, &budget, metrics)),
        }
    }

    /// Whether a namespace is known to exist. The number of such namespaces is bounded by the cluster, not by the
    /// caller. Without a cluster every namespace exists.
    pub fn has_namespace(&self, name: &str) -> bool {
        match self {
            Facts::Static { .. } => true,
            Facts::Watched { namespaces, .. } => namespaces.contains(name),
        }
    }

    /// The dynamo-cache annotations of a namespace. Empty if the namespace is not known.
    pub async fn annotations(&self, name: &str) -> Arc<[(String, String)]> {
        match self {
            Facts::Static { annotations, .. } => Arc::clone(annotations),
            Facts::Watched { namespaces, .. } if dns_name::is_label(name) => namespaces.annotations(name).await,
            Facts::Watched { .. } => Arc::default(),
        }
    }

    /// The claims of these names that exist in the namespace.
    pub async fn claims(&self, namespace: &str, names: Vec<&str>) -> Claims {
        let found = match self {
            Facts::Static { claims: Some(claims), .. } => return claims.clone(),
            Facts::Static { claims: None, .. } => {
                names.into_iter().map(|name| (name, Some(Claim::default()))).collect()
            }
            // The name becomes a part of a request's path, and a review may not come from the API server.
            Facts::Watched { .. } if !dns_name::is_label(namespace) => return Claims::new(),
            Facts::Watched { claims, .. } => {
                join_all(names.into_iter().map(async |name| (name, claims.get(namespace, name).await))).await
            }
        };
        found.into_iter().filter_map(|(name, claim)| Some((name.to_owned(), claim?))).collect()
    }
}
