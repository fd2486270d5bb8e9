//! The least that a webhook can do: it reads the body and allows. The server, and so TLS, HTTP and deadlines, are ours.

use std::fs;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::header;
use axum::response::IntoResponse as _;
use axum::routing::post;
use dynamo_cache::certificate;
use dynamo_cache::metrics::Listener;
use dynamo_cache::server::{self, Server, Timeouts};
use tokio::net::TcpListener;
use tokio::runtime::Builder;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// To every question; the uid is that of the samples.
pub(crate) const ANSWER: &str = r#"{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","response":{"uid":"705ab4f5-6393-11e8-b7cc-42010a800002","allowed":true}}"#;

/// Serves until it is killed, with as many threads as `serve` has on two processors.
pub(crate) fn run(address: &str, ca: &str) {
    let minted = certificate::mint(None).unwrap();
    fs::write(ca, &minted.ca).unwrap();
    let (_keep, tls) = watch::channel(Some(minted.identity.tls));
    let echo = async |body: Body| {
        to_bytes(body, usize::MAX).await.unwrap();
        ([(header::CONTENT_TYPE, "application/json")], ANSWER).into_response()
    };
    let server = Server {
        max_connections: 256,
        listener: Listener::Webhook,
        tls: Some(tls),
        routes: Router::new().route("/mutate", post(echo)),
        timeouts: Timeouts {
            handshake_and_head: Duration::from_secs(10),
            keep_alive: Duration::from_secs(120),
            drain: Duration::from_secs(7),
        },
        draining: CancellationToken::new(),
        metrics: None,
    };
    let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let listener = TcpListener::bind(address).await.unwrap();
        server::run(listener, server, std::future::pending()).await;
    });
}
