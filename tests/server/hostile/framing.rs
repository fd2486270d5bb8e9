//! Requests that do not begin or end where they seem to.

use std::io::{ErrorKind, Write as _};

use super::Arena;
use crate::harness::caller::{Answer, Caller, Tls, post, worker};
use crate::harness::webhook::Webhook;

/// More than hyper takes as a head or beside the chunks, which is 16 KiB, by so little that all of it is written before it is refused: a
/// caller that is closed in the middle of a write may not see the answer.
const JUST_TOO_MUCH: usize = 17_000;

/// The head of a review in chunks, with more header lines.
fn chunked(more: &str) -> String {
    format!("POST /mutate HTTP/1.1\r\nHost: x\r\n{more}Transfer-Encoding: chunked\r\n\r\n")
}

/// A body in one chunk.
fn in_a_chunk(body: &[u8]) -> Vec<u8> {
    [format!("{:x}\r\n", body.len()).as_bytes(), body, b"\r\n0\r\n\r\n"].concat()
}

/// The next answer; none where the connection was closed instead.
fn next(caller: &mut Caller<Tls>) -> Option<Answer> {
    let answer = caller.try_answer();
    if let Err(error) = &answer {
        assert!(!matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut), "still open");
    }
    answer.ok()
}

/// The statuses of all that is answered to these bytes and to a good review behind them, until the connection is closed.
fn statuses(webhook: &Webhook, bytes: &[u8]) -> Vec<u16> {
    let mut caller = webhook.caller();
    // A caller that is refused early may be closed while it still writes.
    let written = caller.0.write_all(bytes).and_then(|()| caller.0.flush());
    let mut all = Vec::new();
    let Some(first) = next(&mut caller) else { return all };
    all.push(first.status);
    let last = post(worker("x").len()).replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n");
    let last =
        written.and_then(|()| caller.0.write_all(last.as_bytes())).and_then(|()| caller.0.write_all(&worker("x")));
    if last.is_ok() {
        all.extend(std::iter::from_fn(|| next(&mut caller)).map(|answer| answer.status));
    }
    all
}

/// Puts each to the webhook and holds all statuses against what is expected; the last 200 is the good review's.
fn every_one(name: &'static str, forms: Vec<(&str, Vec<u8>, &[u16])>) {
    let arena = Arena::open(name, &[]);
    let mut differ = Vec::new();
    for (what, bytes, expected) in forms {
        let found = arena.during(|webhook| statuses(webhook, &bytes));
        if found != expected {
            differ.push(format!("{what}: {found:?}, not {expected:?}"));
        }
    }
    assert!(differ.is_empty(), "{}", differ.join("\n"));
    arena.close();
}

/// A good review in a request with these header lines.
fn headed(lines: &str) -> Vec<u8> {
    [format!("POST /mutate HTTP/1.1\r\n{lines}\r\n\r\n").as_bytes(), &worker("x")].concat()
}

#[test]
fn requests_that_come_in_one_write_are_all_answered_in_their_order() {
    let arena = Arena::open("pipelining", &[]);
    arena.during(|webhook| {
        let mut caller = webhook.caller();
        let uids: Vec<_> = (0..100).map(|number| format!("u-1-{number}")).collect();
        let mut all = Vec::new();
        for (number, uid) in uids.iter().enumerate() {
            let body = String::from_utf8(worker("x")).unwrap().replace("u-1", uid).into_bytes();
            // Now by length, now in chunks.
            let request = if number % 3 == 0 {
                [chunked("").as_bytes(), &in_a_chunk(&body)].concat()
            } else {
                [post(body.len()).as_bytes(), &body].concat()
            };
            all.extend(request);
        }
        caller.0.write_all(&all).unwrap();
        for uid in uids {
            let answer = caller.answer();
            assert_eq!((answer.status, &answer.json()["response"]["uid"]), (200, &uid.into()));
        }
    });
    arena.close();
}

