//! Calls ourselves as the API server would: over a fresh connection, trusting what is published and nothing else.

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

/// For the connection and the handshake.
const DEADLINE: Duration = Duration::from_secs(5);

/// Shakes hands with whoever listens at an address.
///
/// # Errors
/// Why no connection came about, or why it is not trusted.
pub(super) async fn call(listens: SocketAddr, host: &str, bundle: &[u8]) -> Result<(), String> {
    // TLS 1.3 alone: there we are done before the server judges that we have no certificate.
    let config = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&version::TLS13])
        .map_err(|error| error.to_string())?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Trust::by(bundle)))
        .with_no_client_auth();
    let host = ServerName::try_from(host.to_owned()).map_err(|error| error.to_string())?;
    let shake = async {
        let stream = TcpStream::connect(reachable(listens)).await?;
        TlsConnector::from(Arc::new(config)).connect(host, stream).await.map(drop)
    };
    match timeout(DEADLINE, shake).await {
        Ok(shaken) => shaken.map_err(|error| error.to_string()),
        Err(_) => Err(crate::failure::no_answer_within(DEADLINE)),
    }
}

/// The address by which we reach what listens on every address.
fn reachable(listens: SocketAddr) -> SocketAddr {
    let address = match listens.ip() {
        IpAddr::V4(address) if address.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(address) if address.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        address => address,
    };
    SocketAddr::new(address, listens.port())
}
