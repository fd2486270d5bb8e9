//! Generates pods from the API server's own `OpenAPI` document: for each field that it knows, pods with that field.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Map, Value, json};

use super::field_values;

/// Where all pods begin.
const ROOT: &str = "PodSpec";

/// How often an optional field is there, in a pod that is not about it.
const OFTEN: f64 = 0.12;

/// A field: the type that has it, and its name.
pub(super) type Field = (String, String);

/// What the API server knows.
pub(super) struct Schema {
    types: BTreeMap<String, Value>,
}

impl Schema {
    /// Reads the document of the core group.
    pub(super) fn read(document: &Value) -> Self {
        let types = document["components"]["schemas"].as_object().expect("an OpenAPI document has schemas");
        let types = types.iter().map(|(name, schema)| (last(name, '.').to_owned(), schema.clone()));
        Schema { types: types.collect() }
    }

    /// Every field that a pod's spec may have, at any depth.
    pub(super) fn fields(&self) -> Vec<Field> {
        self.ways().into_keys().collect()
    }

    /// Pods that have one field, in a spec that comes as near to it as it can.
    pub(super) fn pods(&self, field: &Field) -> impl Strategy<Value = Value> {
        let ways = self.ways();
        let mut has = BTreeSet::new();
        let mut next = Some(field.clone());
        while let Some(step) = next {
            next = ways.get(&step).cloned().flatten();
            has.insert(step);
        }
        let spec = Pods { schema: self, has, made: RefCell::default() }.of_type(ROOT);
        (field_values::metadata(), spec).prop_map(|(metadata, mut spec)| {
            field_values::add_named(&mut spec);
            json!({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec})
        })
    }

    /// The fields that an object of a type has, and those below it, by their types.
    pub(super) fn count(&self, name: &str, value: &Value, seen: &mut BTreeSet<Field>) {
        for (key, value) in value.as_object().into_iter().flatten() {
            if let Some(schema) = self.properties(name).get(key) {
                seen.insert((name.to_owned(), key.clone()));
                let Some(below) = below(schema) else { continue };
                let items = value.as_array().map_or(std::slice::from_ref(value), Vec::as_slice);
                for item in items {
                    self.count(&below, item, seen);
                }
            }
        }
    }

    /// Each field with the one above it, by the first way from the root.
    fn ways(&self) -> BTreeMap<Field, Option<Field>> {
        let (mut ways, mut known, mut rest) = (BTreeMap::new(), BTreeSet::new(), vec![(ROOT.to_owned(), None)]);
        while let Some((name, above)) = rest.pop() {
            if !known.insert(name.clone()) {
                continue;
            }
            for (key, schema) in self.properties(&name) {
                if field_values::NEVER.contains(&(&name, key)) {
                    continue;
                }
                let field = (name.clone(), key.clone());
                ways.insert(field.clone(), above.clone());
                rest.extend(below(schema).map(|below| (below, Some(field))));
            }
        }
        ways
    }

    /// What is in an object of a type; what we say ourselves is not looked into.
    fn properties(&self, name: &str) -> &Map<String, Value> {
        static NONE: std::sync::LazyLock<Map<String, Value>> = std::sync::LazyLock::new(Map::new);
        if field_values::LEAVES.contains(&name) {
            return &NONE;
        }
        self.types.get(name).and_then(|schema| schema["properties"].as_object()).unwrap_or(&NONE)
    }
}

/// The type of what a field holds, or of each item.
fn below(schema: &Value) -> Option<String> {
    let reference = [&schema["$ref"], &schema["allOf"][0]["$ref"], &schema["items"]["$ref"]];
    reference.iter().find_map(|reference| Some(last(reference.as_str()?, '.').to_owned()))
}

fn last(text: &str, separator: char) -> &str {
    text.rsplit(separator).next().unwrap_or(text)
}

