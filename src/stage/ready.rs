//! Asks the engine whether it is ready, as a kubelet does: `GET` over plain HTTP, on this pod's own address.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Empty;
use hyper::client::conn::http1;
use hyper::{Request, Uri};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::timeout;

/// How long one question may take.
const DEADLINE: Duration = Duration::from_secs(5);

/// The address of a readiness endpoint: `http://127.0.0.1:PORT/PATH`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    address: SocketAddr,
    path: String,
}

impl Endpoint {
    /// Parses a URL; `None` if it is none of this kind.
    pub fn parse(url: &str) -> Option<Self> {
        let uri: Uri = url.parse().ok()?;
        let path = uri.path_and_query().map_or("/", |path| path.as_str()).to_owned();
        let address: SocketAddr = uri.authority()?.as_str().parse().ok()?;
        (uri.scheme_str() == Some("http") && address.ip().is_loopback()).then_some(Endpoint { address, path })
    }

    /// The port, whose listening socket is the engine's.
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// Whether the engine answers with success, which for a kubelet is 200 to 399.
    pub async fn is_ready(&self) -> bool {
        timeout(DEADLINE, self.get())
            .await
            .is_ok_and(|status| status.is_some_and(|status| (200..400).contains(&status)))
    }

    /// The status of an answer.
    async fn get(&self) -> Option<u16> {
        let stream = TcpStream::connect(self.address).await.ok()?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.ok()?;
        let request = Request::get(&self.path).header("host", self.address.to_string());
        let request = request.body(Empty::<Bytes>::new()).ok()?;
        // The connection ends with its sender, or before it where the engine closes it right after the answer.
        let ask = async move { sender.send_request(request).await.ok().map(|answer| answer.status().as_u16()) };
        let (status, _) = tokio::join!(ask, connection);
        status
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use super::Endpoint;

    /// Whether an engine that answers with this head is ready. It keeps the connection open, unless it says otherwise.
    async fn answer(head: &str) -> bool {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/health?live", listener.local_addr().unwrap());
        let serve = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = vec![0; 1000];
            let count = stream.read(&mut request).await.unwrap();
            let request = String::from_utf8_lossy(&request[..count]).into_owned();
            assert!(request.starts_with("GET /health?live HTTP/1.1\r\n"), "{request}");
            stream.write_all(format!("HTTP/1.1 {head}\r\n\r\n").as_bytes()).await.unwrap();
            let _open = Some(stream).filter(|_| !head.contains("close"));
            std::future::pending::<()>().await;
        };
        let endpoint = Endpoint::parse(&url).unwrap();
        tokio::select! { ready = endpoint.is_ready() => ready, () = serve => false }
    }

    #[tokio::test]
    async fn an_engine_is_ready_when_it_answers_as_a_kubelet_wants_it() {
        for _ in 0..20 {
            assert!(answer("200 OK\r\nconnection: close").await);
        }
        assert!(answer("200 OK\r\ncontent-length: 0").await);
        assert!(answer("200 OK\r\ncontent-length: 1000").await, "the content does not matter");
        assert!(answer("302 Found\r\ncontent-length: 0").await);
        assert!(!answer("503 Service Unavailable\r\ncontent-length: 0").await);
        assert!(!answer("not HTTP").await);
        assert!(!Endpoint::parse("http://127.0.0.1:1/").unwrap().is_ready().await);
    }

    #[test]
    fn only_plain_http_on_the_pods_own_address_is_asked() {
        assert_eq!(Endpoint::parse("http://127.0.0.1:8000").unwrap().path, "/");
        assert_eq!(Endpoint::parse("http://[::1]:8000/live").unwrap().port(), 8000);
        for url in ["", "127.0.0.1:8000", "https://127.0.0.1:8000/", "http://localhost:8000/", "http://10.0.0.1:80/"] {
            assert_eq!(Endpoint::parse(url), None, "{url}");
        }
    }
}
