//! Hostile bodies.

use std::sync::atomic::Ordering;

use super::Arena;
use crate::harness::caller::{Answer, patch, post, worker};

/// What is said to a body.
#[derive(Debug, PartialEq, Eq)]
enum Said {
    /// 200 with a patch.
    Patched,
    /// 200 without.
    Untouched,
    /// Another status.
    Refused(u16),
}
use Said::{Patched, Refused, Untouched};

fn said(answer: &Answer) -> Said {
    if answer.status != 200 {
        assert!(answer.body.len() < 1_000, "{answer:?}");
        return Refused(answer.status);
    }
    assert_eq!(answer.json()["response"]["allowed"], true, "{answer:?}");
    if patch(answer).is_empty() { Untouched } else { Patched }
}

/// A review of a worker with more in its parts: at the top, in the request, the pod, its metadata, its spec, its container.
fn with(place: &str, more: &str) -> Vec<u8> {
    let before = match place {
        "top" => r#""kind":"AdmissionReview""#,
        "request" => r#""uid":"u-1""#,
        "pod" => r#""metadata":{"name":"w"}"#,
        "metadata" => r#""name":"w""#,
        "spec" => r#""containers":["#,
        "container" => r#""name":"main""#,
        place => panic!("{place} is no place"),
    };
    let text = String::from_utf8(worker("x")).unwrap();
    assert!(text.contains(before), "{before}");
    text.replacen(before, &format!("{more},{before}"), 1).into_bytes()
}

/// Puts each body to the webhook, and holds what is said against what is expected.
fn every_one(name: &'static str, bodies: Vec<(&str, Vec<u8>, Said)>) {
    let arena = Arena::open(name, &[]);
    for (what, body, expected) in bodies {
        let found = arena.during(|webhook| said(&webhook.caller().review(&body)));
        assert_eq!(found, expected, "{what}");
    }
    arena.close();
}

