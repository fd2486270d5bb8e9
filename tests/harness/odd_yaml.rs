//! Writes a value as YAML in every odd but legal way that kubectl reads: styles, anchors, merges, comments, tags, line ends.

mod scalar;

use std::fmt::Write as _;

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use serde_json::{Map, Value, json};

use super::any_pod;
use scalar::{is_plain, quoted};

/// Writes values; the same seed writes the same text.
struct Writer {
    seed: u64,
    /// The collections that have an anchor, with its name.
    anchors: Vec<(Value, String)>,
    text: String,
}

/// Pods, each as a value and as text.
pub(crate) fn documents(count: u32) -> Vec<(Value, String)> {
    let mut runner = TestRunner::new_with_rng(Config::default(), TestRng::deterministic_rng(RngAlgorithm::ChaCha));
    let any = (any_pod::pod(), odd_values());
    let document = |seed: u32| {
        let (mut pod, odd) = any.new_tree(&mut runner).unwrap().current();
        pod["apiVersion"] = "v1".into();
        pod["odd"] = odd.clone();
        pod["spec"]["again"] = odd;
        let text = write(&pod, u64::from(seed));
        (pod, text)
    };
    (0..count).map(document).collect()
}

/// Values whose text a careless reader takes for something else.
fn odd_values() -> impl Strategy<Value = Value> {
    const TEXTS: [&str; 30] = [
        "",
        " ",
        "yes",
        "No",
        "0644",
        "1e3",
        "~",
        "null",
        "a: b",
        "- a",
        "# a",
        "a #b",
        "{a}",
        "'",
        "\"",
        "\\",
        "ä😀",
        "\t",
        "<<",
        "=",
        "2024-01-02",
        "a\nb\n",
        "set -e\n\n  exec x\n",
        "end\n\n",
        "end\n  \n",
        "end \n\t\n\n",
        "a  \n b\nc",
        "some words in a line",
        "one line\nanother one\n\n  deeper\nend\n",
        "two  spaces: and # more",
    ];
    let leaf = prop_oneof![
        proptest::sample::select(&TEXTS[..]).prop_map(Value::from),
        any::<bool>().prop_map(Value::from),
        any::<u16>().prop_map(Value::from),
        Just(Value::Null),
        Just(json!(0.5)),
        Just(json!(-3)),
    ];
    leaf.prop_recursive(3, 20, 4, |inside| {
        let keys = proptest::sample::select(vec!["a", "b", "c", "on", "12", "x/y", "with space", "ä"]);
        prop_oneof![
            proptest::collection::vec(inside.clone(), 0..4).prop_map(Value::from),
            proptest::collection::btree_map(keys, inside, 0..4)
                .prop_map(|map| Value::Object(map.into_iter().map(|(key, value)| (key.to_owned(), value)).collect())),
        ]
    })
}

/// A document with a value, which is a mapping.
fn write(value: &Value, seed: u64) -> String {
    let mut writer = Writer { seed: seed.wrapping_mul(2) + 1, anchors: Vec::new(), text: String::new() };
    writer.comment(0);
    if writer.one_of(12) {
        writer.flow(value);
        writer.text.push('\n');
    } else {
        writer.block_map(value.as_object().expect("a document is a mapping"), 0);
    }
    writer.comment(0);
    if writer.one_of(8) {
        writer.text += "...\n";
    }
    if writer.one_of(6) { writer.text.replace('\n', "\r\n") } else { writer.text }
}