#[test]
fn a_body_in_chunks_is_read_as_a_whole_and_wrong_chunks_are_refused() {
    let body = worker("x");
    let bytes: Vec<_> = body.iter().flat_map(|byte| [&b"1\r\n"[..], &[*byte], b"\r\n"].concat()).collect();
    let good = |text: &str| [chunked("").as_bytes(), text.as_bytes()].concat();
    let whole = |before: &str, after: &str| {
        [chunked("").as_bytes(), before.as_bytes(), b"\r\n", &body, b"\r\n", after.as_bytes()].concat()
    };
    let size = format!("{:x}", body.len());
    every_one(
        "chunks",
        vec![
            ("a byte each", [chunked("").as_bytes(), &bytes, b"0\r\n\r\n"].concat(), &[200, 200]),
            ("an extension", whole(&format!("{size};a=b;c=\"d\""), "0\r\n\r\n"), &[200, 200]),
            ("trailers", whole(&size, "0\r\nContent-Length: 1\r\nX: y\r\n\r\n"), &[200, 200]),
            ("zeros before the size", whole(&format!("00000{size}"), "0\r\n\r\n"), &[200, 200]),
            ("no body", good("0\r\n\r\n"), &[400, 200]),
            ("no number", good("zz\r\nabc\r\n0\r\n\r\n"), &[400]),
            ("no size", good("\r\nabc\r\n0\r\n\r\n"), &[400]),
            ("a negative size", good("-1\r\na\r\n0\r\n\r\n"), &[400]),
            ("a sign", good("+1\r\na\r\n0\r\n\r\n"), &[400]),
            ("a prefix", good("0x1\r\na\r\n0\r\n\r\n"), &[400]),
            ("a space before the size", good(" 1\r\na\r\n0\r\n\r\n"), &[400]),
            ("a size of 2 to the 64th", good("10000000000000000\r\na\r\n0\r\n\r\n"), &[400]),
            // Waited for, as long as for any body.
            ("the largest size", good("ffffffffffffffff\r\na"), &[408]),
            ("a chunk longer than said", good("1\r\nabc\r\n0\r\n\r\n"), &[400]),
            ("a bare line feed behind the size", good("1\na\r\n0\r\n\r\n"), &[400]),
            ("a bare carriage return", good("1\ra\r\n0\r\n\r\n"), &[400]),
            ("an extension without an end", good(&format!("1;{}", "x".repeat(JUST_TOO_MUCH))), &[400]),
            (
                "trailers without an end",
                whole(&size, &format!("0\r\n{}", "X: y\r\n".repeat(JUST_TOO_MUCH / 6))),
                &[400],
            ),
            ("a line feed in an extension", good("1;a\nb\r\na\r\n0\r\n\r\n"), &[400]),
        ],
    );
}

#[test]
fn chunks_that_never_end_are_cut_off_above_the_largest_body() {
    let arena = Arena::open("endless", &[]);
    for size in [1_000_000, 1] {
        let chunk = [format!("{size:x}\r\n").as_bytes(), &vec![b' '; size], b"\r\n"].concat();
        let many = chunk.repeat(1_000_000 / size);
        let status = arena.during(|webhook| {
            let mut caller = webhook.caller();
            caller.0.write_all(chunked("").as_bytes()).unwrap();
            // For as long as the server reads.
            while caller.0.write_all(&many).is_ok() {}
            next(&mut caller).map(|answer| answer.status)
        });
        // A caller that never stops writing may not see the answer.
        assert!(matches!(status, None | Some(413)), "{status:?}");
    }
    arena.close();
}

#[test]
fn a_request_whose_length_can_be_read_in_two_ways_hides_no_other_request() {
    let body = worker("x");
    let (length, chunks) = (body.len(), in_a_chunk(&body));
    let both = |lines: &str, body: &[u8]| [headed_alone(lines).as_slice(), body].concat();
    let hidden = b"0\r\n\r\nGET /livez HTTP/1.1\r\nHost: x\r\n\r\n";
    every_one(
        "smuggling",
        vec![
            // Chunks count, and nothing that follows: RFC 9112, 6.1.
            ("a length and chunks", both("Content-Length: 4\r\nTransfer-Encoding: chunked", &chunks), &[200]),
            ("chunks and a length", both("Transfer-Encoding: chunked\r\nContent-Length: 4", &chunks), &[200]),
            ("a request behind the chunks", both("Content-Length: 42\r\nTransfer-Encoding: chunked", hidden), &[400]),
            ("two lengths", headed(&format!("Content-Length: {length}\r\nContent-Length: 4")), &[400]),
            ("two lengths in one line", headed(&format!("Content-Length: {length}, 4")), &[400]),
            ("one length twice", headed(&format!("Content-Length: {length}\r\nContent-Length: {length}")), &[200, 200]),
            ("one length twice in one line", headed(&format!("Content-Length: {length}, {length}")), &[400]),
            ("a length with a sign", headed(&format!("Content-Length: +{length}")), &[400]),
            ("a negative length", headed("Content-Length: -1"), &[400]),
            ("a length in another base", headed("Content-Length: 0x10"), &[400]),
            ("a length of 2 to the 64th", headed("Content-Length: 18446744073709551616"), &[400]),
            ("the largest length", headed("Content-Length: 18446744073709551615"), &[431]),
            ("a length of eight exbibytes", headed("Content-Length: 9223372036854775807"), &[413]),
            ("an empty length", headed("Content-Length: "), &[400]),
            ("chunks that are not the last encoding", both("Transfer-Encoding: chunked, gzip", &chunks), &[400]),
            ("something like chunks", both("Transfer-Encoding: xchunked", &chunks), &[400]),
            (
                "chunks and the identity",
                both("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity", &chunks),
                &[400],
            ),
            ("a vertical tab before chunks", both("Transfer-Encoding: \u{b}chunked", &chunks), &[400]),
            ("a space before the colon", headed(&format!("Content-Length : {length}")), &[400]),
            ("a space before the colon of chunks", both("Transfer-Encoding : chunked", &chunks), &[400]),
            ("a tab before the colon", headed(&format!("Content-Length\t: {length}")), &[400]),
            ("a folded line", headed(&format!("X: a\r\n b\r\nContent-Length: {length}")), &[400]),
            ("a folded encoding", both("Transfer-Encoding:\r\n chunked", &chunks), &[400]),
            ("a space before the first line", headed(&format!(" Host: x\r\nContent-Length: {length}")), &[400]),
            (
                "a carriage return in a line",
                headed(&format!("X: a\rContent-Length: 4\r\nContent-Length: {length}")),
                &[400],
            ),
            ("a NUL in a line", headed(&format!("X: a\0b\r\nContent-Length: {length}")), &[400]),
            ("a line without a name", headed(&format!(": x\r\nContent-Length: {length}")), &[400]),
            ("a line without a colon", headed(&format!("X\r\nContent-Length: {length}")), &[400]),
            ("an older HTTP with chunks", [chunked("").replace("1.1", "1.0").as_bytes(), &chunks].concat(), &[400]),
            // A line feed alone ends a line, here as for most servers: RFC 9112, 2.2.
            ("line feeds alone", [post(length).replace("\r\n", "\n").as_bytes(), &body].concat(), &[200, 200]),
        ],
    );
}

