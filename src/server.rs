//! Serve HTTP/1.1, over TLS or plain, until told to stop; then finish what is in flight.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::http::{HeaderValue, header};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use rustls::{ServerConfig, ServerConnection};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::yield_now;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, warn};

use crate::metrics::{Listener, Metrics, Shake};

mod connections;
mod timeouts;
pub mod limits;
mod metrics_page;
pub mod admin;
pub mod review_log;
pub mod webhook;
mod socket;

pub(crate) use connections::most_open;
use connections::{Connections, Handle, Phase, Slot};
use socket::Socket;
pub use socket::listen;
use timeouts::Deadlined;

/// How long we wait after a failed accept: as a rule we are out of file descriptors, and one may be free soon.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What hyper may hold of a head, and of what follows it: the least that it takes. The head of an API server is below 1 KiB.
const HEAD_BUFFER: usize = 8 * 1024;

/// What may wait to be encrypted or sent: a record of TLS. An answer waits in its own buffer, which is counted.
const TLS_BUFFER: usize = 16 * 1024;

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
    /// Most connections at once; for one more, the one with the least claim is closed.
    pub places: usize,
    /// Which listener it is, where evictions are counted.
    pub listener: Listener,
    /// How long we wait.
    pub deadlines: Deadlines,
    /// Where it is cancelled, each answer is the last on its connection.
    pub draining: CancellationToken,
    /// Where evictions are counted, and of the webhook connections and handshakes; none: nowhere.
    pub metrics: Option<Arc<Metrics>>,
}

/// Serves until `stop`, then no longer accepts, closes what is idle, and finishes what is in flight.
///
/// Returns when every connection is closed, at the latest after the deadline to finish.
pub async fn run(listener: TcpListener, server: Server, stop: impl Future<Output = ()>) {
    let server = Arc::new(server);
    let tasks = TaskTracker::new();
    let connections = Connections::new(server.places, server.listener, server.metrics.clone());
    let (finish, abort) = (CancellationToken::new(), CancellationToken::new());
    let mut stop = std::pin::pin!(stop);
    let mut refused = false;
    let accept = async || {
        let (stream, address) = listener.accept().await?;
        Ok::<_, std::io::Error>((stream, connections.admit(address.ip(), &abort).await))
    };
    loop {
        let accepted = tokio::select! {
            () = &mut stop => break,
            accepted = accept() => accepted,
        };
        match accepted {
            Ok((stream, slot)) => {
                refused = false;
                let (server, finish) = (Arc::clone(&server), finish.clone());
                tasks.spawn(async move { server.serve(stream, slot, finish).await });
                // A request that is here already is read before its connection is the oldest of a crowd.
                yield_now().await;
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
    tasks.close();
    finish.cancel();
    if timeout(server.deadlines.finish, tasks.wait()).await.is_err() {
        warn!(connections = tasks.len(), "cut off what did not finish in time");
        abort.cancel();
        tasks.wait().await;
    }
}

impl Server {
    async fn serve(&self, stream: TcpStream, slot: Slot, finish: CancellationToken) {
        let counted = self.metrics.as_deref().filter(|_| self.listener == Listener::Webhook);
        let _open = counted.map(Open::count);
        slot.handle.until_evicted(self.connection(stream, slot.handle.clone(), finish)).await;
    }

    async fn connection(&self, stream: TcpStream, handle: Handle, finish: CancellationToken) {
        let stream = Socket::new(stream, handle.clone());
        let Some(tls) = &self.tls else { return self.converse(stream, handle, finish).await };
        let tls = tls.borrow().clone();
        let Some(tls) = tls else { return debug!("there is no certificate yet") };
        let limited = |session: &mut ServerConnection| session.set_buffer_limit(Some(TLS_BUFFER));
        let shaken = timeout(self.deadlines.silent, TlsAcceptor::from(tls).accept_with(stream, limited)).await;
        let result = match &shaken {
            Ok(Ok(_)) => Shake::Done,
            Ok(Err(_)) => Shake::Failed,
            Err(_) => Shake::Late,
        };
        if let Some(metrics) = &self.metrics {
            metrics.shook_hands(result);
        }
        match shaken {
            Ok(Ok(stream)) => {
                handle.progressed();
                self.converse(stream, handle, finish).await;
            }
            Ok(Err(error)) => debug!(%error, "a TLS handshake failed"),
            Err(_) => debug!("a TLS handshake took too long"),
        }
    }

    async fn converse(&self, stream: impl AsyncRead + AsyncWrite + Unpin, handle: Handle, finish: CancellationToken) {
        let stream = Deadlined::new(stream, handle.clone(), self.deadlines);
        let routes = TowerToHyperService::new(self.routes.clone());
        let service = service_fn(|mut request: hyper::Request<Incoming>| {
            handle.enter(Phase::Body);
            request.extensions_mut().insert(handle.clone());
            let answer = routes.call(request);
            let handle = &handle;
            async move {
                let mut answer = answer.await?;
                if self.draining.is_cancelled() {
                    answer.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
                }
                handle.enter(Phase::Answer);
                Ok::<_, Infallible>(answer)
            }
        });
        // hyper's own deadline for the head would also run between requests, so `Deadlined` has all of them.
        let mut http = http1::Builder::new();
        http.header_read_timeout(None).max_buf_size(HEAD_BUFFER);
        let connection = http.serve_connection(TokioIo::new(stream), service);
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