/// What makes pods with certain fields.
struct Pods<'s> {
    schema: &'s Schema,
    has: BTreeSet<Field>,
    made: RefCell<BTreeMap<String, BoxedStrategy<Value>>>,
}

impl Pods<'_> {
    fn of_type(&self, name: &str) -> BoxedStrategy<Value> {
        if let Some(made) = self.made.borrow().get(name) {
            return made.clone();
        }
        let made = self.object(name);
        self.made.borrow_mut().insert(name.to_owned(), made.clone());
        made
    }

    fn has(&self, name: &str, key: &str) -> bool {
        self.has.contains(&(name.to_owned(), key.to_owned()))
    }

    fn object(&self, name: &str) -> BoxedStrategy<Value> {
        let properties = self.schema.properties(name);
        let union = field_values::union(name, properties);
        let mut selected: Vec<_> = union.iter().filter(|key| self.has(name, key)).cloned().collect();
        if selected.is_empty() {
            selected.clone_from(&union);
        }
        let required = list(&self.schema.types[name]["required"]);
        let mut members = vec![];
        let usual = |key: &String| !union.contains(key) && !field_values::NEVER.contains(&(name, key));
        for (key, schema) in properties.iter().filter(|(key, _)| usual(key)) {
            let value = self.value(name, key, schema);
            let key = key.clone();
            let always = self.has(name, &key) || required.contains(&key) || field_values::needs(name, &key);
            let member = value.prop_map(move |value| (key.clone(), value));
            members.push(if always { member.prop_map(Some).boxed() } else { option::weighted(OFTEN, member).boxed() });
        }
        if !selected.is_empty() {
            let one = selected.into_iter().map(|key| {
                let value = self.value(name, &key, &properties[&key]);
                value.prop_map(move |value| (key.clone(), value)).boxed()
            });
            members.push(proptest::strategy::Union::new(one).prop_map(Some).boxed());
        }
        members.prop_map(|members| Value::Object(members.into_iter().flatten().collect())).boxed()
    }

    fn value(&self, name: &str, key: &str, schema: &Value) -> BoxedStrategy<Value> {
        if let Some(words) = field_values::words(name, key) {
            return words;
        }
        if schema["type"] == "array" {
            let items = self.value(name, key, &schema["items"]);
            let keys = list(&schema["x-kubernetes-list-map-keys"]);
            let set = schema["x-kubernetes-list-type"] == "set";
            return vec(items, 1..3).prop_map(move |items| unlike(items, &keys, set)).boxed();
        }
        if let Some(below) = below(schema) {
            return match below.as_str() {
                "Quantity" => select(vec![json!("1"), json!("2")]).boxed(),
                "IntOrString" => select(vec![json!(8080), json!("http")]).boxed(),
                below => self.of_type(below),
            };
        }
        if let Some(words) = schema["enum"].as_array() {
            return select(words.clone()).boxed();
        }
        match schema["type"].as_str() {
            // What is false is not stored.
            Some("boolean") if self.has(name, key) => Just(json!(true)).boxed(),
            Some("boolean") => any::<bool>().prop_map(Value::from).boxed(),
            Some("integer") => (1..4).prop_map(Value::from).boxed(),
            Some("object") => field_values::map(name, key),
            _ => select(vec![json!("a"), json!("b-2")]).boxed(),
        }
    }
}

fn list(keys: &Value) -> Vec<String> {
    keys.as_array().into_iter().flatten().filter_map(|key| key.as_str().map(str::to_owned)).collect()
}

/// The list without those that the API server takes for the same.
fn unlike(items: Vec<Value>, keys: &[String], set: bool) -> Value {
    let mut seen = BTreeSet::new();
    let identity = |item: &Value| match keys {
        [] => item.to_string(),
        keys => keys.iter().map(|key| item[key].to_string()).collect::<Vec<_>>().join(" "),
    };
    let unlike = items.into_iter().filter(|item| (keys.is_empty() && !set) || seen.insert(identity(item)));
    Value::Array(unlike.collect())
}