#[test]
fn a_body_without_a_length_is_no_body_and_no_request_either() {
    let arena = Arena::open("no-length", &[]);
    let found: Vec<_> = arena.during(|webhook| {
        let mut caller = webhook.caller();
        caller.0.write_all(&headed("Host: x")).unwrap();
        // Nothing is written behind it: that could meet a closed connection, and an answer not yet read would be lost.
        std::iter::from_fn(|| next(&mut caller)).map(|answer| answer.status).collect()
    });
    assert_eq!(found, [400, 400], "an empty review, and what is left as a request");
    arena.close();
}

fn headed_alone(lines: &str) -> Vec<u8> {
    format!("POST /mutate HTTP/1.1\r\n{lines}\r\n\r\n").into_bytes()
}

#[test]
fn a_head_that_is_none_or_too_large_is_refused() {
    let body = worker("x");
    let started =
        |line: &str| [post(body.len()).replace("POST /mutate?timeout=3s HTTP/1.1", line).as_bytes(), &body].concat();
    let length = body.len();
    every_one(
        "heads",
        vec![
            ("another version", started("POST /mutate HTTP/3.0"), &[400]),
            ("no version", started("POST /mutate"), &[400]),
            ("a lower-case version", started("POST /mutate http/1.1"), &[400]),
            ("two spaces", started("POST  /mutate HTTP/1.1"), &[400]),
            ("a method of its own", started("SMUGGLE /mutate HTTP/1.1"), &[405, 200]),
            ("a method of no letters", started("P(ST /mutate HTTP/1.1"), &[400]),
            ("a whole address", started("POST http://elsewhere/mutate HTTP/1.1"), &[200, 200]),
            ("steps up", started("POST /x/../mutate HTTP/1.1"), &[404, 200]),
            ("a path in other letters", started("POST /mutat%65 HTTP/1.1"), &[404, 200]),
            ("a tunnel", started("CONNECT elsewhere:443 HTTP/1.1"), &[404, 200]),
            ("all of the server", started("OPTIONS * HTTP/1.1"), &[404, 200]),
            ("a NUL in the path", started("POST /mutate\0 HTTP/1.1"), &[400]),
            ("a long path", started(&format!("POST /{} HTTP/1.1", "x".repeat(JUST_TOO_MUCH))), &[431]),
            (
                "a line of sixteen kilobytes",
                headed(&format!("X: {}\r\nContent-Length: {length}", "x".repeat(1 << 14))),
                &[431],
            ),
            ("two thousand lines", headed(&format!("{}Content-Length: {length}", "X: y\r\n".repeat(2_000))), &[431]),
            (
                "a change of protocol",
                headed(&format!("Connection: Upgrade\r\nUpgrade: h2c\r\nContent-Length: {length}")),
                &[200, 200],
            ),
            ("an unknown expectation", headed(&format!("Expect: everything\r\nContent-Length: {length}")), &[200, 200]),
            ("the preface of HTTP/2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0".to_vec(), &[]),
        ],
    );
}
