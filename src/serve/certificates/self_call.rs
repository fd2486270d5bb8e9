//! Calls the webhook as the API server would: over a new connection, trusting only the published `caBundle`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, version};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use crate::certificate::provider;
use crate::certificate::trust::Trust;

/// The deadline for the connection and the handshake.
const DEADLINE: Duration = Duration::from_secs(5);

/// Performs a TLS handshake with the server at an address.
///
/// # Errors
/// The connection failed, or the certificate is not trusted.
pub(super) async fn call(address: SocketAddr, host: &str, bundle: &[u8]) -> Result<(), String> {
    // TLS 1.3 only: its client is done before the server rejects the missing client certificate.
    let config = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&version::TLS13])
        .map_err(|error| error.to_string())?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Trust::from_bundle(bundle)))
        .with_no_client_auth();
    let host = ServerName::try_from(host.to_owned()).map_err(|error| error.to_string())?;
    let handshake = async {
        let stream = TcpStream::connect(reachable(address)).await?;
        TlsConnector::from(Arc::new(config)).connect(host, stream).await.map(drop)
    };
    match timeout(DEADLINE, handshake).await {
        Ok(result) => result.map_err(|error| error.to_string()),
        Err(_) => Err(crate::failure::no_answer_within(DEADLINE)),
    }
}

/// The address to connect to if the server listens on every address.
fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}
