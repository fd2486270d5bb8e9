//! Calls the webhook twice over one connection, as an API server would.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::{Request, header};
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use crate::certificate;

/// How long both calls may take together: the maximum of a webhook's `timeoutSeconds`.
const DEADLINE: Duration = Duration::from_secs(30);

/// The answer, and how long it took.
#[derive(Debug)]
pub(super) struct Answers {
    /// The address of the server.
    pub(super) address: SocketAddr,
    /// The answer to the second call.
    pub(super) review: Value,
    /// The time of the first call, with connection and handshake.
    pub(super) first: Duration,
    /// The time of the second call.
    pub(super) second: Duration,
}

/// Sends the same review twice over one connection, which trusts only `ca`, and measures both calls.
///
/// # Errors
/// The connection fails, the certificate is not trusted, or the server does not answer with a review.
pub(super) async fn call(address: SocketAddr, ca: &str, review: Value) -> anyhow::Result<Answers> {
    let review = Bytes::from(serde_json::to_vec(&review)?);
    timeout(DEADLINE, call_twice(address, connector(ca)?, review)).await.context("the server did not answer in time")?
}

async fn call_twice(address: SocketAddr, tls: TlsConnector, request: Bytes) -> anyhow::Result<Answers> {
    let began = Instant::now();
    let stream = TcpStream::connect(address).await.context("failed to connect")?;
    let stream = tls.connect(ServerName::try_from("localhost")?, stream).await.context("the TLS handshake failed")?;
    let (mut sender, connection) = handshake(TokioIo::new(stream)).await?;
    let calls = async {
        post(&mut sender, request.clone()).await?;
        let (first, again) = (began.elapsed(), Instant::now());
        let review = post(&mut sender, request).await?;
        Ok(Answers { address, review, first, second: again.elapsed() })
    };
    tokio::select! {
        // Poll the calls first: the connection may end as soon as the last answer is complete.
        biased;
        answers = calls => answers,
        ended = connection => {
            ended?;
            anyhow::bail!("the server closed the connection")
        }
    }
}

async fn post(sender: &mut SendRequest<Full<Bytes>>, body: Bytes) -> anyhow::Result<Value> {
    let request = Request::post("/mutate?timeout=3s")
        .header(header::HOST, "localhost")
        .header(header::CONTENT_TYPE, "application/json")
        .body(Full::new(body))?;
    sender.ready().await?;
    let answer = sender.send_request(request).await?;
    let status = answer.status();
    let body = answer.into_body().collect().await?.to_bytes();
    ensure!(status.is_success(), "the server answered {status}: {}", String::from_utf8_lossy(&body));
    serde_json::from_slice(&body).context("failed to read the answer")
}

/// A TLS connector that trusts one CA, and none of this machine's.
fn connector(ca: &str) -> anyhow::Result<TlsConnector> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(ca.as_bytes())?)?;
    let mut config = ClientConfig::builder_with_provider(certificate::provider())
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsConnector::from(Arc::new(config)))
}
