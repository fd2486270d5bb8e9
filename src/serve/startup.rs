//! The running webhook: every part of it, and how it is stopped.

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
use crate::metrics::{Listener, Metrics, Reading};
use crate::readiness::{Condition, Readiness, SettingsSource};
use crate::serve::certificate_source;
use crate::serve::certificate_source::{Kept, Means};
use crate::serve::file_limit;
use crate::serve::options::{Certificate, Prepared, World, prepare};
use crate::serve::tasks::Parts;
use crate::serve::watches;
use crate::server;
use crate::server::admin;
use crate::server::limits::Limits;
use crate::server::review_log::ReviewLog;
use crate::server::webhook::Webhook;
use crate::server::{Deadlines, Server, most_open};

/// The part that answers reviews.
const WEBHOOK: &str = "the webhook's server";

/// Most connections of the webhook at once. An API server keeps 25 idle ones and was seen to open two hundred in a burst.
///
/// What the process takes at most, in MiB, below the 256 of the chart:
///
/// | | |
/// |---|---|
/// | the program, its watches apart | 25 |
/// | 864 connections, those that are being closed included, of 44 KiB: TLS and its records 28, a head 8, an answer's head 8 | 37 |
/// | what the kernel holds for each of them of an answer that was written and is not read: 46 KiB were seen | 39 |
/// | 96 answers that are not written, of 220 KiB: buffers of the kernel 64 and 64, of TLS and HTTP | 21 |
/// | large bodies and answers, see `server::limit` | 64 |
/// | small bodies and answers | 16 |
/// | what is read of pods | 48 |
const CALLERS: usize = 768;

/// Most connections of those who probe.
const PROBERS: usize = 128;

/// For the head of a probe: a kubelet gives a probe one second by default.
const PROBE_HEAD: Duration = Duration::from_secs(3);

/// Between two requests on the admin port. A kubelet opens a connection for each probe, and a Prometheus that comes less often
/// than this opens one again.
const PROBE_IDLE: Duration = Duration::from_secs(10);

/// Files besides: the cluster's connections, settings, certificates, the log.
const OTHER_FILES: usize = 128;

/// The part that answers probes.
const ADMIN: &str = "the server of probes and metrics";

/// A webhook that answers.
#[derive(Debug)]
pub(crate) struct Running {
    /// Where it answers.
    pub(crate) address: SocketAddr,
    /// The CA by which it is to be trusted, where it minted one, in PEM.
    pub(crate) ca: Option<String>,
    readiness: Arc<Readiness>,
    parts: Parts,
    draining: CancellationToken,
    stop: CancellationToken,
    stop_admin: CancellationToken,
}

impl Running {
    /// Reads everything, binds both sockets and starts every part.
    ///
    /// # Errors
    /// Something that was asked for is wrong, or a socket cannot be bound.
    pub(crate) async fn start(options: &Serve) -> anyhow::Result<Self> {
        let Prepared { settings, certificate, clients, world } = prepare(options).await?;
        let (listener, address) = bind(options.listen, "--listen")?;
        let (admin_listener, admin_address) = bind(options.admin_listen, "--admin-listen")?;

        let metrics = Arc::new(Metrics::default());
        let looked_after = options.called.service.is_some();
        let needed: &[_] = match world {
            World::Cluster(_) if looked_after => &Condition::ALL,
            World::Cluster(_) => &[Condition::Certificate, Condition::Claims, Condition::Namespaces],
            World::Told(_) => &[Condition::Certificate],
        };
        let name = options.config.as_deref().map_or("built in".to_owned(), |path| path.display().to_string());
        let source = SettingsSource { name, since: Instant::now(), refused: None };
        let readiness = Arc::new(Readiness::new(needed, source));
        let ca = if let Certificate::Standalone(minted) = &certificate { Some(minted.ca.clone()) } else { None };
        let mut parts = Parts::default();
        let means = Means { options, listens: address, clients, readiness: &readiness, metrics: &metrics };
        let Kept { tls, seen } = certificate_source::keep(certificate, &means, &mut parts);
        let (facts, events) = match world {
            World::Cluster(client) => {
                let facts = Facts::of(&client.0, &options.namespace_selector, options.times.binding_timeout, &metrics);
                watches::missed(&mut parts, options, (&client.0, &facts), seen.clone(), &metrics);
                let events = watches::events(&mut parts, (&client.0, &facts), seen, &metrics);
                (facts, events)
            }
            World::Told(told) => (Facts::Told { namespace: told.namespace.into(), claims: told.claims }, None),
        };
        let has_cluster = events.is_some();

        let [draining, stop, stop_admin] = std::array::from_fn(|_| CancellationToken::new());
        let times = options.times;
        let deadlines = Deadlines { silent: times.silent, idle: times.idle, finish: times.finish };
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
            places: callers(),
            listener: Listener::Webhook,
            routes: webhook.routes(),
            deadlines,
            draining: draining.clone(),
            metrics: Some(Arc::clone(&metrics)),
        };
        let admin = Server {
            tls: None,
            places: PROBERS,
            listener: Listener::Admin,
            routes: admin::routes(Arc::clone(&readiness), Arc::clone(&metrics)),
            deadlines: Deadlines {
                silent: times.silent.min(PROBE_HEAD),
                idle: times.idle.min(PROBE_IDLE),
                finish: times.finish,
            },
            draining: draining.clone(),
            metrics: Some(Arc::clone(&metrics)),
        };