impl Writer {
    fn next(&mut self) -> u64 {
        // splitmix64
        self.seed = self.seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.seed;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % u64::try_from(end).unwrap()).unwrap()
    }

    /// True once in so many times.
    fn one_of(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }

    fn spaces(&mut self) -> String {
        " ".repeat(1 + if self.one_of(5) { self.below(3) } else { 0 })
    }

    /// Perhaps lines with a comment, or empty ones.
    fn comment(&mut self, column: usize) {
        if self.one_of(9) {
            let column = if self.one_of(3) { 0 } else { column };
            let _ = writeln!(self.text, "{}# {{[ 'note': *x - <<", " ".repeat(column));
        }
        // Behind a block that keeps its empty lines, one more would be a part of it.
        if self.one_of(14) && !self.text.ends_with("\n\n") {
            self.text.push('\n');
        }
    }

    /// The end of a line, perhaps with a comment.
    fn line_end(&mut self) {
        let has_comment = self.one_of(12);
        self.text += if has_comment { "  # \"why\n" } else { "\n" };
    }

    /// Spaces up to a column; none if something stands in the line, such as a dash.
    fn begin_line(&mut self, column: usize) {
        if self.text.is_empty() || self.text.ends_with('\n') {
            self.text += &" ".repeat(column);
        }
    }

    fn block_map(&mut self, entries: &Map<String, Value>, column: usize) {
        let merged = self.merge(entries);
        if let Some((name, _)) = &merged {
            self.begin_line(column);
            let _ = write!(self.text, "<<: *{name}");
            self.line_end();
        }
        let mut is_first = merged.is_none();
        for (key, value) in entries {
            if merged.as_ref().is_some_and(|(_, base)| base.get(key) == Some(value)) {
                continue;
            }
            if !is_first {
                self.comment(column);
            }
            self.begin_line(column);
            is_first = false;
            let key = self.key(key);
            self.text += &key;
            self.text.push(':');
            self.value(value, column, true);
        }
    }

    fn block_list(&mut self, items: &[Value], column: usize) {
        for (index, item) in items.iter().enumerate() {
            if index > 0 {
                self.comment(column);
            }
            self.begin_line(column);
            self.text.push('-');
            self.value(item, column, false);
        }
    }

    /// A value behind a colon or a dash, up to the end of its line or of its block.
    fn value(&mut self, value: &Value, column: usize, is_behind_key: bool) {
        let is_empty = value.as_object().is_some_and(Map::is_empty) || value.as_array().is_some_and(Vec::is_empty);
        let is_collection = value.is_object() || value.is_array();
        if let Some(name) = self.alias(value) {
            let spaces = self.spaces();
            let _ = write!(self.text, "{spaces}*{name}");
            return self.line_end();
        }
        if !is_collection || is_empty || self.one_of(6) {
            let spaces = self.spaces();
            match value {
                Value::Null if self.one_of(3) => {}
                Value::String(text) if self.block_text(text, column) => return,
                Value::String(text) if self.many_lines(text, column) => {}
                _ => {
                    self.text += &spaces;
                    self.flow(value);
                }
            }
            return self.line_end();
        }
        let anchor = self.anchor(value);
        let is_compact = anchor.is_empty() && !is_behind_key && !self.one_of(3);
        if is_compact {
            let spaces = 1 + self.below(3);
            self.text += &" ".repeat(spaces);
            return self.block(value, column + 1 + spaces);
        }
        self.text += &anchor;
        self.line_end();
        self.comment(column);
        // A list may stand in the column of its key.
        let deeper = if value.is_array() && is_behind_key { self.below(3) } else { 1 + self.below(4) };
        self.block(value, column + deeper);
    }

    fn block(&mut self, value: &Value, column: usize) {
        match value {
            Value::Object(entries) => self.block_map(entries, column),
            Value::Array(items) => self.block_list(items, column),
            _ => unreachable!("only collections are blocks"),
        }
    }

    /// An anchor before a collection, sometimes.
    fn anchor(&mut self, value: &Value) -> String {
        if !self.one_of(6) {
            return String::new();
        }
        let name = format!("a{}", self.anchors.len());
        self.anchors.push((value.clone(), name.clone()));
        format!(" &{name}")
    }

    /// The anchor of an equal value before this one, sometimes.
    fn alias(&mut self, value: &Value) -> Option<String> {
        let is_wanted = !self.one_of(3);
        // Inside of itself, an anchor cannot be used: it is known only when it has ended.
        self.anchors
            .iter()
            .find(|(known, name)| known == value && is_wanted && !self.is_open(name))
            .map(|(_, name)| name.clone())
    }

    /// An anchor whose entries are all keys of a mapping, sometimes.
    fn merge(&mut self, entries: &Map<String, Value>) -> Option<(String, Map<String, Value>)> {
        let is_wanted = self.one_of(2);
        let fits = |base: &Map<String, Value>| !base.is_empty() && base.keys().all(|key| entries.contains_key(key));
        let mut found =
            self.anchors.iter().filter_map(|(known, name)| Some((name.clone(), known.as_object()?.clone())));
        found.find(|(name, base)| is_wanted && fits(base) && !self.is_open(name))
    }

    /// Whether the node of an anchor may not have ended yet: only the last ones may contain what is written now.
    fn is_open(&self, name: &str) -> bool {
        let begin = self.text.rfind(&format!("&{name}")).unwrap_or_default();
        let column = |text: &str| text.rsplit('\n').next().map_or(0, |line| line.len() - line.trim_start().len());
        let own = column(&self.text[..begin]);
        // It has ended if a line since then begins at its column or before, and is no comment, and no dash of its own list.
        !self.text[begin..].lines().skip(1).any(|line| {
            let first = line.len() - line.trim_start().len();
            !line.trim().is_empty() && !line.trim_start().starts_with(['#', '-']) && first <= own
        })
    }

    fn key(&mut self, key: &str) -> String {
        let plain = is_plain(key);
        match self.below(4) {
            0 => quoted(key),
            1 if !key.contains(['\n', '\r']) => format!("'{}'", key.replace('\'', "''")),
            _ if plain => key.to_owned(),
            _ => quoted(key),
        }
    }

    /// A value in flow style.
    fn flow(&mut self, value: &Value) {
        let text = self.flow_text(value);
        self.text += &text;
    }

    fn flow_text(&mut self, value: &Value) -> String {
        match value {
            Value::Null => ["null", "~", "NULL"][self.below(3)].to_owned(),
            Value::Bool(true) => ["true", "yes", "on", "True", "y", "!!bool yes"][self.below(6)].to_owned(),
            Value::Bool(false) => ["false", "No", "OFF", "n", "FALSE"][self.below(5)].to_owned(),
            Value::Number(number) => self.number(number),
            Value::String(text) => self.text_in_a_line(text),
            Value::Array(items) => {
                let items: Vec<_> = items.iter().map(|item| self.flow_text(item)).collect();
                self.brackets('[', &items, ']')
            }
            Value::Object(entries) => {
                let entries: Vec<_> = entries
                    .iter()
                    .map(|(key, value)| {
                        let (key, value) = (self.key(key), self.flow_text(value));
                        format!("{key}: {value}")
                    })
                    .collect();
                self.brackets('{', &entries, '}')
            }
        }
    }

    fn brackets(&mut self, begin: char, parts: &[String], end: char) -> String {
        let space = if self.one_of(2) { " " } else { "" };
        let trailing = if !parts.is_empty() && self.one_of(5) { "," } else { "" };
        {
            let comma = if self.one_of(4) { "," } else { ", " };
            format!("{begin}{space}{}{trailing}{space}{end}", parts.join(comma))
        }
    }
}
