//! Starts the tasks that manage the serving certificate: none, reloading files, or running a CA.

use std::net::SocketAddr;
use std::sync::Arc;

use rustls::ServerConfig;
use tokio::sync::watch;

use crate::certificate::ClientCa;
use crate::cli::Serve;
use crate::cluster::ca_secret::CaSecret;
use crate::cluster::webhook_configuration::{ObservedConfiguration, WebhookConfiguration};
use crate::metrics::Metrics;
use crate::readiness::Readiness;
use crate::serve::certificates::ServingCertificate;
use crate::serve::certificates::ca_bundle_publisher::CaBundlePublisher;
use crate::serve::certificates::ca_renewal::{Lifetimes, SelfManaged};
use crate::serve::certificates::from_files::FromFiles;
use crate::serve::options::{Certificate, WebhookService};
use crate::serve::tasks::Tasks;
use crate::service::Service;

/// The inputs of certificate management.
#[derive(Debug)]
pub(super) struct CertificateContext<'m> {
    /// The command-line options.
    pub(super) options: &'m Serve,
    /// The address of the webhook listener.
    pub(super) address: SocketAddr,
    /// The CAs of clients.
    pub(super) client_ca: Option<ClientCa>,
    /// The readiness to report to.
    pub(super) readiness: &'m Arc<Readiness>,
    /// The metrics.
    pub(super) metrics: &'m Arc<Metrics>,
}

/// The outputs of certificate management.
#[derive(Debug)]
pub(super) struct Handles {
    /// The TLS configuration, now and as it changes.
    pub(super) tls: watch::Receiver<Option<Arc<ServerConfig>>>,
    /// The observed webhook configuration, now and as it changes. `None` without `--service`.
    pub(super) configuration: Option<watch::Receiver<ObservedConfiguration>>,
}

/// Starts the tasks for this source of certificates.
pub(super) fn start(certificate: Certificate, context: &CertificateContext<'_>, tasks: &mut Tasks) -> Handles {
    let CertificateContext { options, metrics, .. } = *context;
    let mut serving = ServingCertificate::new(context.readiness, metrics);
    let (tls, mut configuration) = (serving.subscribe(), None);
    // Without `--service`, no configuration is known that could distrust the certificate.
    metrics.trusted.set(true.into());
    match certificate {
        Certificate::Standalone(minted) => serving.serve(minted.identity),
        Certificate::FromFiles(files, first, service) => {
            let publisher = service.map(|service| context.publisher(&service, tasks));
            configuration = publisher.as_ref().map(CaBundlePublisher::observed);
            let files = FromFiles::new(*files, first, publisher, serving);
            tasks.start("the reload of the certificate files", files.run(options.timing.reload_interval));
        }
        Certificate::SelfManaged(service) => {
            let publisher = context.publisher(&service, tasks);
            configuration = Some(publisher.observed());
            let Service { namespace, name } = &service.reference;
            let secret = options.service.secret.clone().unwrap_or_else(|| format!("{name}-ca"));
            let secret = Arc::new(CaSecret::new(&service.client.0, namespace, &secret, metrics));
            let timing = options.timing;
            let lifetimes =
                Lifetimes { ca: timing.ca_lifetime, leaf: timing.leaf_lifetime, check: timing.renewal_check_interval };
            let (names, client_ca) = (names(&service.reference, options), context.client_ca.clone());
            let manager = SelfManaged::new(&secret, names, lifetimes, client_ca, publisher, serving);
            tasks.start("the watch of the Secret", async move { secret.follow().await });
            tasks.start("the renewal of certificates", manager.run());
        }
    }
    Handles { tls, configuration }
}

impl CertificateContext<'_> {
    /// Starts the watch of the webhook configuration, and creates the publisher of its `caBundle`.
    fn publisher(&self, service: &WebhookService, tasks: &mut Tasks) -> CaBundlePublisher {
        let configuration =
            WebhookConfiguration::new(&service.client.0, &service.configuration, &service.reference, self.metrics);
        self.metrics.trusted.set(false.into());
        let (configuration, timing) = (Arc::new(configuration), self.options.timing);
        let publisher = CaBundlePublisher::new(
            &configuration,
            self.address,
            timing.propagation_delay,
            timing.renewal_check_interval,
        );
        tasks.start("the watch of the webhook configuration", async move { configuration.follow().await });
        publisher
    }
}

/// The names of the Service, and those of `--dns-name`.
fn names(service: &Service, options: &Serve) -> Vec<String> {
    let host = service.host();
    let long = format!("{host}.{}", options.service.cluster_domain);
    [host, long].into_iter().chain(options.service.dns_name.iter().cloned()).collect()
}