#[test]
fn a_body_nested_a_million_levels_deep_is_read_over_or_refused() {
    let lists = "[".repeat(1_000_000) + &"]".repeat(1_000_000);
    let objects = r#"{"":"#.repeat(1_000_000) + "0" + &"}".repeat(1_000_000);
    every_one(
        "nesting",
        vec![
            ("lists alone", lists.clone().into_bytes(), Refused(400)),
            ("objects alone", objects.clone().into_bytes(), Refused(400)),
            ("lists without an end", vec![b'['; 1_000_000], Refused(400)),
            ("objects without an end", r#"{"":"#.repeat(1_000_000).into_bytes(), Refused(400)),
            ("lists at the top", with("top", &format!(r#""x":{lists}"#)), Patched),
            ("objects at the top", with("top", &format!(r#""x":{objects}"#)), Patched),
            ("lists in the request", with("request", &format!(r#""options":{lists}"#)), Patched),
            ("lists in a field of the pod that we do not read", with("pod", &format!(r#""x":{lists}"#)), Patched),
            ("objects in a field of the spec that we do not read", with("spec", &format!(r#""x":{objects}"#)), Patched),
            ("lists for a volume's source", with("spec", &format!(r#""volumes":[{{"x":{lists}}}]"#)), Patched),
            ("lists for a limit", with("container", &format!(r#""resources":{{"limits":{{"x":{lists}}}}}"#)), Patched),
            ("lists for the variables", with("spec", &format!(r#""nodeSelector":{lists}"#)), Refused(400)),
            (
                "objects for an annotation",
                with("metadata", &format!(r#""annotations":{{"x":{objects}}}"#)),
                Refused(400),
            ),
            ("lists for a label", with("metadata", &format!(r#""labels":{{"x":{lists}}}"#)), Refused(400)),
        ],
    );
}

#[test]
fn three_million_tiny_keys_delay_only_their_own_caller() {
    let keys = vec![r#""":0"#; 3_000_000].join(",");
    let texts = vec![r#""":"""#; 2_900_000].join(",");
    every_one(
        "keys",
        vec![
            ("at the top", with("top", &keys), Patched),
            ("in the request", with("request", &keys), Patched),
            ("in the request's options", with("request", &format!(r#""options":{{{keys}}}"#)), Patched),
            ("in the pod", with("pod", &keys), Untouched),
            ("in the spec", with("spec", &keys), Untouched),
            ("as labels", with("metadata", &format!(r#""labels":{{{texts}}}"#)), Untouched),
            ("as annotations", with("metadata", &format!(r#""annotations":{{{texts}}}"#)), Untouched),
            ("alone", format!("{{{keys}}}").into_bytes(), Refused(400)),
        ],
    );
}

#[test]
fn a_repeated_field_is_refused_and_the_last_of_two_equal_annotations_counts() {
    let annotations = |pairs: &str| with("metadata", &format!(r#""annotations":{{{pairs}}}"#));
    every_one(
        "twice",
        vec![
            (
                "the last opts out",
                annotations(r#""dynamo-cache.io/inject":"true","dynamo-cache.io/inject":"false""#),
                Untouched,
            ),
            (
                "the first opts out",
                annotations(r#""dynamo-cache.io/inject":"false","dynamo-cache.io/inject":"true""#),
                Patched,
            ),
            ("the uid", with("request", r#""uid":"u-2""#), Refused(400)),
            ("the kind", with("top", r#""kind":"AdmissionReview""#), Refused(400)),
            ("the request", with("top", r#""request":{"uid":"u-2"}"#), Refused(400)),
            ("the metadata", with("pod", r#""metadata":{}"#), Refused(400)),
            ("the containers", with("spec", r#""containers":[]"#), Refused(400)),
            ("a container's name", with("container", r#""name":"other""#), Refused(400)),
            ("a field that we do not read", with("spec", r#""hostPID":true,"hostPID":false"#), Patched),
            ("a name with escapes in it", with("request", r#""\u0075id":"u-2""#), Refused(400)),
        ],
    );

    let arena = Arena::open("twice-claim", &[]);
    let twice = annotations(r#""dynamo-cache.io/model-claim":"first","dynamo-cache.io/model-claim":"last""#);
    let patched = arena.during(|webhook| patch(&webhook.caller().review(&twice)));
    assert!(patched.contains(r#""claimName":"last""#) && !patched.contains("first"), "{patched}");
    arena.close();
}

#[test]
fn bytes_that_are_no_text_are_refused_wherever_they_stand_and_strange_text_is_text() {
    let raw = |place: &str, bytes: &[u8]| {
        let text = with(place, r#""x":"HERE""#);
        let at = text.windows(4).position(|window| window == b"HERE").unwrap();
        [&text[..at], bytes, &text[at + 4..]].concat()
    };
    every_one(
        "text",
        vec![
            ("no UTF-8 in a field of the pod that we do not read", raw("pod", b"\xff"), Refused(400)),
            ("half a character", raw("spec", b"\xe2\x82"), Refused(400)),
            ("a surrogate in UTF-8", raw("pod", b"\xed\xa0\x80"), Refused(400)),
            ("an overlong slash", raw("container", b"\xc0\xaf"), Refused(400)),
            ("no UTF-8 for a key", b"{\"\xff\":1}".to_vec(), Refused(400)),
            (
                "no UTF-8 for a uid",
                [br#"{"kind":"AdmissionReview","request":{"uid":""#, &b"\xff\"}}"[..]].concat(),
                Refused(400),
            ),
            ("no UTF-8 in managedFields", raw("metadata", b"\",\"managedFields\":[\"\xff\"],\"y\":\""), Refused(400)),
            ("no JSON in managedFields", with("metadata", r#""x":0,"managedFields":[NaN {,"]"]"#), Patched),
            ("managedFields without an end", with("metadata", r#""x":0,"managedFields":["#), Refused(400)),
            ("managedFields that end too often", with("metadata", r#""x":0,"managedFields":[[]]]"#), Refused(400)),
            ("UTF-16", "{}".encode_utf16().flat_map(u16::to_le_bytes).collect(), Refused(400)),
            ("a byte order mark", [b"\xef\xbb\xbf", &*worker("x")].concat(), Refused(400)),
            ("NUL alone", vec![0], Refused(400)),
            ("a million NULs", vec![0; 1_000_000], Refused(400)),
            ("NUL behind the review", [&*worker("x"), b"\0"].concat(), Refused(400)),
            ("a bare NUL in text", raw("metadata", b"\0"), Refused(400)),
            ("an escaped NUL in a name", with("metadata", r#""generateName":"\u0000""#), Patched),
            ("an escaped NUL in an annotation", with("metadata", r#""annotations":{"\u0000":"\u0000"}"#), Patched),
            ("half a pair for an annotation", with("metadata", r#""annotations":{"x":"\ud800"}"#), Refused(400)),
            ("half a pair in a field that we do not read", with("spec", r#""x":"\udc00""#), Patched),
            ("two reviews", [worker("x"), worker("x")].concat(), Refused(400)),
            (
                "spaces around the review",
                [vec![b' '; 1_000_000], worker("x"), vec![b'\n'; 1_000_000]].concat(),
                Patched,
            ),
        ],
    );
}

#[test]
fn numbers_that_no_machine_has_are_read_over_or_refused() {
    let digits = "1".to_owned() + &"0".repeat(1_000);
    let many = "9".repeat(10_000_000);
    every_one(
        "numbers",
        vec![
            ("1e400 in a field that we do not read", with("spec", r#""x":1e400"#), Patched),
            ("ten to the thousandth", with("spec", &format!(r#""x":-{digits}"#)), Patched),
            ("ten million digits", with("spec", &format!(r#""x":{many}"#)), Patched),
            ("ten million digits behind the point", with("spec", &format!(r#""x":0.{many}"#)), Patched),
            ("an exponent of ten million digits", with("spec", &format!(r#""x":1e{many}"#)), Patched),
            ("1e400 for a user", with("container", r#""securityContext":{"runAsUser":1e400}"#), Refused(400)),
            (
                "a thousand digits for a user",
                with("container", &format!(r#""securityContext":{{"runAsUser":{digits}}}"#)),
                Refused(400),
            ),
            (
                "ten million digits for a group",
                with("spec", &format!(r#""securityContext":{{"fsGroup":{many}}}"#)),
                Refused(400),
            ),
            ("a fraction for a group", with("spec", r#""securityContext":{"fsGroup":0.5}"#), Refused(400)),
            ("1e400 for a volume's source", with("spec", r#""volumes":[{"x":1e400}]"#), Refused(400)),
            ("a number for a flag", with("request", r#""dryRun":1"#), Refused(400)),
            ("not a number", with("spec", r#""x":NaN"#), Refused(400)),
            ("a leading zero", with("spec", r#""x":01"#), Refused(400)),
        ],
    );
}

#[test]
fn a_pod_of_ten_thousand_of_anything_is_answered() {
    let many = |item: &str| vec![item; 10_000].join(",");
    let containers = many(r#"{"name":"c","args":["-mdynamo.vllm"]}"#);
    let thousand = vec![r#"{"name":"c","args":["-mdynamo.vllm"]}"#; 998].join(",");
    let annotation = "x".repeat(1 << 20);
    every_one(
        "many",
        vec![
            ("containers", with("spec", &format!(r#""initContainers":[{containers}]"#)), Untouched),
            (
                "as many containers as are looked at",
                with("spec", &format!(r#""initContainers":[{thousand}]"#)),
                Patched,
            ),
            ("volumes", with("spec", &format!(r#""volumes":[{}]"#, many(r#"{"name":"v","emptyDir":{}}"#))), Patched),
            (
                "mounts",
                with("container", &format!(r#""volumeMounts":[{}]"#, many(r#"{"name":"v","mountPath":"/v"}"#))),
                Patched,
            ),
            ("arguments", with("container", &format!(r#""args":[{}]"#, many(r#""-m""#))), Patched),
            (
                "annotations of ours",
                with("metadata", &format!(r#""annotations":{{{}}}"#, numbered("dynamo-cache.io/nonsense-"))),
                Patched,
            ),
            ("labels", with("metadata", &format!(r#""labels":{{{}}}"#, numbered("x"))), Patched),
            (
                "an annotation of a megabyte",
                with("metadata", &format!(r#""annotations":{{"x":"{annotation}"}}"#)),
                Patched,
            ),
            (
                "an annotation of ours of a megabyte",
                with("metadata", &format!(r#""annotations":{{"dynamo-cache.io/containers":"{annotation}"}}"#)),
                Untouched,
            ),
            (
                "a megabyte of names of containers",
                with(
                    "metadata",
                    &format!(r#""annotations":{{"dynamo-cache.io/containers":"{}"}}"#, "a,".repeat(1 << 19)),
                ),
                Untouched,
            ),
            (
                "a name of an annotation of a megabyte",
                with("metadata", &format!(r#""annotations":{{"dynamo-cache.io/{annotation}":"x"}}"#)),
                Patched,
            ),
            (
                "a status of a megabyte of brackets",
                with("metadata", &format!(r#""annotations":{{"dynamo-cache.io/status":"{}"}}"#, "[".repeat(1 << 20))),
                Patched,
            ),
            (
                "a script of ten megabytes of quotes",
                with("container", &format!(r#""args":["sh","-c","{}"]"#, "' ".repeat(5 << 20))),
                Patched,
            ),
        ],
    );
}

#[test]
fn what_multiplies_in_a_pod_is_answered_and_takes_no_more_memory_than_its_size() {
    let arena = Arena::open("product", &[]);
    let annotated = |name: &str, value: &str| {
        let containers = vec![r#"{"name":"c","args":["-mdynamo.vllm"]}"#; 998].join(",");
        let body = String::from_utf8(with("spec", &format!(r#""initContainers":[{containers}]"#))).unwrap();
        let annotation = format!(r#""annotations":{{"dynamo-cache.io/{name}":"{value}"}}"#);
        body.replacen(r#""name":"w""#, &format!(r#"{annotation},"name":"w""#), 1).into_bytes()
    };
    let containers: Vec<_> =
        (0..998).map(|n| format!(r#"{{"name":"c{n}","restartPolicy":"Always","args":["-mdynamo.vllm"]}}"#)).collect();
    let volumes: Vec<_> = (0..45_000).map(|n| format!(r#"{{"name":"v{n}","emptyDir":{{}}}}"#)).collect();
    let lists = format!(r#""initContainers":[{}],"volumes":[{}]"#, containers.join(","), volumes.join(","));
    // An escaped comma does not count as one of a pod's commas.
    let names: Vec<_> = (0..1_400_000).map(|n| format!("{n:x}")).collect();
    for (what, body) in [
        ("volumes by containers", with("spec", &lists)),
        ("names by containers", annotated("containers", &names.join(r"\u002c"))),
        (
            "a status of many values",
            annotated("status", &format!(r#"{{\"x\":[{}]}}"#, vec!["0"; 2_700_000].join(r"\u002c"))),
        ),
        ("a status of many names", {
            let names: Vec<_> = (0..1_000_000).map(|n| format!(r#"\"{n:x}\":0"#)).collect();
            annotated("status", &format!(r#"{{\"containers\":{{{}}}}}"#, names.join(r"\u002c")))
        }),
    ] {
        let found = arena.during(|webhook| said(&webhook.caller().review(&body)));
        assert!(matches!(found, Patched | Untouched), "{what}: {found:?}");
        let most = arena.webhook.peak_memory_mib();
        assert!(most < 160, "{what}: {most} MiB");
    }
    arena.close();
}

/// Ten thousand entries, each with a name of its own.
fn numbered(name: &str) -> String {
    let entries: Vec<_> = (0..10_000).map(|number| format!(r#""{name}{number}":"x""#)).collect();
    entries.join(",")
}

#[test]
fn the_body_decides_and_not_its_declared_media_type_or_encoding() {
    let arena = Arena::open("types", &[]);
    let body = worker("x");
    for said_to_be in [
        "Content-Type: text/plain",
        "Content-Type: application/x-www-form-urlencoded",
        "Content-Type: multipart/form-data; boundary=x",
        "Content-Type: application/vnd.kubernetes.protobuf",
        "Content-Type: application/json; charset=utf-16",
        "Content-Type: ",
        "Content-Type: \u{fc}\u{fc}\u{fc}",
        "Content-Type: application/json\r\nContent-Type: text/html",
        "Content-Encoding: gzip",
        "X-No-Type: at all",
    ] {
        let head = post(body.len()).replace("Content-Type: application/json", said_to_be);
        let answer = arena.during(|webhook| webhook.caller().ask(&head, &body));
        assert_eq!(answer.status, 200, "{said_to_be}");
        assert!(answer.head.contains("content-type: application/json\r\n"), "{}", answer.head);
    }
    // What is really compressed is not unpacked, so nothing can unfold in memory.
    let gzip = post(20).replace("application/json", "application/json\r\nContent-Encoding: gzip");
    let empty_gzip = [31, 139, 8, 0, 0, 0, 0, 0, 0, 3, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    assert_eq!(arena.during(|webhook| webhook.caller().ask(&gzip, &empty_gzip)).status, 400);
    arena.close();
}

#[test]
fn a_crowd_of_the_largest_bodies_stays_within_the_memory_limit() {
    let arena = Arena::open("crowd", &[]);
    let bodies = [
        with("top", &format!(r#""x":"{}""#, "x".repeat(20_000_000))),
        with("spec", &format!(r#""x":[{}]"#, vec!["[]"; 6_500_000].join(","))),
        worker(&r"\u003c".repeat(3_400_000)),
        vec![b'['; 20_000_000],
    ];
    let statuses: Vec<_> = arena.during(|webhook| {
        std::thread::scope(|scope| {
            let callers: Vec<_> = (0..12)
                .map(|caller| {
                    let body = &bodies[caller % bodies.len()];
                    scope.spawn(move || webhook.caller().review(body).status)
                })
                .collect();
            callers.into_iter().map(|caller| caller.join().unwrap()).collect()
        })
    });
    arena.inputs.fetch_add(statuses.len() - 1, Ordering::Relaxed);
    assert!(statuses.iter().all(|status| [200, 400, 503].contains(status)), "{statuses:?}");
    arena.close();
}
