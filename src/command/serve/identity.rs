//! Starts whatever keeps our certificate: nothing, the reading of files, or a CA of our own.

use std::net::SocketAddr;
use std::sync::Arc;

use rustls::ServerConfig;
use tokio::sync::watch;

use super::keeper::Shown;
use super::keeper::brought::Carrier;
use super::keeper::publisher::Publisher;
use super::keeper::self_managed::{Lifetimes, SelfManaged};
use super::parts::Parts;
use super::prepare::{Certificate, World};
use crate::certificate::Clients;
use crate::cli::Serve;
use crate::cluster::secret::Shared;
use crate::cluster::webhook::{Configuration, Service};
use crate::metrics::Metrics;
use crate::server::probe::Conditions;

/// What a certificate is kept with.
#[derive(Debug)]
pub(super) struct Ground<'g> {
    /// What was asked for.
    pub(super) options: &'g Serve,
    /// The cluster, if there is one.
    pub(super) world: &'g World,
    /// Where we listen.
    pub(super) listens: SocketAddr,
    /// Who may call.
    pub(super) clients: Option<Clients>,
    /// Where it is said how things stand.
    pub(super) conditions: &'g Arc<Conditions>,
    /// Where it is counted.
    pub(super) metrics: &'g Arc<Metrics>,
}

/// Starts the parts that keep a certificate, and says what is shown, now and as it changes.
pub(super) fn keep(
    certificate: Certificate,
    ground: &Ground<'_>,
    parts: &mut Parts,
) -> watch::Receiver<Option<Arc<ServerConfig>>> {
    let Ground { options, metrics, .. } = *ground;
    let mut shown = Shown::nothing(ground.conditions, metrics);
    let tls = shown.tls();
    let client = match ground.world {
        World::Cluster(client) => Some(&client.0),
        World::Told(_) => None,
    };
    let service = options.called.service.as_ref().zip(client).map(|(name, client)| {
        let namespace = options.called.namespace.as_deref().unwrap_or(client.default_namespace());
        (client, Service { namespace: namespace.to_owned(), name: name.clone() })
    });
    let publisher = service.as_ref().map(|(client, service)| {
        let name = options.called.webhook_configuration.as_deref().unwrap_or(&service.name);
        let configuration = Arc::new(Configuration::of(client, name, service, metrics));
        let publisher = Publisher::new(&configuration, ground.listens, options.times.settle, options.times.check);
        parts.start("the watch of the webhook configuration", async move { configuration.follow().await });
        publisher
    });
    // Where nobody said who calls, nothing is known to be wrong with it.
    metrics.trusted.set(publisher.is_none().into());
    match (certificate, service, publisher) {
        (Certificate::Standalone(minted), ..) => shown.show(minted.identity),
        (Certificate::Brought(files, first), _, publisher) => {
            let carrier = Carrier::new(files, first, publisher, shown);
            parts.start("the reading of the certificate's files", carrier.run(options.times.reread));
        }
        (Certificate::SelfManaged, Some((client, service)), Some(publisher)) => {
            let name = options.called.secret.clone().unwrap_or_else(|| format!("{}-ca", service.name));
            let secret = Arc::new(Shared::of(client, &service.namespace, &name, metrics));
            let times = options.times;
            let lifetimes =
                Lifetimes { authority: times.authority_lifetime, leaf: times.leaf_lifetime, check: times.check };
            let names = names(&service, options);
            let clients = ground.clients.clone();
            let keeper = SelfManaged::new(&secret, names, lifetimes, clients, publisher, shown);
            parts.start("the watch of the Secret", async move { secret.follow().await });
            parts.start("the making of certificates", keeper.run());
        }
        // `prepare` makes ours only for a Service in a cluster.
        (Certificate::SelfManaged, ..) => {}
    }
    tls
}

/// The names of the Service, and any more that were asked for.
fn names(service: &Service, options: &Serve) -> Vec<String> {
    let host = service.host();
    let long = format!("{host}.{}", options.called.cluster_domain);
    [host, long].into_iter().chain(options.called.dns_name.iter().cloned()).collect()
}