        parts.start(WEBHOOK, server::run(listener, webhook, stop.clone().cancelled_owned()));
        parts.start(ADMIN, server::run(admin_listener, admin, stop_admin.clone().cancelled_owned()));
        watches::decisive(&mut parts, &facts, &readiness);
        if let Some(file) = settings {
            warn_of_settings(&file.current().borrow(), has_cluster);
            let (readiness, metrics) = (Arc::clone(&readiness), metrics);
            let tell = move |read: Result<&Config, &file::Error>| {
                if let Ok(config) = read {
                    warn_of_settings(config, has_cluster);
                }
                tell_of_settings(read, &readiness, &metrics);
            };
            parts.start("the reading of the settings file", file.follow(times.reread, tell));
        }
        info!(part = "webhook", %address, "listening");
        info!(part = "admin", address = %admin_address, "listening");
        Ok(Running { address, ca, readiness, parts, draining, stop, stop_admin })
    }

    /// The name of a part that ended by itself, as none should.
    pub(crate) async fn ended(&mut self) -> &'static str {
        self.parts.ended().await.unwrap_or("everything")
    }

    /// Not ready from now on, and every answer is the last on its connection.
    pub(crate) fn drain(&self) {
        self.readiness.set_stopping();
        self.draining.cancel();
    }

    /// Accepts nothing more, finishes what is in flight, and ends every part: the probes after the webhook.
    ///
    /// # Errors
    /// A part ended that should have lived longer.
    pub(crate) async fn stop(mut self) -> anyhow::Result<()> {
        for (token, name) in [(&self.stop, WEBHOOK), (&self.stop_admin, ADMIN)] {
            token.cancel();
            match self.parts.ended().await {
                Some(ended) if ended == name => {}
                other => bail!("{} ended by itself", other.unwrap_or("everything")),
            }
        }
        self.parts.end().await;
        Ok(())
    }
}

/// Most connections of the webhook that leave files for everything else.
fn callers() -> usize {
    let others = most_open(PROBERS) + OTHER_FILES;
    let wanted = most_open(CALLERS) + others;
    let files = usize::try_from(file_limit::raise(wanted as u64)).unwrap_or(usize::MAX);
    if files >= wanted {
        return CALLERS;
    }
    // Of nine files at most one is that of a connection that is being closed.
    let callers = (files.saturating_sub(others) / 9 * 8).clamp(1, CALLERS);
    warn!(files, callers, "the limit of open files leaves room for fewer callers; raise it (ulimit -Hn)");
    callers
}

fn bind(address: SocketAddr, option: &str) -> anyhow::Result<(TcpListener, SocketAddr)> {
    let failed = || format!("failed to listen on {address} ({option})");
    let listener = server::listen(address).with_context(failed)?;
    let bound = listener.local_addr().with_context(failed)?;
    Ok((listener, bound))
}

fn warn_of_settings(config: &Config, has_cluster: bool) {
    for warning in &config.warnings {
        warn!(%warning, "the settings file applies, and should be written differently");
    }
    if config.events && !has_cluster {
        warn!("events: true, and no cluster to write events to: none are written");
    }
}

fn tell_of_settings(read: Result<&Config, &file::Error>, readiness: &Readiness, metrics: &Metrics) {
    match read {
        Ok(_) => {
            info!("the settings file has changed and applies");
            metrics.read_settings(Reading::Accepted);
            readiness.settings_accepted();
        }
        Err(wrong) => {
            error!(%wrong, "the settings file has changed and is refused; the last good settings apply");
            metrics.read_settings(Reading::Refused);
            readiness.settings_refused(wrong.to_string().replace('\n', "; "));
        }
    }
}
