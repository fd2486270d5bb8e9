//! One connection as an API server makes it, on which answers are looked at.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use dynamo_cache::certificate::{self, ca_bundle};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

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
    /// Connects to a server of this machine, trusting the CAs in a file alone.
    pub(crate) fn connect(address: SocketAddr, ca: &Path) -> std::io::Result<Self> {
        Self::connect_by_name(address, "localhost", &fs::read(ca)?)
    }

    /// Connects by a name, trusting these CAs, in PEM, alone.
    pub(crate) fn connect_by_name(address: SocketAddr, name: &'static str, ca: &[u8]) -> std::io::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(DEADLINE))?;
        stream.set_nodelay(true)?;
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(ca_bundle::read(ca));
        let config = ClientConfig::builder_with_provider(certificate::provider());
        let config = config.with_safe_default_protocol_versions().unwrap();
        let mut config = config.with_root_certificates(roots).with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        let connection = ClientConnection::new(Arc::new(config), name.try_into().unwrap()).unwrap();
        let mut stream = StreamOwned::new(connection, stream);
        while stream.conn.is_handshaking() {
            stream.conn.complete_io(&mut stream.sock)?;
        }
        Ok(Caller(stream))
    }

    /// Sends a review, and reads the answer.
    pub(crate) fn ask(&mut self, body: &[u8]) -> Answer {
        self.send(body.len(), body);
        let head = self.read_until("\r\n\r\n").to_lowercase();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        let body = match length {
            Some(length) => self.read(length.parse().unwrap()),
            None => self.read_chunks(),
        };
        Answer { status: head.split(' ').nth(1).unwrap().parse().unwrap(), head, body }
    }

    fn read(&mut self, length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        self.0.read_exact(&mut bytes).unwrap();
        bytes
    }

    fn read_until(&mut self, end: &str) -> String {
        let mut text = Vec::new();
        while !text.ends_with(end.as_bytes()) {
            text.extend(self.read(1));
        }
        String::from_utf8(text).unwrap()
    }

    /// Go writes answers of more than 2 kB in chunks.
    fn read_chunks(&mut self) -> Vec<u8> {
        let mut body = Vec::new();
        loop {
            let size = usize::from_str_radix(self.read_until("\r\n").trim_end(), 16).unwrap();
            body.extend(self.read(size));
            self.read_until("\r\n");
            if size == 0 {
                return body;
            }
        }
    }

    /// Announces a body of a length, and sends the beginning of it.
    pub(crate) fn send(&mut self, length: usize, beginning: &[u8]) {
        let head = format!(
            "POST /mutate?timeout=3s HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
             Content-Length: {length}\r\n\r\n"
        );
        self.0.write_all(head.as_bytes()).unwrap();
        self.0.write_all(beginning).unwrap();
        self.0.flush().unwrap();
    }
}
