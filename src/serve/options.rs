//! Everything that was asked for, read and checked in full before a socket is bound.

use std::fs;

use anyhow::{Context as _, bail};

use crate::certificate;
use crate::certificate::from_files::{Brought, Files};
use crate::certificate::{Clients, Minted};
use crate::cli::Serve;
use crate::cluster;
use crate::cluster::webhook_configuration::Service;
use crate::config::file::SettingsFile;
use crate::manifest::facts::Facts as Told;

const NO_CLUSTER: &str = "
To try it without a cluster:
  dynamo-cache try
  dynamo-cache serve --standalone
To serve a cluster from outside of it:
  dynamo-cache serve --kubeconfig FILE --service NAME --namespace NAME
  dynamo-cache serve --kubeconfig FILE --cert-file FILE --key-file FILE
To install it in a cluster: README.md";

const NO_CERTIFICATE: &str = "no certificate: the API server calls over TLS only.
Name the Service by which it calls (--service), and one is made here; or make a pair with certs/dev
(certs/README.md has the other ways), and give it by --cert-file and --key-file.
Without a cluster, --standalone mints one in memory.";

const ONLY_STANDALONE: &str = "--namespace-file, --namespace-annotation, --claims and --claim say what a cluster would know; \
with a cluster it is asked. Add --standalone, or leave them out.";

/// What is served, read and checked.
#[derive(Debug)]
pub(super) struct Prepared {
    /// The settings file; none: the built-in settings.
    pub(super) settings: Option<SettingsFile>,
    /// What is shown.
    pub(super) certificate: Certificate,
    /// Who may call; none: everyone.
    pub(super) clients: Option<Clients>,
    /// What is known of the world around the pods.
    pub(super) world: World,
}

/// Where the certificate comes from.
#[derive(Debug)]
pub(super) enum Certificate {
    /// Files, and what they hold; where we know who calls, whom the API server trusts is looked after.
    Brought(Box<Files>, Brought, Option<Called>),
    /// It is made for a Service, by a CA in the cluster.
    SelfManaged(Called),
    /// It was made for this machine.
    Standalone(Minted),
}

/// How the API server calls us.
#[derive(Clone, Debug)]
pub(super) struct Called {
    /// Its cluster.
    pub(super) client: ClusterClient,
    /// By which Service.
    pub(super) service: Service,
    /// By which `MutatingWebhookConfiguration`.
    pub(super) configuration: String,
}

impl Called {
    /// As the options name it, or after the Service; none where nobody named one.
    fn of(options: &Serve, world: &World) -> Option<Self> {
        let World::Cluster(client) = world else { return None };
        let name = options.called.service.clone()?;
        let namespace = options.called.namespace.as_deref().unwrap_or(client.0.default_namespace()).to_owned();
        let configuration = options.called.webhook_configuration.clone().unwrap_or_else(|| name.clone());
        Some(Called { client: client.clone(), service: Service { namespace, name }, configuration })
    }
}

/// Where facts come from.
#[derive(Debug)]
pub(super) enum World {
    /// A cluster.
    Cluster(ClusterClient),
    /// Files and options; there is no cluster.
    Told(Told),
}

/// A client of the cluster, which prints nothing of itself.
#[derive(Clone)]
pub(super) struct ClusterClient(pub(super) kube::Client);

impl std::fmt::Debug for ClusterClient {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ClusterClient")
    }
}

/// Reads everything. Nobody is called and nothing is bound.
///
/// # Errors
/// What is wrong with the settings and the certificate, both at once, or that there is no cluster.
pub(super) async fn prepare(options: &Serve) -> anyhow::Result<Prepared> {
    let world = if options.standalone {
        World::Told(Told::from_options(&options.known)?)
    } else if options.known.is_given() {
        bail!(ONLY_STANDALONE)
    } else {
        let connected = cluster::connect(options.kubeconfig.as_deref()).await;
        World::Cluster(ClusterClient(connected.map_err(|error| match error {
            cluster::Error::NoCluster => anyhow::anyhow!("{error}{NO_CLUSTER}"),
            error => error.into(),
        })?))
    };
    let settings = options.config.as_deref().map(SettingsFile::read).transpose();
    match (settings, certificate(options, Called::of(options, &world))) {
        (Ok(settings), Ok((certificate, clients))) => Ok(Prepared { settings, certificate, clients, world }),
        (Err(error), Ok(_)) => Err(error.into()),
        (Ok(_), Err(error)) => Err(error),
        (Err(settings), Err(certificate)) => bail!("{settings}\n{certificate:#}"),
    }
}

fn certificate(options: &Serve, called: Option<Called>) -> anyhow::Result<(Certificate, Option<Clients>)> {
    let clients = options.client_ca_file.as_deref().map(Clients::read).transpose()?;
    if options.standalone {
        let minted = certificate::mint(clients.as_ref())?;
        if let Some(file) = &options.write_ca {
            fs::write(file, &minted.ca).with_context(|| format!("failed to write the CA to {}", file.display()))?;
        }
        return Ok((Certificate::Standalone(minted), clients));
    }
    match (&options.cert_file, &options.key_file, called) {
        (Some(certificate), Some(key), called) => {
            let mut files = Box::new(Files::new(certificate, key, options.ca_file.as_deref(), clients.clone()));
            let first = files.read().context("failed to read the certificate's files")??;
            Ok((Certificate::Brought(files, first, called), clients))
        }
        (_, _, Some(called)) => Ok((Certificate::SelfManaged(called), clients)),
        _ => bail!(NO_CERTIFICATE),
    }
}
