//! The cluster: the client, the facts that decide, and what is counted there and told to it beside the answers.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use kube::Client;
use kube::config::{Config, InClusterError, KubeConfigOptions, Kubeconfig, KubeconfigError};

use crate::admission::claim::{Claim, Claims};
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
mod skipped;
mod storage_classes;
mod store;
mod watch_one;
pub mod webhook_configuration;

/// By which name the API server knows that we wrote a field.
const MANAGER: &str = "dynamo-cache";

/// Where the kubelet tells a container which API server is its own.
const IN_A_POD: &str = "KUBERNETES_SERVICE_HOST";

/// After so long without a word from the API server a connection is dead. A watch lasts 290 s and may be silent all the
/// while; a first listing that is never answered would else be waited for, for ever.
const SILENCE: Duration = Duration::from_secs(300);

/// Why there is no client.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The client cannot be built.
    #[error("failed to make a client of the cluster")]
    Client(#[source] kube::Error),
    /// We are in a pod without its `ServiceAccount`.
    #[error("failed to read the ServiceAccount of this pod")]
    InCluster(#[source] InClusterError),
    /// The kubeconfig is of no use.
    #[error("failed to read the kubeconfig {}", path.display())]
    Kubeconfig {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: KubeconfigError,
    },
    /// We are in no pod, and were given no kubeconfig.
    #[error("no cluster: this is no pod ({IN_A_POD} is not set), and no --kubeconfig was given")]
    NoCluster,
}

#[expect(clippy::disallowed_methods, reason = "how the kubelet tells; no option could")]
fn in_a_pod() -> bool {
    std::env::var_os(IN_A_POD).is_some()
}

/// Makes a client from a kubeconfig, or inside a pod from its `ServiceAccount`. It does not call the cluster.
///
/// # Errors
/// There is neither, or it is of no use.
pub async fn connect(kubeconfig: Option<&Path>) -> Result<Client, Error> {
    let mut config = match kubeconfig {
        Some(path) => {
            let wrong = |source| Error::Kubeconfig { path: path.to_owned(), source };
            let options = KubeConfigOptions::default();
            Config::from_custom_kubeconfig(Kubeconfig::read_from(path).map_err(wrong)?, &options)
                .await
                .map_err(wrong)?
        }
        None if !in_a_pod() => return Err(Error::NoCluster),
        None => Config::incluster().map_err(Error::InCluster)?,
    };
    config.read_timeout = Some(SILENCE);
    config.reset_reader_on_write = true;
    // Whoever asks knows when to ask again, and tells meanwhile why there is no answer.
    config.default_retry = false;
    Client::try_from(config).map_err(Error::Client)
}

/// What is known of the cluster.
#[derive(Clone, Debug)]
pub enum Facts {
    /// There is none, and this is what we were told instead.
    Told {
        /// The annotations of every namespace.
        namespace: Arc<[(String, String)]>,
        /// The claims of every namespace; none: all that are asked for.
        claims: Option<Claims>,
    },
    /// What its watches have seen, and bounded reads of what they have not.
    Watched {
        /// The annotations of namespaces.
        namespaces: Arc<namespaces::Namespaces>,
        /// The claims.
        claims: Arc<claims::Claims>,
    },
}

impl Facts {
    /// Facts of a cluster, which become known as `follow` of either is run; a label selector says of which namespaces.
    /// A claim that waits for its volume for longer than `binding_timeout` may be one that gets none.
    pub fn of(client: &Client, selector: &str, binding_timeout: Duration, metrics: &Arc<Metrics>) -> Self {
        let budget = read_through::Budget::new();
        Facts::Watched {
            namespaces: Arc::new(namespaces::Namespaces::of(client, selector, &budget, metrics)),
            claims: Arc::new(claims::Claims::of(client, binding_timeout, &budget, metrics)),
        }
    }

    /// Whether a namespace is known to be there: the number of those is the cluster's, not that of whoever asks. Without a
    /// cluster every one is.
    pub fn has_namespace(&self, name: &str) -> bool {
        match self {
            Facts::Told { .. } => true,
            Facts::Watched { namespaces, .. } => namespaces.has(name),
        }
    }

    /// Our annotations on a namespace; none where it is not known.
    pub async fn namespace(&self, name: &str) -> Arc<[(String, String)]> {
        match self {
            Facts::Told { namespace, .. } => Arc::clone(namespace),
            Facts::Watched { namespaces, .. } if is_namespace(name) => namespaces.annotations(name).await,
            Facts::Watched { .. } => Arc::default(),
        }
    }

    /// Those of the named claims that are in the namespace.
    pub async fn claims(&self, namespace: &str, names: Vec<&str>) -> Claims {
        let found = match self {
            Facts::Told { claims: Some(claims), .. } => return claims.clone(),
            Facts::Told { claims: None, .. } => names.into_iter().map(|name| (name, Some(Claim::default()))).collect(),
            Facts::Watched { .. } if !is_namespace(namespace) => return Claims::new(),
            Facts::Watched { claims, .. } => {
                join_all(names.into_iter().map(async |name| (name, claims.find(namespace, name).await))).await
            }
        };
        found.into_iter().filter_map(|(name, claim)| Some((name.to_owned(), claim?))).collect()
    }
}

/// Whether a namespace may be called so: a DNS label. It becomes a part of a path at the API server, and a review need
/// not come from there.
fn is_namespace(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= 63
        && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
}
