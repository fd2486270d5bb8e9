//! The projection extracts what `serde_json` finds, wherever the bytes are split.

use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::{Fields, Malformed, Next, Part, Projected, Projection};

/// A limit that no part reaches, unless a test is about limits.
const ENOUGH: usize = 100_000;

fn object(members: impl IntoIterator<Item = (&'static str, Fields)>) -> Fields {
    Fields::Object(members.into_iter().collect())
}

/// Fields like those of the lists that are watched.
fn list() -> Fields {
    let metadata = object([
        ("name", Fields::Text(ENOUGH)),
        ("annotations", Fields::Strings("ours/", ENOUGH)),
        ("any", Fields::Any(ENOUGH)),
    ]);
    let item = object([("metadata", metadata), ("spec", object([("modes", Fields::Texts(ENOUGH))]))]);
    object([
        ("metadata", object([("resourceVersion", Fields::Text(ENOUGH)), ("continue", Fields::Text(ENOUGH))])),
        ("items", Fields::Each(Box::new(item))),
    ])
}

/// All parts of documents whose bytes arrive in chunks of these sizes, in turn.
fn parts(fields: &Fields, json: &[u8], sizes: &[usize]) -> Result<Vec<Part>, Malformed> {
    let (mut projection, mut parts) = (Projection::new(fields), Vec::new());
    let (mut rest, mut sizes) = (json, sizes.iter().cycle());
    while !rest.is_empty() {
        let size = sizes.next().copied().unwrap_or(usize::MAX).clamp(1, rest.len());
        let (mut piece, after) = rest.split_at(size);
        while let Some(part) = projection.advance(&mut piece)? {
            parts.push(part);
        }
        assert!(piece.is_empty(), "all of a piece is taken");
        rest = after;
    }
    assert!(projection.open.is_empty() && matches!(projection.next, Next::Value { .. }), "the document is complete");
    Ok(parts)
}

fn text(kept: &Projected) -> Value {
    serde_json::from_slice(&kept.text).unwrap_or_else(|why| panic!("{why}: {}", String::from_utf8_lossy(&kept.text)))
}

/// The expected output by `serde_json`, with the elements in order.
fn expected(fields: &Fields, value: &Value, elements: &mut Vec<Value>) -> Option<Value> {
    match (fields, value) {
        (Fields::Any(_), value) => Some(value.clone()),
        (Fields::Text(_), Value::String(_)) => Some(value.clone()),
        (Fields::Texts(_), Value::Array(list)) => {
            Some(list.iter().filter(|value| value.is_string()).cloned().collect())
        }
        (Fields::Strings(prefix, _), Value::Object(members)) => {
            let ours = members.iter().filter(|(name, value)| name.starts_with(prefix) && value.is_string());
            Some(Value::Object(ours.map(|(name, value)| (name.clone(), value.clone())).collect()))
        }
        (Fields::Object(wanted), Value::Object(members)) => {
            let mut kept = Map::new();
            for (name, value) in members {
                let fields = wanted.iter().find(|(wanted, _)| wanted == name);
                if let Some(value) = fields.and_then(|(_, fields)| expected(fields, value, elements)) {
                    kept.insert(name.clone(), value);
                }
            }
            Some(Value::Object(kept))
        }
        (Fields::Each(fields), Value::Array(list)) => {
            for value in list {
                elements.extend(expected(fields, value, &mut Vec::new()));
            }
            None
        }
        _ => None,
    }
}

/// Any JSON, including strings with JSON syntax in them.
fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i32>().prop_map(Value::from),
        Just(json!(-1.5e-7)),
        words().prop_map(Value::from),
    ];
    leaf.prop_recursive(6, 64, 6, |inner| {
        prop_oneof![vec(inner.clone(), 0..6).prop_map(Value::from), btree_map(name(), inner, 0..6).prop_map(members)]
    })
}

