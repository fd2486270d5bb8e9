//! Many connections at once, more than the webhook takes, each of which makes it hold as much as it can.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::sync::{Arc, Barrier};
use std::time::{Duration, Instant};

use dynamo_cache::open_files;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use socket2::{Domain, SockRef, Socket, Type};

use super::MEMORY_LIMIT;
use super::{Arena, probes};
use crate::harness::wait_for;
use crate::harness::webhook::{BOTH, Caller, DEADLINE, Tls, Webhook, post, worker};

/// The webhook's limit of connections, as `running.rs` has it.
pub(crate) const LIMIT: usize = 768;

/// How many threads do harm: the harm is in the waiting, not in the speed.
const THREADS: usize = 4;

/// For what is said to a webhook that does not listen.
const WRITE_DEADLINE: Duration = Duration::from_secs(2);

/// What is done on a connection; what comes of it is the webhook's choice.
#[derive(Clone, Copy)]
struct Harm {
    /// Whether it begins with a handshake.
    shakes_hands: bool,
    says: fn() -> Vec<u8>,
    /// Whether it waits for an answer.
    reads: bool,
    /// What it says after that.
    adds: &'static [u8],
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
        // Whoever is not listened to does no harm.
        if stream.write_all(&(self.says)()).and_then(|()| stream.flush()).is_ok() && self.reads {
            let _ = stream.read_exact(&mut [0]);
            let _ = stream.write_all(self.adds).and_then(|()| stream.flush());
        }
    }
}

trait Stream: Read + Write {}
impl<S: Read + Write> Stream for S {}

/// Does each harm so many times, from several threads: first all connections are made, then all of it is said, and every
/// connection is kept until the last has said it. Returns how many of them were made.
fn crowd(webhook: &Webhook, harms: &[Harm], times: usize) -> usize {
    open_files::raise(20_000);
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(webhook.ca().as_bytes()).unwrap()).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_protocol_versions(BOTH)
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

/// A webhook in the chart's memory survives a crowd, answers every honest review and every probe meanwhile.
fn survives(name: &'static str, harms: &[Harm], times: usize) {
    // The deadlines are no help here.
    let arena = Arena::open(name, &["--silent", "120s"]);
    arena.during(|webhook| {
        probes::during(webhook, || {
            let (made, wanted) = (crowd(webhook, harms, times), times * harms.len());
            assert!(made > wanted / 2, "{made} of {wanted} connections: that is no crowd");
        });
    });
    arena.close();
}

fn head(length: usize) -> Vec<u8> {
    [b"POST /mutate HTTP/1.1\r\nX: ", &*vec![b'x'; length]].concat()
}

fn over_tls(says: fn() -> Vec<u8>) -> Harm {
    Harm { shakes_hands: true, says, reads: false, adds: b"" }
}

fn plain(says: fn() -> Vec<u8>) -> Harm {
    Harm { shakes_hands: false, says, reads: false, adds: b"" }
}

fn large_head() -> Vec<u8> {
    head(400_000)
}

fn largest_head() -> Vec<u8> {
    head(8_000)
}

