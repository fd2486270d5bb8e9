//! Starts every task of the webhook, and stops them in order.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::cli::Serve;
use crate::cluster::Facts;
use crate::config::Config;
use crate::config::file;
use crate::config::file::SettingsFile;
use crate::metrics::{Listener, Metrics, ReloadResult};
use crate::readiness::{Condition, Readiness, SettingsSource};
use crate::serve::certificate_tasks;
use crate::serve::certificate_tasks::{CertificateContext, Handles};
use crate::serve::file_limit;
use crate::serve::options::{Certificate, FactSource, Prepared, prepare};
use crate::serve::tasks::Tasks;
use crate::serve::watches;
use crate::server;
use crate::server::admin;
use crate::server::limits::Limits;
use crate::server::review_log::ReviewLog;
use crate::server::webhook::Webhook;
use crate::server::{Server, Timeouts, most_open};

/// The task that answers reviews.
const WEBHOOK: &str = "the webhook server";

/// The most connections to the webhook. An API server keeps 25 idle ones and was observed to open two hundred in a
/// burst.
///
/// The most memory that the process takes, in MiB, below the 256 of the chart:
///
/// | | |
/// |---|---|
/// | the program without its watches | 25 |
/// | 864 connections, including those being closed, of 44 KiB: TLS and its records 28, a head 8, a response head 8 | 37 |
/// | the kernel's buffers for responses that are written and not read, 46 KiB per connection as observed | 39 |
/// | 96 responses that are not written, of 220 KiB: kernel buffers 64 and 64, the rest in TLS and HTTP | 21 |
/// | large bodies and answers, see `server::limits` | 64 |
/// | small bodies and answers | 16 |
/// | parsed pods | 48 |
const MAX_WEBHOOK_CONNECTIONS: usize = 768;

/// The most connections to the admin listener.
const MAX_ADMIN_CONNECTIONS: usize = 128;

/// The timeout for the head of a probe. A kubelet allows a probe one second by default.
const ADMIN_HEAD_TIMEOUT: Duration = Duration::from_secs(3);

/// The keep-alive timeout of the admin listener. A kubelet opens a connection for each probe, and a Prometheus that
/// scrapes less often than this opens a new one.
const ADMIN_KEEP_ALIVE: Duration = Duration::from_secs(10);

/// Other open files: connections to the cluster, settings, certificates, the log.
const OTHER_FILES: usize = 128;

/// The task that answers probes.
const ADMIN: &str = "the admin server";

/// A running webhook.
#[derive(Debug)]
pub(crate) struct Running {
    /// The address of the webhook listener.
    pub(crate) address: SocketAddr,
    /// The CA in PEM, if it was issued for `--standalone`.
    pub(crate) ca: Option<String>,
    readiness: Arc<Readiness>,
    tasks: Tasks,
    draining: CancellationToken,
    stop: CancellationToken,
    stop_admin: CancellationToken,
}

impl Running {
    /// Reads all options and files, binds both sockets and starts every task.
    ///
    /// # Errors
    /// An option or a file is invalid, or a socket cannot be bound.
    pub(crate) async fn start(options: &Serve) -> anyhow::Result<Self> {
        let Prepared { settings, certificate, client_ca, facts } = prepare(options).await?;
        let (listener, address) = bind(options.listen, "--listen")?;
        let (admin_listener, admin_address) = bind(options.admin_listen, "--admin-listen")?;

        let metrics = Arc::new(Metrics::default());
        let has_service = options.service.service.is_some();
        let needed: &[_] = match facts {
            FactSource::Cluster(_) if has_service => &Condition::ALL,
            FactSource::Cluster(_) => &[Condition::Certificate, Condition::Claims, Condition::Namespaces],
            FactSource::Static(_) => &[Condition::Certificate],
        };
        let name = options.config.as_deref().map_or("built in".to_owned(), |path| path.display().to_string());
        let source = SettingsSource { name, since: Instant::now(), rejected: None };
        let readiness = Arc::new(Readiness::new(needed, source));
        let ca = if let Certificate::Standalone(minted) = &certificate { Some(minted.ca.clone()) } else { None };
        let mut tasks = Tasks::default();
        let context = CertificateContext { options, address, client_ca, readiness: &readiness, metrics: &metrics };
        let Handles { tls, configuration } = certificate_tasks::start(certificate, &context, &mut tasks);
        let (facts, events) = match facts {
            FactSource::Cluster(client) => {
                let facts =
                    Facts::new(&client.0, &options.namespace_selector, options.timing.binding_timeout, &metrics);
                watches::start_pod_count(&mut tasks, options, &client.0, &facts, configuration.clone(), &metrics);
                let events = watches::start_events(&mut tasks, &client.0, &facts, configuration, &metrics);
                (facts, events)
            }
            FactSource::Static(facts) => {
                (Facts::Static { annotations: facts.namespace.into(), claims: facts.claims }, None)
            }
        };
        let has_cluster = events.is_some();

        let [draining, stop, stop_admin] = std::array::from_fn(|_| CancellationToken::new());
        let timing = options.timing;
        let timeouts = Timeouts {
            handshake_and_head: timing.handshake_timeout,
            keep_alive: timing.keep_alive_timeout,
            drain: timing.drain_timeout,
        };
        let webhook = Webhook {
            config: settings.as_ref().map_or_else(|| watch::Sender::default().subscribe(), SettingsFile::current),
            facts: facts.clone(),
            events,
            limits: Limits::new(Arc::clone(&metrics)),
            log: ReviewLog::default(),
            metrics: Arc::clone(&metrics),
        };
        let webhook = Server {
            tls: Some(tls),
            max_connections: max_webhook_connections(),
            listener: Listener::Webhook,
            routes: webhook.routes(),
            timeouts,
            draining: draining.clone(),
            metrics: Some(Arc::clone(&metrics)),
        };
        let admin = Server {
            tls: None,
            max_connections: MAX_ADMIN_CONNECTIONS,
            listener: Listener::Admin,
            routes: admin::routes(Arc::clone(&readiness), Arc::clone(&metrics)),
            timeouts: Timeouts {
                handshake_and_head: timing.handshake_timeout.min(ADMIN_HEAD_TIMEOUT),
                keep_alive: timing.keep_alive_timeout.min(ADMIN_KEEP_ALIVE),
                drain: timing.drain_timeout,
            },
            draining: draining.clone(),
            metrics: Some(Arc::clone(&metrics)),
        };

        tasks.start(WEBHOOK, server::run(listener, webhook, stop.clone().cancelled_owned()));
        tasks.start(ADMIN, server::run(admin_listener, admin, stop_admin.clone().cancelled_owned()));
        watches::start_fact_watches(&mut tasks, &facts, &readiness);
        if let Some(file) = settings {
            log_warnings(&file.current().borrow(), has_cluster);
            let (readiness, metrics) = (Arc::clone(&readiness), metrics);
            let on_read = move |read: Result<&Config, &file::Error>| {
                if let Ok(config) = read {
                    log_warnings(config, has_cluster);
                }
                report_reload(read, &readiness, &metrics);
            };
            tasks.start("the reload of the settings file", file.follow(timing.reload_interval, on_read));
        }
        info!(listener = "webhook", %address, "listening");
        info!(listener = "admin", address = %admin_address, "listening");
        Ok(Running { address, ca, readiness, tasks, draining, stop, stop_admin })
    }

