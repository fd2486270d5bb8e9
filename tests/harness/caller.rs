//! Callers of the webhook: connections, requests and their answers, and the review that most tests ask about.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;

use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned, SupportedProtocolVersion};
use serde_json::Value;

use crate::harness::DEADLINE;

/// Both versions that are served.
pub(crate) const TLS_VERSIONS: &[&SupportedProtocolVersion] = &[&rustls::version::TLS13, &rustls::version::TLS12];

/// A new connection to the server at an address, verified by this name and this CA, in PEM.
pub(crate) fn call(
    address: SocketAddr,
    name: &'static str,
    ca: &str,
    versions: &[&'static SupportedProtocolVersion],
    alpn: &[&[u8]],
) -> Caller<Tls> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(ca.as_bytes()).unwrap()).unwrap();
    let mut config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_protocol_versions(versions)
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
    let connection = ClientConnection::new(Arc::new(config), ServerName::try_from(name).unwrap()).unwrap();
    Caller(StreamOwned::new(connection, connect(address)))
}

/// A connection without TLS.
pub(crate) fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    stream.set_write_timeout(Some(DEADLINE)).unwrap();
    stream.set_nodelay(true).unwrap();
    stream
}

/// A connection with TLS.
pub(crate) type Tls = StreamOwned<ClientConnection, TcpStream>;

/// A connection for requests.
pub(crate) struct Caller<S>(pub(crate) S);

/// What came back.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Answer {
    /// The answer as JSON.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

impl<S: Read + Write> Caller<S> {
    /// Posts a body to `/mutate`.
    pub(crate) fn review(&mut self, body: &[u8]) -> Answer {
        self.ask(&post(body.len()), body)
    }

    /// Sends a request whose head is given whole, and reads its answer.
    pub(crate) fn ask(&mut self, head: &str, body: &[u8]) -> Answer {
        self.0.write_all(head.as_bytes()).unwrap();
        self.0.write_all(body).unwrap();
        self.0.flush().unwrap();
        self.answer()
    }

    /// Reads an answer.
    pub(crate) fn answer(&mut self) -> Answer {
        self.try_answer().unwrap()
    }

    /// Reads an answer, where there is one.
    pub(crate) fn try_answer(&mut self) -> std::io::Result<Answer> {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            self.0.read_exact(&mut byte)?;
            head.extend(byte);
        }
        let head = String::from_utf8(head).unwrap().to_lowercase();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        let mut body = vec![0; length.map_or(0, |length| length.parse().unwrap())];
        self.0.read_exact(&mut body)?;
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        Ok(Answer { status, head, body: String::from_utf8(body).unwrap() })
    }

    /// Waits until the other side has closed the connection.
    pub(crate) fn wait_until_closed(&mut self) {
        let mut rest = Vec::new();
        match self.0.read_to_end(&mut rest) {
            Ok(_) => {}
            Err(error) => {
                let kind = error.kind();
                assert!(!matches!(kind, std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut), "still open");
            }
        }
    }
}

/// The head of a review, as the API server writes it.
pub(crate) fn post(length: usize) -> String {
    format!(
        "POST /mutate?timeout=3s HTTP/1.1\r\nHost: dynamo-cache.dynamo-cache.svc\r\n\
         Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n"
    )
}

/// A review of a vLLM worker; `filler` is the value of one of its variables, in JSON.
pub(crate) fn worker(filler: &str) -> Vec<u8> {
    format!(
        r#"{{"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1","request":{{"uid":"u-1","namespace":"team",
        "kind":{{"group":"","version":"v1","kind":"Pod"}},"operation":"CREATE","object":{{"metadata":{{"name":"w"}},
        "spec":{{"containers":[{{"name":"main","image":"vllm-runtime","command":["python3","-m","dynamo.vllm"],
        "env":[{{"name":"FILLER","value":"{filler}"}}]}}]}}}}}}}}"#
    )
    .into_bytes()
}

/// The patch in an answer, in text.
pub(crate) fn patch(answer: &Answer) -> String {
    use base64::Engine as _;
    let review = answer.json();
    let patch = review["response"]["patch"].as_str().unwrap_or_default();
    String::from_utf8(base64::engine::general_purpose::STANDARD.decode(patch).unwrap()).unwrap()
}
