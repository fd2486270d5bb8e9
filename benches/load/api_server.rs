//! The stand-in for an API server, as a process that a webhook can watch.

use std::time::Duration;

use dynamo_cache::metrics::Listener;
use dynamo_cache::server::{self, Server, Timeouts};
use tokio::net::TcpListener;
use tokio::runtime::Builder;
use tokio_util::sync::CancellationToken;

use crate::cluster;

/// Serves plain HTTP until it is killed.
pub(crate) fn run(address: &str, namespaces: &str) {
    let long = Duration::from_secs(3600);
    let server = Server {
        max_connections: 256,
        listener: Listener::Webhook,
        tls: None,
        routes: cluster::routes(namespaces.parse().unwrap()),
        timeouts: Timeouts { handshake_and_head: long, keep_alive: long, drain: Duration::ZERO },
        draining: CancellationToken::new(),
        metrics: None,
    };
    let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    runtime.block_on(async {
        let listener = TcpListener::bind(address).await.unwrap();
        server::run(listener, server, std::future::pending()).await;
    });
}
