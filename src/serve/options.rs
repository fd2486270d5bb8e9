//! Reads and checks all options and files before a socket is bound.

use std::fs;

use anyhow::{Context as _, bail};

use crate::certificate;
use crate::certificate::from_files::{CertificateFiles, Loaded};
use crate::certificate::{ClientCa, Minted};
use crate::cli::Serve;
use crate::cluster;
use crate::config::file::SettingsFile;
use crate::manifest::facts::Facts as StaticFacts;
use crate::service::Service;

const NO_CLUSTER: &str = "
To try the webhook without a cluster:
  dynamo-cache try
  dynamo-cache serve --standalone
To serve a cluster from outside:
  dynamo-cache serve --kubeconfig FILE --service NAME --namespace NAME
  dynamo-cache serve --kubeconfig FILE --cert-file FILE --key-file FILE
To install the webhook in a cluster: README.md";

const NO_CERTIFICATE: &str = "no certificate: the API server calls webhooks over TLS only.
Pass --service with the name of the Service, and the webhook issues its own certificate; or create one with
certs/dev (certs/README.md has other ways) and pass it with --cert-file and --key-file.
Without a cluster, --standalone issues one in memory.";

const ONLY_STANDALONE: &str = "--namespace-file, --namespace-annotation, --claims and --claim replace facts of a cluster, \
and this webhook has a cluster. Add --standalone, or remove these options.";

/// The checked options.
#[derive(Debug)]
pub(super) struct Prepared {
    /// The settings file. `None` means the built-in settings.
    pub(super) settings: Option<SettingsFile>,
    /// The source of the serving certificate.
    pub(super) certificate: Certificate,
    /// The CAs of clients. `None` admits every client.
    pub(super) client_ca: Option<ClientCa>,
    /// The source of facts about namespaces and claims.
    pub(super) facts: FactSource,
}

/// The source of the serving certificate.
#[derive(Debug)]
pub(super) enum Certificate {
    /// Files, and the certificate in them. With `--service`, their CAs are published and the API server's trust is
    /// checked.
    FromFiles(Box<CertificateFiles>, Loaded, Option<WebhookService>),
    /// Issued for a Service by a CA that is stored in the cluster.
    SelfManaged(WebhookService),
    /// Issued in memory for this machine.
    Standalone(Minted),
}

/// The Service by which the API server calls the webhook.
#[derive(Clone, Debug)]
pub(super) struct WebhookService {
    /// A client of its cluster.
    pub(super) client: ClusterClient,
    /// The Service.
    pub(super) reference: Service,
    /// The name of the `MutatingWebhookConfiguration`.
    pub(super) configuration: String,
}

impl WebhookService {
    /// The Service of the options, with defaults for what is not given. `None` without `--service` or without a
    /// cluster.
    fn from_options(options: &Serve, facts: &FactSource) -> Option<Self> {
        let FactSource::Cluster(client) = facts else { return None };
        let name = options.service.service.clone()?;
        let namespace = options.service.namespace.as_deref().unwrap_or(client.0.default_namespace()).to_owned();
        let configuration = options.service.webhook_configuration.clone().unwrap_or_else(|| name.clone());
        Some(WebhookService { client: client.clone(), reference: Service { namespace, name }, configuration })
    }
}

/// The source of facts.
#[derive(Debug)]
pub(super) enum FactSource {
    /// A cluster.
    Cluster(ClusterClient),
    /// Files and options, without a cluster.
    Static(StaticFacts),
}

/// A client whose `Debug` prints no configuration.
#[derive(Clone)]
pub(super) struct ClusterClient(pub(super) kube::Client);

impl std::fmt::Debug for ClusterClient {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ClusterClient")
    }
}

/// Reads all files and creates the client. It makes no network request and binds no socket.
///
/// # Errors
/// The settings or the certificate are invalid, reported together, or there is no cluster.
pub(super) async fn prepare(options: &Serve) -> anyhow::Result<Prepared> {
    let facts = if options.standalone {
        // Without a cluster there is no probe that could prove them.
        FactSource::Static(StaticFacts::from_options(&options.known)?.with_proven_claims())
    } else if options.known.is_given() {
        bail!(ONLY_STANDALONE)
    } else {
        let connected = cluster::connect(options.kubeconfig.as_deref()).await;
        FactSource::Cluster(ClusterClient(connected.map_err(|error| match error {
            cluster::Error::NoCluster => anyhow::anyhow!("{error}{NO_CLUSTER}"),
            error => error.into(),
        })?))
    };
    let settings = options.config.as_deref().map(SettingsFile::read).transpose();
    match (settings, certificate(options, WebhookService::from_options(options, &facts))) {
        (Ok(settings), Ok((certificate, client_ca))) => Ok(Prepared { settings, certificate, client_ca, facts }),
        (Err(error), Ok(_)) => Err(error.into()),
        (Ok(_), Err(error)) => Err(error),
        (Err(settings), Err(certificate)) => bail!("{settings}\n{certificate:#}"),
    }
}

fn certificate(options: &Serve, service: Option<WebhookService>) -> anyhow::Result<(Certificate, Option<ClientCa>)> {
    let client_ca = options.client_ca_file.as_deref().map(ClientCa::read).transpose()?;
    if options.standalone {
        let minted = certificate::mint(client_ca.as_ref())?;
        if let Some(file) = &options.write_ca {
            fs::write(file, &minted.ca).with_context(|| format!("failed to write the CA to {}", file.display()))?;
        }
        return Ok((Certificate::Standalone(minted), client_ca));
    }
    match (&options.cert_file, &options.key_file, service) {
        (Some(certificate), Some(key), service) => {
            let mut files =
                Box::new(CertificateFiles::new(certificate, key, options.ca_file.as_deref(), client_ca.clone()));
            let first = files.read().context("failed to read the certificate files")??;
            Ok((Certificate::FromFiles(files, first, service), client_ca))
        }
        (_, _, Some(service)) => Ok((Certificate::SelfManaged(service), client_ca)),
        _ => bail!(NO_CERTIFICATE),
    }
}