    /// Waits for a task that ends, which none should, and returns its name.
    pub(crate) async fn task_ended(&mut self) -> &'static str {
        self.tasks.next_ended().await.unwrap_or("everything")
    }

    /// Sets the webhook not ready. From now on, each response closes its connection.
    pub(crate) fn start_draining(&self) {
        self.readiness.set_stopping();
        self.draining.cancel();
    }

    /// Stops accepting, completes requests in flight, and ends every task, the admin server after the webhook.
    ///
    /// # Errors
    /// A task ended too early.
    pub(crate) async fn stop(mut self) -> anyhow::Result<()> {
        for (token, name) in [(&self.stop, WEBHOOK), (&self.stop_admin, ADMIN)] {
            token.cancel();
            match self.tasks.next_ended().await {
                Some(ended) if ended == name => {}
                other => bail!("{} ended unexpectedly", other.unwrap_or("everything")),
            }
        }
        self.tasks.shut_down().await;
        Ok(())
    }
}

/// The most connections to the webhook that leave enough file descriptors for everything else.
fn max_webhook_connections() -> usize {
    let others = most_open(MAX_ADMIN_CONNECTIONS) + OTHER_FILES;
    let wanted = most_open(MAX_WEBHOOK_CONNECTIONS) + others;
    let files = usize::try_from(file_limit::raise(wanted as u64)).unwrap_or(usize::MAX);
    if files >= wanted {
        return MAX_WEBHOOK_CONNECTIONS;
    }
    // One file in nine is reserved for a connection that is being closed.
    let connections = (files.saturating_sub(others) / 9 * 8).clamp(1, MAX_WEBHOOK_CONNECTIONS);
    warn!(files, connections, "the limit on open files allows fewer connections; raise it (ulimit -Hn)");
    connections
}

fn bind(address: SocketAddr, option: &str) -> anyhow::Result<(TcpListener, SocketAddr)> {
    let failed = || format!("failed to listen on {address} ({option})");
    let listener = server::listen(address).with_context(failed)?;
    let bound = listener.local_addr().with_context(failed)?;
    Ok((listener, bound))
}

fn log_warnings(config: &Config, has_cluster: bool) {
    for warning in &config.warnings {
        warn!(%warning, "the settings file applies, but has a warning");
    }
    if config.events && !has_cluster {
        warn!("events: true has no effect without a cluster");
    }
}

fn report_reload(read: Result<&Config, &file::Error>, readiness: &Readiness, metrics: &Metrics) {
    match read {
        Ok(_) => {
            info!("reloaded the settings file");
            metrics.record_reload(ReloadResult::Accepted);
            readiness.set_settings_accepted();
        }
        Err(error) => {
            error!(%error, "the changed settings file is invalid; the last valid settings apply");
            metrics.record_reload(ReloadResult::Rejected);
            readiness.set_settings_rejected(error.to_string().replace('\n', "; "));
        }
    }
}
