//! One connection as an API server would make it, and two calls over it.

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

/// For everything together: the most that a webhook's `timeoutSeconds` can be.
const DEADLINE: Duration = Duration::from_secs(30);

/// What came back.
#[derive(Debug)]
pub(super) struct Answers {
    /// Where it was asked.
    pub(super) address: SocketAddr,
    /// The answer to both calls.
    pub(super) review: Value,
    /// From nothing to the first answer.
    pub(super) first: Duration,
    /// From the second question to its answer.
    pub(super) second: Duration,
}

/// Asks the same twice, over one connection that trusts `ca` alone, and measures each.
///
/// # Errors
/// The connection, its certificate or an answer is not as it should be.
pub(super) async fn call(address: SocketAddr, ca: &str, question: Value) -> anyhow::Result<Answers> {
    let question = Bytes::from(serde_json::to_vec(&question)?);
    timeout(DEADLINE, both(address, trust(ca)?, question)).await.context("the server did not answer in time")?
}

async fn both(address: SocketAddr, tls: TlsConnector, question: Bytes) -> anyhow::Result<Answers> {
    let began = Instant::now();
    let stream = TcpStream::connect(address).await.context("failed to connect")?;
    let stream = tls.connect(ServerName::try_from("localhost")?, stream).await.context("failed to shake hands")?;
    let (mut sender, connection) = handshake(TokioIo::new(stream)).await?;
    let calls = async {
        once(&mut sender, question.clone()).await?;
        let (first, again) = (began.elapsed(), Instant::now());
        let review = once(&mut sender, question).await?;
        Ok(Answers { address, review, first, second: again.elapsed() })
    };
    tokio::select! {
        // The calls first: the connection may end as soon as they have what they want.
        biased;
        answers = calls => answers,
        ended = connection => {
            ended?;
            anyhow::bail!("the server closed the connection")
        }
    }
}

async fn once(sender: &mut SendRequest<Full<Bytes>>, question: Bytes) -> anyhow::Result<Value> {
    let request = Request::post("/mutate?timeout=3s")
        .header(header::HOST, "localhost")
        .header(header::CONTENT_TYPE, "application/json")
        .body(Full::new(question))?;
    sender.ready().await?;
    let answer = sender.send_request(request).await?;
    let status = answer.status();
    let body = answer.into_body().collect().await?.to_bytes();
    ensure!(status.is_success(), "the server answered {status}: {}", String::from_utf8_lossy(&body));
    serde_json::from_slice(&body).context("failed to read the answer")
}

/// Trusts one CA, and nothing that this machine trusts otherwise.
fn trust(ca: &str) -> anyhow::Result<TlsConnector> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(ca.as_bytes())?)?;
    let mut config = ClientConfig::builder_with_provider(certificate::provider())
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsConnector::from(Arc::new(config)))
}
