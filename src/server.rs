//! Serve HTTP/1.1, over TLS or plain, until told to stop; then finish what is in flight.

use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::http::{HeaderValue, header};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, warn};

use crate::metrics::{Metrics, Shake};

mod deadline;
pub mod limit;
pub mod probe;
pub mod review_log;
pub mod route;

use deadline::{Deadlined, Stage};

/// How long we wait after a failed accept: as a rule we are out of file descriptors, and one may be free soon.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// How long each wait on a connection may take.
#[derive(Clone, Copy, Debug)]
pub struct Deadlines {
    /// From the accepted connection to the end of its TLS handshake, from there to the first byte, and from the first
    /// byte of a request to the end of its head.
    pub silent: Duration,
    /// Between an answer and the next request.
    pub idle: Duration,
    /// From the word to stop to the last answer.
    pub finish: Duration,
}

/// What answers on a listener.
#[derive(Clone, Debug)]
pub struct Server {
    /// What shakes hands, each time anew; none: plain HTTP. While there is none inside, connections are closed.
    pub tls: Option<watch::Receiver<Option<Arc<ServerConfig>>>>,
    /// What answers.
    pub routes: Router,
    /// Most connections at once; more wait until one is closed.
    pub places: usize,
    /// How long we wait.
    pub deadlines: Deadlines,
    /// Where it is cancelled, each answer is the last on its connection.
    pub draining: CancellationToken,
    /// Where connections and handshakes are counted; none: they are not.
    pub metrics: Option<Arc<Metrics>>,
}

/// Serves until `stop`, then no longer accepts, closes what is idle, and finishes what is in flight.
///
/// Returns when every connection is closed, at the latest after the deadline to finish.
pub async fn run(listener: TcpListener, server: Server, stop: impl Future<Output = ()>) {
    let server = Arc::new(server);
    let connections = TaskTracker::new();
    let places = Arc::new(Semaphore::new(server.places));
    let (finish, abort) = (CancellationToken::new(), CancellationToken::new());
    let mut stop = std::pin::pin!(stop);
    let mut refused = false;
    loop {
        let accepted = tokio::select! {
            () = &mut stop => break,
            accepted = accept(&listener, &places) => accepted,
        };
        match accepted {
            Ok((stream, place)) => {
                refused = false;
                let (server, finish, abort) = (Arc::clone(&server), finish.clone(), abort.clone());
                connections.spawn(async move {
                    let _place = place;
                    let _ = abort.run_until_cancelled(server.connection(stream, finish)).await;
                });
            }
            Err(error) => {
                if !std::mem::replace(&mut refused, true) {
                    warn!(%error, "failed to accept a connection; trying again, silently until it works");
                }
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    drop(listener);
    connections.close();
    finish.cancel();
    if timeout(server.deadlines.finish, connections.wait()).await.is_err() {
        warn!(connections = connections.len(), "cut off what did not finish in time");
        abort.cancel();
        connections.wait().await;
    }
}

/// Waits for a free place, then for a connection. Who comes when all places are taken waits in the system's queue, until
/// one of the silent connections has met its deadline.
async fn accept(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
) -> io::Result<(TcpStream, Option<OwnedSemaphorePermit>)> {
    // Nobody closes it, so there always is a place in the end.
    let place = Arc::clone(places).acquire_owned().await.ok();
    let (stream, _) = listener.accept().await?;
    Ok((stream, place))
}

impl Server {
    async fn connection(&self, stream: TcpStream, finish: CancellationToken) {
        let _open = self.metrics.as_deref().map(Open::count);
        // Answers are written whole, so there is nothing to wait for; where it fails we are only slower.
        let _ = stream.set_nodelay(true);
        let Some(tls) = &self.tls else { return self.converse(stream, finish).await };
        let tls = tls.borrow().clone();
        let Some(tls) = tls else { return debug!("there is no certificate yet") };
        let shaken = timeout(self.deadlines.silent, TlsAcceptor::from(tls).accept(stream)).await;
        let result = match &shaken {
            Ok(Ok(_)) => Shake::Done,
            Ok(Err(_)) => Shake::Failed,
            Err(_) => Shake::Late,
        };
        if let Some(metrics) = &self.metrics {
            metrics.shook_hands(result);
        }
        match shaken {
            Ok(Ok(stream)) => self.converse(stream, finish).await,
            Ok(Err(error)) => debug!(%error, "a TLS handshake failed"),
            Err(_) => debug!("a TLS handshake took too long"),
        }
    }

    async fn converse(&self, stream: impl AsyncRead + AsyncWrite + Unpin, finish: CancellationToken) {
        let stage = Arc::new(Stage::default());
        let stream = Deadlined::new(stream, Arc::clone(&stage), self.deadlines);
        let routes = TowerToHyperService::new(self.routes.clone());
        let service = service_fn(|request: hyper::Request<Incoming>| {
            stage.asked();
            let answer = routes.call(request);
            let stage = &stage;
            async move {
                let mut answer = answer.await?;
                if self.draining.is_cancelled() {
                    answer.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
                }
                stage.answered();
                Ok::<_, Infallible>(answer)
            }
        });
        // hyper's own deadline for the head would also run between requests, so `Deadlined` has all of them.
        let connection =
            http1::Builder::new().header_read_timeout(None).serve_connection(TokioIo::new(stream), service);
        let mut connection = std::pin::pin!(connection);
        let ended = tokio::select! {
            ended = connection.as_mut() => ended,
            () = finish.cancelled() => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(error) = ended {
            debug!(%error, "a connection ended early");
        }
    }
}

/// A connection that is counted as open for as long as this lives.
struct Open<'m>(&'m Metrics);

impl<'m> Open<'m> {
    fn count(metrics: &'m Metrics) -> Self {
        metrics.connections.inc();
        Open(metrics)
    }
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.0.connections.dec();
    }
}
