//! Starts whatever keeps our certificate: nothing, the reading of files, or a CA of our own.

use std::net::SocketAddr;
use std::sync::Arc;

use rustls::ServerConfig;
use tokio::sync::watch;

use crate::certificate::Clients;
use crate::cli::Serve;
use crate::cluster::ca_secret::Shared;
use crate::cluster::webhook_configuration::{Configuration, Seen, Service};
use crate::metrics::Metrics;
use crate::readiness::Readiness;
use crate::serve::certificates::Shown;
use crate::serve::certificates::ca_bundle_publisher::Publisher;
use crate::serve::certificates::from_files::FromFiles;
use crate::serve::certificates::self_managed::{Lifetimes, SelfManaged};
use crate::serve::options::{Called, Certificate};
use crate::serve::tasks::Parts;

/// What it takes to keep a certificate.
#[derive(Debug)]
pub(super) struct Means<'m> {
    /// What was asked for.
    pub(super) options: &'m Serve,
    /// Where we listen.
    pub(super) listens: SocketAddr,
    /// Who may call.
    pub(super) clients: Option<Clients>,
    /// Where it is said how things stand.
    pub(super) readiness: &'m Arc<Readiness>,
    /// Where it is counted.
    pub(super) metrics: &'m Arc<Metrics>,
}

/// What comes of keeping a certificate.
#[derive(Debug)]
pub(super) struct Kept {
    /// What is shown, now and as it changes.
    pub(super) tls: watch::Receiver<Option<Arc<ServerConfig>>>,
    /// What is seen of the configuration by which we are called, now and as it changes; none where nobody said which.
    pub(super) seen: Option<watch::Receiver<Seen>>,
}

/// Starts the parts that keep a certificate.
pub(super) fn keep(certificate: Certificate, means: &Means<'_>, parts: &mut Parts) -> Kept {
    let Means { options, metrics, .. } = *means;
    let mut shown = Shown::nothing(means.readiness, metrics);
    let (tls, mut seen) = (shown.tls(), None);
    // Where nobody said who calls, nothing is known to be wrong with it.
    metrics.trusted.set(true.into());
    match certificate {
        Certificate::Standalone(minted) => shown.show(minted.identity),
        Certificate::Brought(files, first, called) => {
            let publisher = called.map(|called| means.publisher(&called, parts));
            seen = publisher.as_ref().map(Publisher::seen);
            let files = FromFiles::new(*files, first, publisher, shown);
            parts.start("the reading of the certificate's files", files.run(options.times.reread));
        }
        Certificate::SelfManaged(called) => {
            let publisher = means.publisher(&called, parts);
            seen = Some(publisher.seen());
            let Service { namespace, name } = &called.service;
            let secret = options.called.secret.clone().unwrap_or_else(|| format!("{name}-ca"));
            let secret = Arc::new(Shared::of(&called.client.0, namespace, &secret, metrics));
            let times = options.times;
            let lifetimes =
                Lifetimes { authority: times.authority_lifetime, leaf: times.leaf_lifetime, check: times.check };
            let (names, clients) = (names(&called.service, options), means.clients.clone());
            let keeper = SelfManaged::new(&secret, names, lifetimes, clients, publisher, shown);
            parts.start("the watch of the Secret", async move { secret.follow().await });
            parts.start("the making of certificates", keeper.run());
        }
    }
    Kept { tls, seen }
}

impl Means<'_> {
    /// Starts to look after the configuration by which we are called.
    fn publisher(&self, called: &Called, parts: &mut Parts) -> Publisher {
        let configuration = Configuration::of(&called.client.0, &called.configuration, &called.service, self.metrics);
        self.metrics.trusted.set(false.into());
        let (configuration, times) = (Arc::new(configuration), self.options.times);
        let publisher = Publisher::new(&configuration, self.listens, times.settle, times.check);
        parts.start("the watch of the webhook configuration", async move { configuration.follow().await });
        publisher
    }
}

/// The names of the Service, and any more that were asked for.
fn names(service: &Service, options: &Serve) -> Vec<String> {
    let host = service.host();
    let long = format!("{host}.{}", options.called.cluster_domain);
    [host, long].into_iter().chain(options.called.dns_name.iter().cloned()).collect()
}
