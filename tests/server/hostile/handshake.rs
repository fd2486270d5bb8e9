//! Callers that do not get as far as a request.

use std::io::{Read as _, Write as _};
use std::process::{Command, Stdio};

use super::Arena;
use crate::harness::caller::{Caller, post, worker};
use crate::harness::webhook::Webhook;

/// The first message of a client with a version of TLS, as bytes.
fn hello(version: [u8; 2]) -> Vec<u8> {
    // AES with SHA-1 by ECDHE, and by RSA, which every client of that time had.
    let ciphers = [0xc0, 0x09, 0xc0, 0x13, 0x00, 0x2f, 0x00, 0x35];
    let mut body = version.to_vec();
    body.extend([7; 32]);
    body.extend([0, 0, 8]);
    body.extend(ciphers);
    body.extend([1, 0]);
    let message = [&[1, 0, 0, u8::try_from(body.len()).unwrap()], &*body].concat();
    [&[22, 3, 1, 0, u8::try_from(message.len()).unwrap()], &*message].concat()
}

/// All that is said until the connection is closed, by either end.
fn heard(webhook: &Webhook, bytes: &[u8]) -> Vec<u8> {
    let mut stream = webhook.tcp();
    // A caller that is refused early may be closed while it still writes.
    let _ = stream.write_all(bytes);
    let mut heard = Vec::new();
    let read = stream.read_to_end(&mut heard);
    if let Err(error) = read {
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset, "still open");
    }
    heard
}

#[test]
fn versions_of_tls_that_are_no_longer_safe_are_refused_as_such() {
    let arena = Arena::open("versions", &[]);
    for (what, version) in [("SSL 3", [3, 0]), ("TLS 1.0", [3, 1]), ("TLS 1.1", [3, 2])] {
        let heard = arena.during(|webhook| heard(webhook, &hello(version)));
        // A fatal alert and no more: handshake_failure or protocol_version, RFC 8446, 6.2.
        assert!(matches!(heard[..], [21, 3, _, 0, 2, 2, 40 | 70]), "{what}: {heard:?}");
    }
    arena.close();
}

#[test]
fn a_caller_that_names_no_server_or_an_unknown_one_is_answered() {
    let arena = Arena::open("names", &[]);
    let body = worker("x");
    let head = post(body.len()).replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n");
    for option in [&["-noservername"][..], &["-servername", "elsewhere.example"], &["-servername", &"x".repeat(63)]] {
        let answer = arena.during(|webhook| {
            let mut client = Command::new("openssl")
                .args(["s_client", "-quiet", "-connect", &webhook.address.to_string()])
                .args(option)
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .stderr(Stdio::null())
                .spawn()
                .unwrap();
            let mut input = client.stdin.take().unwrap();
            input.write_all(head.as_bytes()).and_then(|()| input.write_all(&body)).unwrap();
            // Kept open until the answer is there.
            let output = client.wait_with_output().unwrap();
            drop(input);
            String::from_utf8(output.stdout).unwrap()
        });
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{option:?}: {answer}");
    }
    arena.close();
}

#[test]
fn a_connection_without_tls_is_closed() {
    let arena = Arena::open("garbage", &["--handshake-timeout", "2s"]);
    let plain = [post(2).as_bytes(), b"{}"].concat();
    let noise: Vec<_> = (0..50_000_u32).flat_map(|number| number.wrapping_mul(2_654_435_761).to_be_bytes()).collect();
    for (what, bytes) in [
        ("plain HTTP", plain),
        ("the preface of HTTP/2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec()),
        ("zeros", vec![0; 100_000]),
        ("ones", vec![0xff; 100_000]),
        ("noise", noise.clone()),
        ("SSL 2", [&[0x80, 0x2e, 1, 0, 2, 0, 0x15, 0, 0, 0, 0x10][..], &[1; 37]].concat()),
        ("a record larger than any", [&[22, 3, 1, 0xff, 0xff][..], &*vec![1; 0xffff]].concat()),
        ("an empty record", vec![22, 3, 1, 0, 0]),
        ("many empty records", [22, 3, 3, 0, 0].repeat(10_000)),
        ("an alert", vec![21, 3, 1, 0, 2, 2, 40]),
        ("data before any handshake", [&[23, 3, 3, 0, 16][..], &[7; 16]].concat()),
        ("a hello of 16 MB, begun", [&[22, 3, 1, 0x40, 0, 1, 0xff, 0xff, 0xff][..], &[1; 0x3ffc]].concat()),
        ("a hello of noise", [&[22, 3, 1, 0x20, 0, 1, 0, 0x1f, 0xfc][..], &noise[..0x1ffc]].concat()),
        ("a hello in records of a byte", hello([3, 3])[5..].iter().flat_map(|byte| [22, 3, 1, 0, 1, *byte]).collect()),
        ("the proxy protocol", b"PROXY TCP4 10.0.0.1 10.0.0.2 1 443\r\n".to_vec()),
        ("SSH", b"SSH-2.0-OpenSSH_9.6\r\n".to_vec()),
    ] {
        let heard = arena.during(|webhook| heard(webhook, &bytes));
        assert!(heard.is_empty() || heard[0] == 21, "{what} is answered with something else than an alert: {heard:?}");
    }
    arena.close();
}

#[test]
fn noise_after_the_handshake_is_closed() {
    let arena = Arena::open("noise", &["--handshake-timeout", "2s", "--keep-alive-timeout", "2s"]);
    for bytes in
        [vec![0xff; 10_000], vec![0; 10_000], [22, 3, 3, 0, 4, 1, 0, 0, 0].to_vec(), [23, 3, 3, 0x40, 1].to_vec()]
    {
        arena.during(|webhook| {
            let mut caller = webhook.caller();
            assert_eq!(caller.review(&worker("x")).status, 200);
            // Past its encryption.
            let _ = caller.0.sock.write_all(&bytes);
            Caller(caller.0.sock).wait_until_closed();
        });
    }
    arena.close();
}