fn body() -> Vec<u8> {
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

fn large_hello() -> Vec<u8> {
    hello(64_000)
}

fn largest_hello() -> Vec<u8> {
    hello(20_000)
}

/// A whole review behind a head of this size.
fn headed(length: usize) -> Vec<u8> {
    let review = worker("x");
    let head = post(review.len()).replace("\r\n\r\n", &format!("\r\nX: {}\r\n\r\n", "x".repeat(length)));
    [head.as_bytes(), &review].concat()
}

/// A review whose answer has three megabytes.
fn large_answer() -> Vec<u8> {
    answer_for(990)
}

/// A review whose answer has a tenth of that, and more than a kernel takes of it.
fn medium_answer() -> Vec<u8> {
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
fn pipeline() -> Vec<u8> {
    headed(1).repeat(200)
}

#[test]
fn heads_of_400_kb_without_an_end_stay_within_the_memory_limit() {
    survives("crowd-heads", &[over_tls(large_head)], 600);
}

#[test]
fn more_heads_without_an_end_than_connections_stay_within_the_memory_limit() {
    survives("crowd-more-heads", &[over_tls(largest_head), over_tls(large_head)], LIMIT);
}

#[test]
fn bodies_of_32_kb_without_an_end_stay_within_the_memory_limit() {
    survives("crowd-bodies", &[over_tls(body)], 4_000);
}

#[test]
fn half_hellos_stay_within_the_memory_limit() {
    survives("crowd-hellos", &[plain(large_hello), plain(largest_hello)], 2_000);
}

#[test]
fn connections_idle_after_a_large_head_stay_within_the_memory_limit() {
    let idle = |says: fn() -> Vec<u8>| Harm { reads: true, ..over_tls(says) };
    survives("crowd-idle", &[idle(|| headed(7_000)), idle(|| headed(300_000))], LIMIT);
}

#[test]
fn answers_that_are_not_read_stay_within_the_memory_limit() {
    survives("crowd-answers", &[Harm { reads: true, ..over_tls(large_answer) }], 100);
}

#[test]
fn an_unread_answer_is_evicted_whatever_its_client_says_next() {
    let webhook = Webhook::limited("crowd-next", MEMORY_LIMIT << 20, &["--silent", "120s"]);
    let unread = Harm { reads: true, adds: b"P", ..over_tls(medium_answer) };
    crowd(&webhook, &[unread], LIMIT / 4);
    // A half of them is above the bound, and each but those is closed for the next one.
    let evicted = evicted(&webhook, "answer");
    assert!(evicted >= LIMIT / 16, "{evicted} of {} were evicted", LIMIT / 4);
}

/// How many connections were evicted in a phase.
fn evicted(webhook: &Webhook, phase: &str) -> usize {
    let page = webhook.page("/metrics").body;
    let name = format!("dynamo_cache_connections_evicted_total{{listener=\"webhook\",phase=\"{phase}\"}} ");
    page.lines().find_map(|line| line.strip_prefix(&name)).unwrap_or_else(|| panic!("{page}")).parse().unwrap()
}

/// Connections on which a head was said whose body does not come.
fn without_body(webhook: &Webhook, length: &str, many: usize) -> Vec<Caller<Tls>> {
    let head = format!("POST /mutate HTTP/1.1\r\nHost: x\r\n{length}\r\n\r\n");
    let mut callers: Vec<_> = (0..many).map(|_| webhook.caller()).collect();
    for caller in &mut callers {
        caller.0.write_all(head.as_bytes()).unwrap();
    }
    callers
}

#[test]
fn a_body_is_evicted_for_what_it_holds_and_not_for_its_age() {
    let webhook = Webhook::standalone("crowd-holders", &["--silent", "120s"]);
    let nothing = without_body(&webhook, "Transfer-Encoding: chunked", 100);
    // The whole budget of small bodies.
    let all = without_body(&webhook, "Content-Length: 32768", 512);
    let mut honest = webhook.caller();
    for _ in 0..3 {
        assert_eq!(honest.review(&worker("x")).status, 200);
    }
    let evicted = evicted(&webhook, "body");
    assert!((1..=3).contains(&evicted), "{evicted} were evicted for three reviews");
    drop((nothing, all));
}

#[test]
fn large_bodies_that_do_not_come_keep_no_other_large_one_out() {
    let webhook = Webhook::standalone("crowd-large", &["--silent", "120s"]);
    let silent = without_body(&webhook, "Content-Length: 16777216", 4);
    let mut review = worker("x");
    // JSON may end in any number of spaces.
    review.resize(40_000, b' ');
    // An API server comes again after 503.
    wait_for("a large review", || match webhook.caller().review(&review).status {
        200 => Ok(()),
        status => Err(status.to_string()),
    });
    assert_eq!(evicted(&webhook, "body"), 1, "of the four, one is enough");
    drop(silent);
}

#[test]
fn pipelined_answers_that_are_not_read_stay_within_the_memory_limit() {
    survives("crowd-pipelines", &[over_tls(pipeline)], 300);
}

/// Each of the harms above that needs no answer.
fn every_harm() -> Vec<Harm> {
    let says: [fn() -> Vec<u8>; 6] = [large_head, largest_head, body, pipeline, || headed(7_000), || headed(300_000)];
    [&says.map(over_tls)[..], &[plain(large_hello), plain(largest_hello), plain(Vec::new)]].concat()
}

/// Does all of it so many times.
pub(crate) fn everything(webhook: &Webhook, times: usize) {
    crowd(webhook, &every_harm(), times);
}

#[test]
fn all_of_it_at_once_stays_within_the_memory_limit() {
    survives("crowd-mixed", &every_harm(), 200);
}

#[test]
fn twice_as_many_silent_connections_as_there_may_be_keep_no_review_out() {
    survives("crowd-silent", &[plain(Vec::new)], 3_000);
}

/// So many connections on which nothing is said.
pub(crate) fn silent(address: SocketAddr, connections: usize) -> Vec<TcpStream> {
    silent_from(Ipv4Addr::LOCALHOST, address, connections)
}

/// The same, from an address of the client.
pub(crate) fn silent_from(client: Ipv4Addr, address: SocketAddr, connections: usize) -> Vec<TcpStream> {
    open_files::raise(20_000);
    let connect = |_| {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket.bind(&SocketAddr::from((client, 0)).into()).unwrap();
        socket.connect(&address.into()).unwrap();
        socket.into()
    };
    (0..connections).map(connect).collect()
}

#[test]
#[ignore = "half a minute: tests/run --long"]
fn an_answer_that_is_not_read_is_given_up_after_half_a_minute() {
    let webhook = Webhook::standalone("given-up", &[]);
    let mut silent = webhook.caller();
    SockRef::from(&silent.0.sock).set_recv_buffer_size(4096).unwrap();
    let open =
        |number: usize| webhook.page("/metrics").body.contains(&format!("\ndynamo_cache_connections {number}\n"));
    silent.0.write_all(&large_answer()).unwrap();
    let begun = Instant::now();
    while !open(0) {
        assert!(begun.elapsed() < DEADLINE, "{}", webhook.page("/metrics").body);
    }
    // A deadline may be late, and is never early.
    assert!(begun.elapsed() > Duration::from_secs(29), "given up after {:?}", begun.elapsed());
    drop(silent);
}