fn words() -> impl Strategy<Value = String> {
    prop_oneof![r#"[a-z"\\{}\[\],:<\n\u{1F600}é]{0,12}"#, "[a-z]{0,4}"]
}

fn name() -> impl Strategy<Value = String> {
    let wanted = ["metadata", "items", "name", "annotations", "any", "spec", "modes", "continue", "resourceVersion"];
    prop_oneof![proptest::sample::select(wanted.to_vec()).prop_map(str::to_owned), words(), "ours/[a-z\"]{0,3}"]
}

fn members(members: impl IntoIterator<Item = (String, Value)>) -> Value {
    Value::Object(members.into_iter().collect())
}

/// An item with matching fields among others.
fn item() -> impl Strategy<Value = Value> {
    let metadata = (value(), btree_map(name(), value(), 0..6), value(), value());
    let metadata = metadata.prop_map(|(name, annotations, any, fields)| {
        json!({"managedFields": fields, "name": name, "annotations": members(annotations), "any": any})
    });
    prop_oneof![
        value(),
        (metadata, vec(value(), 0..4))
            .prop_map(|(metadata, modes)| { json!({"kind": "Item", "metadata": metadata, "spec": {"modes": modes}}) })
    ]
}

proptest! {
    #[test]
    fn the_output_is_what_serde_json_finds_wherever_bytes_are_split(
        items in vec(item(), 0..6),
        envelope in btree_map(name(), value(), 0..4),
        items_first in any::<bool>(),
        pretty in any::<bool>(),
        sizes in vec(1..40_usize, 1..8),
    ) {
        let mut list_of = Map::new();
        if items_first {
            list_of.insert("items".to_owned(), items.clone().into());
        }
        list_of.extend(envelope);
        list_of.insert("metadata".to_owned(), json!({"resourceVersion": "7", "continue": "token"}));
        if !items_first {
            list_of.insert("items".to_owned(), items.into());
        }
        let list_of = Value::Object(list_of);
        let json = if pretty { serde_json::to_vec_pretty(&list_of) } else { serde_json::to_vec(&list_of) }.unwrap();
        let fields = list();
        let mut elements = Vec::new();
        let document = expected(&fields, &list_of, &mut elements).unwrap();
        let mut found = parts(&fields, &json, &sizes).unwrap();
        let Some(Part::Document(last)) = found.pop() else { panic!("the document comes last") };
        prop_assert_eq!(text(&last), document);
        let found: Vec<_> = found.iter().map(|part| match part {
            Part::Element(kept) => text(kept),
            Part::Document(_) => panic!("one document"),
        }).collect();
        prop_assert_eq!(found, elements);
    }

    #[test]
    fn bytes_that_are_no_json_never_panic(
        bytes in vec(proptest::sample::select(br#"{}[]",:\ntrue1 items metadata name"#.to_vec()), 0..200),
        size in 1..20_usize,
    ) {
        let fields = list();
        let mut projection = Projection::new(&fields);
        'all: for mut piece in bytes.chunks(size) {
            loop {
                match projection.advance(&mut piece) {
                    Ok(Some(_)) => {}
                    Ok(None) => break,
                    Err(_) => break 'all,
                }
            }
        }
    }
}

#[test]
fn documents_that_follow_one_another_are_separated() {
    let fields = object([("type", Fields::Text(20))]);
    let json = b"{\"type\":\"ADDED\",\"object\":{\"a\":[1]}}\n{\"type\":\"DELETED\"}\n";
    for size in 1..json.len() {
        let found = parts(&fields, json, &[size]).unwrap();
        let kept = |text: &[u8]| Part::Document(Projected { text: text.to_vec(), truncated: false });
        assert_eq!(found, [kept(br#"{"type":"ADDED"}"#), kept(br#"{"type":"DELETED"}"#)]);
    }
}

#[test]
fn what_is_larger_than_its_bound_is_cut_and_the_rest_is_kept() {
    let fields = object([
        ("long", Fields::Text(10)),
        ("any", Fields::Any(10)),
        ("annotations", Fields::Strings("ours/", 20)),
        ("modes", Fields::Texts(10)),
        ("name", Fields::Text(10)),
    ]);
    let large = "x".repeat(1 << 20);
    for (member, kept) in [
        (json!({"long": large}), json!({"name": "a"})),
        (json!({"any": [large]}), json!({"name": "a"})),
        (
            json!({"annotations": {"ours/a": "1", "ours/b": large}}),
            json!({"annotations": {"ours/a": "1"}, "name": "a"}),
        ),
        (json!({"annotations": {format!("ours/{large}"): "1"}}), json!({"annotations": {}, "name": "a"})),
        (json!({"modes": ["one", "two", "three"]}), json!({"modes": ["one", "two"], "name": "a"})),
    ] {
        let mut document = member.as_object().unwrap().clone();
        document.insert("name".to_owned(), "a".into());
        let json = serde_json::to_vec(&document).unwrap();
        let found = parts(&fields, &json, &[1000]).unwrap();
        let [Part::Document(found)] = &*found else { panic!("one document") };
        assert_eq!((text(found), found.truncated), (kept, true));
        assert!(found.text.capacity() < 1000, "{}", found.text.capacity());
    }
}

#[test]
fn a_value_of_another_type_is_as_if_it_were_not_there() {
    let json = br#"{"metadata":7,"items":[null,[],{"metadata":null,"spec":{"modes":{}}},{"metadata":{"name":[]}}]}"#;
    let found = parts(&list(), json, &[]).unwrap();
    let found: Vec<_> = found
        .iter()
        .map(|part| match part {
            Part::Document(kept) | Part::Element(kept) => text(kept),
        })
        .collect();
    assert_eq!(found, [json!({"spec": {}}), json!({"metadata": {}}), json!({})]);
}

#[test]
fn what_is_skipped_may_nest_as_deep_as_it_likes() {
    let deep = "[".repeat(1_000_000) + &"]".repeat(1_000_000);
    let json = format!(r#"{{"items":[{{"metadata":{{"managedFields":{deep},"name":"a"}}}}]}}"#);
    let found = parts(&list(), json.as_bytes(), &[4096]).unwrap();
    let Some(Part::Element(item)) = found.first() else { panic!("one item") };
    assert_eq!(text(item), json!({"metadata": {"name": "a"}}));
}

#[test]
fn a_name_is_the_same_with_escapes() {
    let found = parts(&list(), br#"{"m\u0065tadata":{"continue":"a\"b"}}"#, &[1]).unwrap();
    let [Part::Document(found)] = &*found else { panic!("one document") };
    assert_eq!(text(found), json!({"metadata": {"continue": "a\"b"}}));
}
