//! One connection as an API server makes it, on which answers are looked at.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use dynamo_cache::certificate;
use rustls::{ClientConfig, ClientConnection, StreamOwned};

/// Longer than anything here takes.
const DEADLINE: Duration = Duration::from_secs(30);

/// A connection with TLS.
pub(crate) struct Caller(StreamOwned<ClientConnection, TcpStream>);

/// What came back.
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// The head, in lower case.
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Caller {
    /// Connects, trusting the CAs in a file alone.
    pub(crate) fn connect(address: SocketAddr, ca: &Path) -> std::io::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(DEADLINE))?;
        stream.set_nodelay(true)?;
        let roots = certificate::trusting(&fs::read(ca)?);
        let config = ClientConfig::builder_with_provider(certificate::provider());
        let config = config.with_safe_default_protocol_versions().unwrap();
        let mut config = config.with_root_certificates(roots).with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        let connection = ClientConnection::new(Arc::new(config), "localhost".try_into().unwrap()).unwrap();
        let mut stream = StreamOwned::new(connection, stream);
        while stream.conn.is_handshaking() {
            stream.conn.complete_io(&mut stream.sock)?;
        }
        Ok(Caller(stream))
    }

    /// Sends a review, and reads the answer.
    pub(crate) fn ask(&mut self, body: &[u8]) -> Answer {
        let head = format!(
            "POST /mutate?timeout=3s HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\n\r\n",
            body.len()
        );
        self.0.write_all(head.as_bytes()).unwrap();
        self.0.write_all(body).unwrap();
        self.0.flush().unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            self.0.read_exact(&mut byte).unwrap();
            head.extend(byte);
        }
        let head = String::from_utf8(head).unwrap().to_lowercase();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        let mut body = vec![0; length.map_or(0, |length| length.parse().unwrap())];
        self.0.read_exact(&mut body).unwrap();
        Answer { status: head.split(' ').nth(1).unwrap().parse().unwrap(), head, body }
    }
}
