//! Reading, writing, and the messages about mistakes.

use serde_json::{Value, json};

use super::{documents, text, write};

fn one(text: &str) -> Value {
    let mut documents = documents(text).unwrap_or_else(|error| panic!("{error}: {text}"));
    assert_eq!(documents.len(), 1, "{text}");
    documents.remove(0).value
}

fn refused(text: &str) -> String {
    documents(text).map(|documents| format!("{documents:?}")).expect_err("it is refused").to_string()
}

#[test]
fn empty_documents_are_skipped() {
    let text = "# nothing\n---\n---\nb: 1\na: [x, 'yes']\n---\n# nothing\n---\n{c: ~}\n...\n---\n- z\n";
    let documents = documents(text).unwrap();
    let read: Vec<_> = documents.iter().map(|document| (document.at.line, document.value.to_string())).collect();
    let expected = [(4, r#"{"b":1,"a":["x","yes"]}"#), (9, r#"{"c":null}"#), (12, r#"["z"]"#)];
    assert_eq!(read, expected.map(|(line, text)| (line, text.to_owned())));
    assert_eq!(super::documents("# nothing\n"), Ok(Vec::new()));
    assert_eq!(super::documents(""), Ok(Vec::new()));
}

#[test]
fn json_documents_follow_one_another() {
    let text = "{\"a\":\"\\ud83d\\ude00\"}\n\t{\n\t\"b\": 1}{\"c\":2}";
    let documents = documents(text).unwrap();
    let read: Vec<_> = documents.iter().map(|document| (document.at.to_string(), document.value.clone())).collect();
    let expected = [("1:1", json!({"a": "😀"})), ("2:2", json!({"b": 1})), ("3:9", json!({"c": 2}))];
    assert_eq!(read, expected.map(|(at, value)| (at.to_owned(), value)));
}

#[test]
fn anchors_and_merges_are_expanded() {
    let text = "base: &b {a: 1, b: 2}\none:\n  b: 3\n  <<: *b\nmany: {<<: [{x: 1}, {x: 2, w: 3}], z: *b}\n";
    // What stands later wins, as in kubectl.
    let expected = r#"{"base":{"a":1,"b":2},"one":{"b":2,"a":1},"many":{"x":1,"w":3,"z":{"a":1,"b":2}}}"#;
    assert_eq!(one(text).to_string(), expected);
}

#[test]
fn a_merge_and_a_key_of_its_own_follow_their_order() {
    for (text, expected) in [
        ("b: &b {a: 1}\ns: {<<: *b, a: 2}\n", 2),
        ("b: &b {a: 1}\ns: {a: 2, <<: *b}\n", 1),
        ("s: {<<: {a: 1}, c: 1, <<: {a: 3}}\n", 3),
        ("s: {<<: [{a: 4}, {a: 1}]}\n", 4),
    ] {
        assert_eq!(one(text)["s"]["a"], expected, "{text}");
    }
    assert!(refused("s: {a: 1, <<: {a: 2}, a: 3}\n").ends_with("duplicate key \"a\""));
}

#[test]
fn binary_text_is_decoded() {
    let text =
        "{a: !!binary aGk=, b: !!binary '/w==', c: !!binary '/////kE=', d: !<tag:yaml.org,2002:binary> 'aG\n  k='}";
    assert_eq!(
        one(&text.replace("aG\n  k=", "aGk=")),
        json!({"a": "hi", "b": "\u{fffd}", "c": "\u{fffd}\u{fffd}\u{fffd}\u{fffd}A", "d": "hi"})
    );
    assert_eq!(one("a: !!binary |\n  aG\n  k=\n"), json!({"a": "hi"}));
    assert_eq!(refused("a: !!binary x\n"), "1:13: this is not base64, as !!binary promises");
}

#[test]
fn utf_16_and_byte_order_marks_are_read() {
    let expected = json!({"a": "ä😀"});
    let units: Vec<u16> = "\u{feff}a: ä😀\n".encode_utf16().collect();
    let little: Vec<u8> = units.iter().flat_map(|unit| unit.to_le_bytes()).collect();
    let big: Vec<u8> = units.iter().flat_map(|unit| unit.to_be_bytes()).collect();
    for bytes in [little.as_slice(), &big, "\u{feff}a: ä😀\n".as_bytes()] {
        assert_eq!(one(&text(bytes).unwrap()), expected);
    }
    let joined = text("\u{feff}a: 1\n---\n\u{feff}b: 2\n\u{feff}---\nc: \u{feff}\n".as_bytes()).unwrap();
    assert_eq!(joined, "a: 1\n---\nb: 2\n---\nc: \u{feff}\n");
    for (bytes, message) in [
        (b"a\n\xff".as_slice(), "2:1: this is not UTF-8 text"),
        (b"\xff\xfea\0\n\0\0\xd8", "2:1: this is not UTF-16 text"),
        (b"\xff\xfea\0b", "1:2: this is not UTF-16 text"),
    ] {
        assert_eq!(text(bytes).unwrap_err().to_string(), message);
    }
}

#[test]
fn floats_are_exact_in_json_and_in_yaml() {
    for number in ["0.9999999999999999", "0.9363545079064731", "1.5e300", "5e-324"] {
        let value: f64 = number.parse().unwrap();
        assert_eq!(one(&format!("{{\"a\":{number}}}"))["a"], value);
        assert_eq!(one(&format!("a: {number}\n"))["a"], value);
    }
}

#[test]
fn keys_and_tags_are_read_as_kubernetes_reads_them() {
    assert_eq!(one("on: 1\n12: 2\n1.5: 3\n"), json!({"true": 1, "12": 2, "1.5": 3}));
    assert_eq!(one("[!!str 12, ! 12, !!int '12', !!float 1.5, !x y]"), json!(["12", "12", 12, 1.5, "y"]));
}

#[test]
fn a_mistake_has_its_position_in_the_whole_file() {
    for (text, message) in [
        ("a: 1\n---\nb: 2\nb: 3\n", "4:1: duplicate key \"b\""),
        ("a:\n  - {x: 1, x: 2}\n", "2:12: duplicate key \"x\""),
        ("{\"a\": 1,\n \"a\": 2}", "2:4: duplicate key \"a\""),
        ("a: .inf\n", "1:4: Kubernetes does not support the number .inf"),
        ("a: &a [*a]\n", "1:8: this alias is inside the node that it refers to"),
        ("? [a]\n: b\n", "1:3: a key must be text, not a list or a mapping"),
        ("~: b\n", "1:1: a key must be text, not nothing"),
        ("<<: 1\n", "1:5: << merges mappings only"),
        ("a: !!int x\n", "1:10: \"x\" does not match its tag"),
    ] {
        assert_eq!(refused(text), message, "{text}");
    }
    for (text, position) in [
        ("a: 1\n---\nb: [1\nc: 2\n", "4:2: "),
        ("a: 1\n\tb: 2\n", "1:4: "),
        ("a: *b\n", "1:4: "),
        ("{\"a\": 1}\n{\"b\": }\n", "2:7: "),
        ("a: 'x\n", "1:"),
    ] {
        let message = refused(text);
        assert!(message.starts_with(position), "{text}: {message}");
    }
}

#[test]
fn input_that_expands_or_nests_without_end_is_refused() {
    let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..10 {
        let below = format!("*a{}", level - 1);
        bomb.extend([format!("a{level}: &a{level} [{}]\n", [below.as_str(); 10].join(", "))]);
    }
    assert!(refused(&bomb).contains("the anchors and aliases up to here expand to more than 64 MiB"));
    // Anchors that nest keep a copy each, without any alias.
    let mut nested = String::new();
    nested.extend((0..100).flat_map(|level| ["&a".to_owned(), level.to_string(), " [".to_owned()]));
    nested.extend(["x, ".repeat(20_000), "]".repeat(100)]);
    assert!(refused(&nested).contains("the anchors and aliases up to here expand to more than 64 MiB"));
    assert!(refused(&"[".repeat(100_000)).contains(':'));
    assert!(refused(&format!("{}{}", "[".repeat(121), "]".repeat(121))).contains("more than 120 levels deep"));
    assert!(refused(&"- ".repeat(100_000)).contains(':'));
    assert!(refused(&"{\"a\":".repeat(100_000)).contains(':'));
    let mut chain = "a0: &a0 x\n".to_owned();
    for level in 1..200 {
        chain.extend([format!("a{level}: &a{level} [*a{}]\n", level - 1)]);
    }
    assert!(refused(&chain).contains("more than 120 levels deep"));
}

/// Strings that a careless writer would change.
const NASTY: &[&str] = &[
    "",
    " ",
    "  a",
    "a  ",
    "\n",
    "\n\n",
    "a\n",
    "a\nb",
    "a\n\nb\n\n\n",
    " a\n b\n",
    "\ta\n",
    "a \n b",
    "a\t",
    "yes",
    "No",
    "on",
    "OFF",
    "y",
    "n",
    "N",
    "true",
    "False",
    "null",
    "~",
    "Null",
    "0644",
    "0o17",
    "0x1F",
    "0b11",
    "1_000",
    "1e3",
    "1.",
    ".5",
    "+1",
    "-1",
    "-",
    "--",
    "---",
    "...",
    "--- a",
    ".inf",
    ".NaN",
    "12:30",
    "1:2:3",
    "2024-01-02",
    "2001-12-14t21:59:43.10-05:00",
    "=",
    "<<",
    "#",
    "a #b",
    "a: b",
    "a:",
    ":",
    ": a",
    "- a",
    "? a",
    "!a",
    "&a",
    "*a",
    "|",
    ">",
    "%a",
    "@a",
    "`a",
    "'",
    "''",
    "\"",
    "\"a\"",
    "'a'",
    "[a]",
    "{a}",
    "[",
    "]",
    "{}",
    ",",
    "a, b",
    "\\",
    "\\n",
    "\u{0}",
    "\u{7}",
    "\u{85}",
    "\u{2028}",
    "a\u{2028}b\nc",
    "\u{feff}",
    "\u{feff}a",
    "\r",
    "a\r\nb",
    "a\rb",
    "😀",
    "ä\nß",
    "#!/bin/sh\nset -e\n\nexec python3 -m dynamo.vllm \\\n  --model x\n",
    "trailing \nspaces  \n",
    "  two\n one\n",
    "a\n  ",
    "a\n\t\n",
    "%\n",
    "---\na\n",
    "# a\n",
    "key: value\nlist:\n- x\n",
    "\u{1b}[0m",
    "a\u{a0}b",
    "1e",
    "0x",
    "0_",
];

#[test]
fn written_values_are_read_back_unchanged() {
    for text in NASTY {
        let long = format!("{text}{}{text}", " word".repeat(60));
        for text in [*text, &long] {
            for value in [
                json!(text),
                json!([text]),
                json!({ "key": text, "next": 1 }),
                json!({ "list": [{ "a": text, "b": [[text, 1], []] }, text], "after": {} }),
                json!({ text: { text: null } }),
            ] {
                let written = write(&value);
                let read = documents(&written).unwrap_or_else(|error| panic!("{error}\n{value}\n{written}"));
                let read = read.into_iter().next().map(|document| document.value).unwrap_or_default();
                assert_eq!(read, value, "{written}");
            }
        }
    }
    for value in [json!(i64::MIN), json!(u64::MAX), json!(1.5), json!(-1e-7), json!(1e300), json!(true), json!(0)] {
        assert_eq!(one(&write(&json!([value.clone()]))), json!([value]));
    }
}

#[test]
fn blocks_are_written_as_blocks() {
    let value =
        json!({"args": ["set -e\nexec python3\n", "a long line ".repeat(20)], "mode": "0644", "empty": [{}, []]});
    let expected = format!(
        "args:\n- |\n  set -e\n  exec python3\n- '{}'\nmode: '0644'\nempty:\n- {{}}\n- []\n",
        "a long line ".repeat(20)
    );
    assert_eq!(write(&value).replace('"', "'"), expected);
}
