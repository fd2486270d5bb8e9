//! Connections that do harm, as many at once as a test asks for.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::sync::{Arc, Barrier};
use std::time::Duration;

use dynamo_cache::serve::file_limit;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use socket2::{Domain, Socket, Type};

use super::caller::{TLS_VERSIONS, Tls, post, worker};
use super::webhook::Webhook;

/// `resources.limits.memory` of the chart, in MiB: a program that takes more is killed.
pub(crate) const MEMORY_LIMIT: u64 = 256;

/// The webhook's limit of connections, `MAX_WEBHOOK_CONNECTIONS` in `serve::startup`.
pub(crate) const CONNECTION_LIMIT: usize = 768;

/// How many threads do harm: the harm is in the waiting, not in the speed.
const THREADS: usize = 4;

/// For what is said to a webhook that does not listen.
const WRITE_DEADLINE: Duration = Duration::from_secs(2);

/// What is done on a connection; what comes of it is the webhook's choice.
#[derive(Clone, Copy)]
pub(crate) struct Harm {
    /// Whether it begins with a handshake.
    pub(crate) shakes_hands: bool,
    pub(crate) says: fn() -> Vec<u8>,
    /// Whether it waits for an answer.
    pub(crate) reads: bool,
    /// What it says after that.
    pub(crate) adds: &'static [u8],
}

/// A connection that does harm.
enum Hostile {
    Tcp(TcpStream),
    Tls(Box<Tls>),
}

impl Harm {
    /// A connection on which nothing was said yet; none where the webhook does not want one.
    fn prepare(&self, address: SocketAddr, config: &Arc<ClientConfig>) -> Option<Hostile> {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        // Its kernel takes next to nothing of what it does not read.
        socket.set_recv_buffer_size(4096).unwrap();
        socket.set_read_timeout(Some(WRITE_DEADLINE)).unwrap();
        socket.set_write_timeout(Some(WRITE_DEADLINE)).unwrap();
        socket.connect_timeout(&address.into(), WRITE_DEADLINE).ok()?;
        if !self.shakes_hands {
            return Some(Hostile::Tcp(socket.into()));
        }
        let name = ServerName::try_from("localhost").unwrap();
        let mut tls = StreamOwned::new(ClientConnection::new(Arc::clone(config), name).unwrap(), socket.into());
        while tls.conn.is_handshaking() {
            tls.conn.complete_io(&mut tls.sock).ok()?;
        }
        Some(Hostile::Tls(Box::new(tls)))
    }

    fn act(&self, hostile: &mut Hostile) {
        let stream: &mut dyn Stream = match hostile {
            Hostile::Tcp(stream) => stream,
            Hostile::Tls(stream) => stream,
        };
        // A connection that the webhook does not read does no harm.
        if stream.write_all(&(self.says)()).and_then(|()| stream.flush()).is_ok() && self.reads {
            let _ = stream.read_exact(&mut [0]);
            let _ = stream.write_all(self.adds).and_then(|()| stream.flush());
        }
    }
}

trait Stream: Read + Write {}
impl<S: Read + Write> Stream for S {}

/// Does each harm a number of times, from several threads: first all connections are made, then all requests are sent, and
/// every connection is kept until the last request is sent. Returns how many connections were made.
pub(crate) fn run_all(webhook: &Webhook, harms: &[Harm], times: usize) -> usize {
    file_limit::raise(20_000);
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(webhook.ca().as_bytes()).unwrap()).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_protocol_versions(TLS_VERSIONS)
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let (config, address, together) = (Arc::new(config), webhook.address, Barrier::new(THREADS));
    let harm = |thread| {
        let mine = (thread..times * harms.len()).step_by(THREADS).map(|number| harms[number % harms.len()]);
        let mut made: Vec<_> = mine.filter_map(|harm| Some((harm, harm.prepare(address, &config)?))).collect();
        together.wait();
        for (harm, hostile) in &mut made {
            harm.act(hostile);
        }
        together.wait();
        made.len()
    };
    std::thread::scope(|scope| {
        let harm = &harm;
        let threads: Vec<_> = (0..THREADS).map(|thread| scope.spawn(move || harm(thread))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    })
}

