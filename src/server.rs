//! Serves HTTP/1.1, over TLS or plain, until it is stopped, and then drains connections.

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

use crate::metrics::{HandshakeResult, Listener, Metrics};

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
use timeouts::TimeoutStream;
pub use timeouts::Timeouts;

/// The pause after a failed accept. The usual cause is a lack of file descriptors, and one may be free soon.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The buffer that hyper may use for a head and for the bytes after it: hyper's minimum. The head of an API server has
/// less than 1 KiB.
const HEAD_BUFFER: usize = 8 * 1024;

/// The bytes that rustls may buffer: one TLS record. A response has its own buffer, which counts against a budget.
const TLS_BUFFER: usize = 16 * 1024;

/// A server on one listener.
#[derive(Clone, Debug)]
pub struct Server {
    /// The TLS configuration, read for each handshake. `None` serves plain HTTP. While the channel has no
    /// configuration, connections are closed.
    pub tls: Option<watch::Receiver<Option<Arc<ServerConfig>>>>,
    /// The routes.
    pub routes: Router,
    /// The most connections. At the limit, the connection with the least claim is closed for a new one.
    pub max_connections: usize,
    /// The listener, as a label of evictions.
    pub listener: Listener,
    /// The timeouts.
    pub timeouts: Timeouts,
    /// Once it is cancelled, each response closes its connection.
    pub draining: CancellationToken,
    /// Counts evictions and, on the webhook listener, connections and handshakes. `None` counts nothing.
    pub metrics: Option<Arc<Metrics>>,
}

/// Serves until `stop` resolves, then stops accepting, closes idle connections, and completes requests in flight.
///
/// Returns when every connection is closed, after the drain timeout at the latest.
pub async fn run(listener: TcpListener, server: Server, stop: impl Future<Output = ()>) {
    let server = Arc::new(server);
    let tasks = TaskTracker::new();
    let connections = Connections::new(server.max_connections, server.listener, server.metrics.clone());
    let (drain, abort) = (CancellationToken::new(), CancellationToken::new());
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
                let (server, drain) = (Arc::clone(&server), drain.clone());
                tasks.spawn(async move { server.serve(stream, slot, drain).await });
                // A request that has already arrived is read before its connection becomes the oldest of a crowd.
                yield_now().await;
            }
            Err(error) => {
                if !std::mem::replace(&mut refused, true) {
                    warn!(%error, "failed to accept a connection; retrying without further log lines");
                }
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    drop(listener);
    tasks.close();
    drain.cancel();
    if timeout(server.timeouts.drain, tasks.wait()).await.is_err() {
        warn!(connections = tasks.len(), "closed connections that did not drain in time");
        abort.cancel();
        tasks.wait().await;
    }
}

impl Server {
    async fn serve(&self, stream: TcpStream, slot: Slot, drain: CancellationToken) {
        let counted = self.metrics.as_deref().filter(|_| self.listener == Listener::Webhook);
        let _open = counted.map(OpenConnection::count);
        slot.handle.until_evicted(self.connection(stream, slot.handle.clone(), drain)).await;
    }

    async fn connection(&self, stream: TcpStream, handle: Handle, drain: CancellationToken) {
        let stream = Socket::new(stream, handle.clone());
        let Some(tls) = &self.tls else { return self.serve_http(stream, handle, drain).await };
        let tls = tls.borrow().clone();
        let Some(tls) = tls else { return debug!("closed a connection: there is no certificate yet") };
        let limited = |session: &mut ServerConnection| session.set_buffer_limit(Some(TLS_BUFFER));
        let accepted = self.timeouts.handshake(TlsAcceptor::from(tls).accept_with(stream, limited)).await;
        let result = match &accepted {
            Ok(Ok(_)) => HandshakeResult::Completed,
            Ok(Err(_)) => HandshakeResult::Failed,
            Err(_) => HandshakeResult::Timeout,
        };
        if let Some(metrics) = &self.metrics {
            metrics.record_handshake(result);
        }
        match accepted {
            Ok(Ok(stream)) => {
                handle.reset_unproductive();
                self.serve_http(stream, handle, drain).await;
            }
            Ok(Err(error)) => debug!(%error, "a TLS handshake failed"),
            Err(_) => debug!("a TLS handshake timed out"),
        }
    }

    async fn serve_http(&self, stream: impl AsyncRead + AsyncWrite + Unpin, handle: Handle, drain: CancellationToken) {
        let stream = TimeoutStream::new(stream, handle.clone(), self.timeouts);
        let routes = TowerToHyperService::new(self.routes.clone());
        let service = service_fn(|mut request: hyper::Request<Incoming>| {
            handle.enter(Phase::Body);
            request.extensions_mut().insert(handle.clone());
            let response = routes.call(request);
            let handle = &handle;
            async move {
                let mut response = response.await?;
                if self.draining.is_cancelled() {
                    response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
                }
                handle.enter(Phase::Response);
                Ok::<_, Infallible>(response)
            }
        });
        // hyper's own timeout for the head would also run between requests, so `TimeoutStream` has those after the handshake.
        let mut http = http1::Builder::new();
        http.header_read_timeout(None).max_buf_size(HEAD_BUFFER);
        let connection = http.serve_connection(TokioIo::new(stream), service);
        let mut connection = std::pin::pin!(connection);
        let ended = tokio::select! {
            ended = connection.as_mut() => ended,
            () = drain.cancelled() => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(error) = ended {
            debug!(%error, "a connection ended early");
        }
    }
}

/// Counts a connection as open until it is dropped.
struct OpenConnection<'m>(&'m Metrics);

impl<'m> OpenConnection<'m> {
    fn count(metrics: &'m Metrics) -> Self {
        metrics.connections.inc();
        OpenConnection(metrics)
    }
}

impl Drop for OpenConnection<'_> {
    fn drop(&mut self) {
        self.0.connections.dec();
    }
}
