//! Parses a settings file and finds every mistake in it.

use std::collections::HashSet;

use serde_json::Value;

use super::{API_VERSION, Config, EVENTS, Error, KIND, Mistake};
use crate::admission::reason::Reason;
use crate::admission::settings::{ALL, Setting, Settings, ValueType};
use crate::yaml::{self, Content, Entry, Node, Position};

/// Parses the text of a settings file.
///
/// # Errors
/// Every mistake in the text.
pub(super) fn read(text: &str) -> Result<Config, Error> {
    let mut reading = Reading::default();
    if let Some(document) = reading.document(text) {
        reading.file(&document);
    }
    let Reading { config, mut mistakes, .. } = reading;
    mistakes.sort_by_key(|mistake| mistake.at);
    if mistakes.is_empty() { Ok(config) } else { Err(Error { mistakes }) }
}

#[derive(Default)]
struct Reading {
    config: Config,
    mistakes: Vec<Mistake>,
    model_path: Option<Position>,
    compile_path: Option<Position>,
    /// The last amount of a resource.
    amount: Option<Position>,
}

impl Reading {
    fn wrong(&mut self, at: Position, message: String) {
        self.mistakes.push(Mistake { at, message });
    }

    /// Reads the file's only document; an empty file counts as an empty mapping.
    fn document(&mut self, text: &str) -> Option<Node> {
        let mut only: Option<Node> = None;
        for node in yaml::nodes(text) {
            match node {
                Err(yaml::Error { at, message }) => {
                    self.wrong(at, message);
                    return None;
                }
                Ok(Node { content: Content::Scalar(Value::Null), .. }) => {}
                Ok(node) if only.is_some() => self.wrong(node.at, "a second document; only one is allowed".to_owned()),
                Ok(node) => only = Some(node),
            }
        }
        Some(only.unwrap_or(Node { at: Position::START, content: Content::Map(Vec::new()) }))
    }

    fn file(&mut self, document: &Node) {
        let Content::Map(entries) = &document.content else {
            self.wrong(document.at, format!("expected a mapping, not {}", document.kind()));
            return;
        };
        self.entries("", entries);
        for (key, only) in [("apiVersion", API_VERSION), ("kind", KIND)] {
            if !entries.iter().any(|entry| entry.key == key) {
                self.wrong(document.at, format!("{key} is missing; write {key}: {only}"));
            }
        }
        // A path that does not parse is already reported, and keeps its default.
        self.paths();
        self.amounts();
    }

    /// Reads the entries of the file (`prefix` is empty) or of a section (`prefix` ends with a dot).
    fn entries(&mut self, prefix: &str, entries: &[Entry]) {
        let mut known = HashSet::new();
        for Entry { at, key, value } in entries {
            let name = format!("{prefix}{key}");
            if !known.insert(key) {
                self.wrong(*at, format!("{name} is set twice"));
            } else if let Some(setting) = ALL.iter().find(|setting| setting.key == Some(&name)) {
                self.setting(&name, setting, value);
            } else {
                match name.as_str() {
                    "apiVersion" => self.constant(&name, API_VERSION, value),
                    "kind" => self.constant(&name, KIND, value),
                    EVENTS => self.events(value),
                    _ if is_section(&name) => self.section(&name, value),
                    _ => self.wrong(*at, unknown(prefix, &name)),
                }
            }
        }
    }

    fn section(&mut self, name: &str, value: &Node) {
        match &value.content {
            Content::Map(entries) => self.entries(&format!("{name}."), entries),
            // A section whose keys are all commented out.
            Content::Scalar(Value::Null) => {}
            _ => self.wrong(value.at, format!("{name} is a mapping, not {}", value.kind())),
        }
    }

    fn constant(&mut self, name: &str, only: &str, value: &Node) {
        if value.content != Content::Scalar(Value::String(only.to_owned())) {
            let written =
                if let Content::Scalar(value) = &value.content { plain(value) } else { value.kind().to_owned() };
            self.wrong(value.at, format!("{name} is {only}, not {written}"));
        }
    }

    fn events(&mut self, value: &Node) {
        match value.content {
            Content::Scalar(Value::Bool(events)) => self.config.events = events,
            _ => self.wrong(value.at, format!("{EVENTS} is true or false, not {}", value.kind())),
        }
    }