fn head(length: usize) -> Vec<u8> {
    [b"POST /mutate HTTP/1.1\r\nX: ", &*vec![b'x'; length]].concat()
}

pub(crate) fn over_tls(says: fn() -> Vec<u8>) -> Harm {
    Harm { shakes_hands: true, says, reads: false, adds: b"" }
}

pub(crate) fn plain(says: fn() -> Vec<u8>) -> Harm {
    Harm { shakes_hands: false, says, reads: false, adds: b"" }
}

pub(crate) fn large_head() -> Vec<u8> {
    head(400_000)
}

pub(crate) fn largest_head() -> Vec<u8> {
    head(8_000)
}

pub(crate) fn body() -> Vec<u8> {
    let length = 32 * 1024;
    [post(length).as_bytes(), &vec![b' '; length - 1]].concat()
}

/// A hello of this length, without its last byte, in records of the largest size.
fn hello(length: usize) -> Vec<u8> {
    let [_, high, middle, low] = u32::try_from(length).unwrap().to_be_bytes();
    let message = [&[1, high, middle, low, 3, 3], &*vec![7; length - 3]].concat();
    let records = message.chunks(16 * 1024).flat_map(|part| {
        let [high, low] = u16::try_from(part.len()).unwrap().to_be_bytes();
        [&[22, 3, 1, high, low], part].concat()
    });
    records.collect()
}

pub(crate) fn large_hello() -> Vec<u8> {
    hello(64_000)
}

pub(crate) fn largest_hello() -> Vec<u8> {
    hello(20_000)
}

/// A whole review behind a head of this size.
pub(crate) fn headed(length: usize) -> Vec<u8> {
    let review = worker("x");
    let head = post(review.len()).replace("\r\n\r\n", &format!("\r\nX: {}\r\n\r\n", "x".repeat(length)));
    [head.as_bytes(), &review].concat()
}

/// A review whose answer has three megabytes.
pub(crate) fn large_answer() -> Vec<u8> {
    answer_for(990)
}

/// A review whose answer has a tenth of that, and more than a kernel takes of it.
pub(crate) fn medium_answer() -> Vec<u8> {
    answer_for(99)
}

fn answer_for(containers: usize) -> Vec<u8> {
    let containers: Vec<_> = (0..containers)
        .map(|n| format!(r#"{{"name":"c{n}","restartPolicy":"Always","args":["-mdynamo.vllm"]}}"#))
        .collect();
    let review = String::from_utf8(worker("x"))
        .unwrap()
        .replacen(r#""containers":["#, &format!(r#""initContainers":[{}],"containers":["#, containers.join(",")), 1)
        .into_bytes();
    [post(review.len()).as_bytes(), &review].concat()
}

/// More requests than are taken while none of their answers is.
pub(crate) fn pipeline() -> Vec<u8> {
    headed(1).repeat(200)
}

/// Each of the harms above that needs no answer.
pub(crate) fn every_harm() -> Vec<Harm> {
    let says: [fn() -> Vec<u8>; 6] = [large_head, largest_head, body, pipeline, || headed(7_000), || headed(300_000)];
    [&says.map(over_tls)[..], &[plain(large_hello), plain(largest_hello), plain(Vec::new)]].concat()
}

/// Does every harm a number of times.
pub(crate) fn run_every_harm(webhook: &Webhook, times: usize) {
    run_all(webhook, &every_harm(), times);
}

/// Connections on which nothing is sent.
pub(crate) fn silent_connections(address: SocketAddr, connections: usize) -> Vec<TcpStream> {
    silent_connections_from(Ipv4Addr::LOCALHOST, address, connections)
}

/// The same, from an address of the client.
pub(crate) fn silent_connections_from(client: Ipv4Addr, address: SocketAddr, connections: usize) -> Vec<TcpStream> {
    file_limit::raise(20_000);
    let connect = |_| {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket.bind(&SocketAddr::from((client, 0)).into()).unwrap();
        socket.connect(&address.into()).unwrap();
        socket.into()
    };
    (0..connections).map(connect).collect()
}