    fn setting(&mut self, name: &str, setting: &Setting, node: &Node) {
        let words = setting.takes.describe();
        let text = match (&node.content, setting.takes) {
            (Content::Scalar(Value::Null), _) => {
                return self.wrong(node.at, format!("{name} has no value; it takes {words}"));
            }
            (Content::Scalar(value @ Value::Bool(_)), ValueType::Bool)
            | (Content::Scalar(value @ Value::Number(_)), ValueType::Number | ValueType::Amount(_)) => {
                value.to_string()
            }
            (Content::Scalar(Value::String(text)), takes) if !matches!(takes, ValueType::Bool | ValueType::Number) => {
                text.trim().to_owned()
            }
            (Content::Scalar(value), ValueType::Bool | ValueType::Number) => {
                let (value, kind) = (plain(value), node.kind());
                return self.wrong(node.at, format!("{name} takes {words}, not {kind} ({value})"));
            }
            (Content::Scalar(value), _) => {
                let (value, kind) = (plain(value), node.kind());
                return self
                    .wrong(node.at, format!("{name} takes {words}, not {kind}; did you mean \"{value}\", in quotes?"));
            }
            (_, ValueType::List(_)) => {
                let kind = node.kind();
                return self
                    .wrong(node.at, format!("{name} takes {words} in one text, separated by commas, not {kind}"));
            }
            _ => return self.wrong(node.at, format!("{name} takes {words}, not {}", node.kind())),
        };
        match setting.apply(&mut self.config.settings, &text) {
            Ok(()) => self.remember(name, setting, node.at),
            Err(Reason::LoadFormatRemoved) => {
                let message = format!("{name}: {}", Reason::LoadFormatRemoved.sentence());
                self.config.warnings.push(Mistake { at: node.at, message });
            }
            Err(_) => self.wrong(node.at, format!("{name}: {text:?} is not {words}")),
        }
    }

    /// Remembers the position of what is checked together with other settings.
    fn remember(&mut self, name: &str, setting: &Setting, at: Position) {
        match (name, setting.takes) {
            ("modelCache.mountPath", _) => self.model_path = Some(at),
            ("compileCache.mountPath", _) => self.compile_path = Some(at),
            (_, ValueType::Amount(_)) => self.amount = Some(at),
            _ => {}
        }
    }

    /// A container that requests more than its limit is no container: every pod would be refused.
    fn amounts(&mut self) {
        if let (Some(at), Some(resource)) = (self.amount, self.config.settings.staging.resources.inverted()) {
            self.wrong(at, format!("staging.resources requests more {resource} than its limit; change one of them"));
        }
    }

    /// Neither mount path may contain the other: engines clean up and lock the directories that they consider their own.
    fn paths(&mut self) {
        if let Some(at) = self.compile_path
            && self.config.settings.compile.mount_path.is_an_engines_own()
        {
            let path = &self.config.settings.compile.mount_path;
            let message = format!(
                "compileCache.mountPath {path} is where an engine looks by itself, for caches that cannot be shared; change it"
            );
            self.wrong(at, message);
        }
        let Some(at) = self.compile_path.or(self.model_path) else { return };
        let Settings { model, compile, .. } = &self.config.settings;
        if model.claim == compile.claim {
            // One claim is mounted once, at the model cache's path.
            return;
        }
        let within = |above: &str, below: &str| {
            below.strip_prefix(above).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        let (model, compile) = (model.mount_path.as_str(), compile.mount_path.as_str());
        if within(model, compile) || within(compile, model) {
            let message = format!(
                "compileCache.mountPath {compile} and modelCache.mountPath {model} overlap; change one of them"
            );
            self.wrong(at, message);
        }
    }
}

fn is_section(name: &str) -> bool {
    sections().any(|section| section == name)
}

/// Every section of the file, one that lies in another by its whole name; one is there as often as it has keys.
fn sections() -> impl Iterator<Item = &'static str> {
    let keys = ALL.iter().filter_map(|setting| setting.key);
    keys.flat_map(|key| key.match_indices('.').map(|(end, _)| key.get(..end).unwrap_or_default()))
}

/// A scalar as it would be written in the file.
fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// The message about an unknown key, with the most similar known key of the whole file if it is similar enough.
fn unknown(prefix: &str, name: &str) -> String {
    let keys = ALL.iter().filter_map(|setting| setting.key);
    let mut known = vec!["apiVersion", "kind", EVENTS];
    for key in sections().chain(keys) {
        if !known.contains(&key) {
            known.push(key);
        }
    }
    // Only the beginning of long keys is compared, because the comparison takes quadratic time.
    let begin: String = name.chars().take(80).collect();
    let distance = |key: &&str| {
        let whole = strsim::damerau_levenshtein(&begin, key);
        // For the right name in the wrong section, the last part decides, and the whole key breaks ties.
        let alone = strsim::damerau_levenshtein(last(&begin), last(key));
        (whole.min(alone), whole)
    };
    let here = |key: &str| key.strip_prefix(prefix).filter(|rest| !rest.contains('.')).map(str::to_owned);
    let nearest = known.iter().copied().min_by_key(distance).unwrap_or_default();
    if distance(&nearest).0 * 2 <= last(&begin).chars().count() {
        return format!("{name} is unknown; did you mean {}?", here(nearest).unwrap_or_else(|| nearest.to_owned()));
    }
    let all: Vec<_> = known.into_iter().filter_map(here).collect();
    format!("{name} is unknown; valid keys here: {}", all.join(", "))
}

fn last(key: &str) -> &str {
    key.rsplit('.').next().unwrap_or_default()
}
