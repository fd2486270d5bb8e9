//! The models of a command line: flags of vLLM, SGLang, TensorRT-LLM and Dynamo, arguments without one, and scripts.

use std::iter::Peekable;
use std::slice::Iter;

use serde_json::Value;

use super::environment::{Environment, is_unclear};
use super::hub_name;
use super::{NamedModel, Purpose, Unclear};
use crate::admission::command_line::{Step, steps};
use crate::admission::pod::Container;

/// Flags with the name of a model, and what it is for.
const NAMES: [(&str, Purpose); 11] = [
    ("model", Purpose::Weights),
    ("model-path", Purpose::Weights),
    ("draft-model", Purpose::Speculator),
    ("speculative-config.model", Purpose::Speculator),
    ("spec-model", Purpose::Speculator),
    ("speculative-draft-model", Purpose::Speculator),
    ("speculative-draft-model-path", Purpose::Speculator),
    ("speculative-model", Purpose::Speculator),
    ("hf-config-path", Purpose::Tokenizer),
    ("tokenizer", Purpose::Tokenizer),
    ("tokenizer-path", Purpose::Tokenizer),
];

/// Flags with the revision of such a model.
const REVISIONS: [(&str, Purpose); 4] = [
    ("revision", Purpose::Weights),
    ("speculative-config.revision", Purpose::Speculator),
    ("speculative-draft-model-revision", Purpose::Speculator),
    ("tokenizer-revision", Purpose::Tokenizer),
];

/// Flags with adapters: as many as follow.
const ADAPTERS: [&str; 2] = ["lora-modules", "lora-paths"];

/// Flags whose value is JSON with models in it.
const CONFIGURATIONS: [&str; 5] =
    ["config", "extra-engine-args", "extra-llm-api-options", "override-engine-args", "speculative-config"];

/// Flags of one dash, and what they stand for.
const SHORT_FLAGS: [(&str, &str); 1] = [("-sc", "speculative-config")];

/// Keys of such JSON that name the model of speculative decoding, in any mapping.
const SPECULATOR_KEYS: [&str; 3] = ["draft_model", "speculative_model", "speculative_model_dir"];

/// Variables that name a model where no flag does. `SERVED_MODEL_NAME` is the name for callers.
const VARIABLES: [&str; 7] =
    ["DYN_MODEL", "DYN_MODEL_NAME", "DYN_MODEL_PATH", "MODEL", "MODEL_ID", "MODEL_NAME", "MODEL_PATH"];

/// Programs that ask a server for a model, or download one, and serve none.
const CLIENTS: [&str; 6] = ["aiperf", "curl", "genai-perf", "guidellm", "hf", "huggingface-cli"];

/// What a command line names.
#[derive(Default)]
pub(super) struct Found {
    pub(super) models: Vec<NamedModel>,
    pub(super) unclear: Vec<Unclear>,
    /// Whether it names what is to be served, even if that is a path, or unclear.
    pub(super) has_main: bool,
}

/// Reads the command line of a container. The variables that its scripts assign are added to `environment`.
pub(super) fn read(container: &Container<'_>, environment: &mut Environment) -> Found {
    let expand = |element: &str| environment.expand_references(element).unwrap_or_else(|| element.to_owned());
    let elements: Vec<_> = container.command_line().map(expand).collect();
    let mut found = Found::default();
    run(elements.iter().map(String::as_str), environment, &mut found, 0);
    found
}

/// How deep scripts are followed that stand in words and variables.
const DEEPEST: usize = 4;

fn run<'e>(elements: impl Iterator<Item = &'e str>, environment: &mut Environment, found: &mut Found, depth: usize) {
    for step in steps(elements) {
        match step {
            Step::Assign { name, value, appends } => environment.assign(&name, &value, appends),
            Step::Run(words) => {
                let mut expanded = Vec::new();
                for (index, word) in words.iter().enumerate() {
                    let value = environment.expand(word);
                    let follows_flag = index.checked_sub(1).is_some_and(|before| words[before].starts_with("--"));
                    let is_text = value.contains(char::is_whitespace) && !follows_flag && !word.starts_with('-');
                    if is_text && *word != value && !is_json(&value) {
                        // A shell splits what a variable holds.
                        expanded.extend(value.split_whitespace().map(str::to_owned));
                    } else if is_text && depth < DEEPEST && !is_json(&value) {
                        // The script of another shell, such as that behind ssh.
                        run(["sh", "-c", &value].into_iter(), environment, found, depth + 1);
                    } else {
                        expanded.push(value);
                    }
                }
                found.command(&expanded);
            }
        }
    }
}

fn is_json(text: &str) -> bool {
    text.starts_with(['{', '['])
}

/// What the flags of one command say about one model.
#[derive(Default)]
struct Argument {
    by: String,
    value: String,
    revision: Option<String>,
}

impl Found {
    /// Whether it names no model, and nothing that may be one.
    pub(super) fn is_empty(&self) -> bool {
        self.models.is_empty() && self.unclear.is_empty() && !self.has_main
    }

    fn command(&mut self, words: &[String]) {
        if words.iter().any(|word| CLIENTS.contains(&last_name(word))) || is_benchmark(words) {
            return;
        }
        let mut arguments: Vec<(Purpose, Argument)> = Vec::new();
        let mut file = None;
        let mut revisions: Vec<(Purpose, String)> = Vec::new();
        let mut rest = words.iter().peekable();
        while let Some(word) = rest.next() {
            let (word, own) = word.split_once('=').map_or((word.as_str(), None), |(word, value)| (word, Some(value)));
            let flag = SHORT_FLAGS.iter().find(|(short, _)| *short == word).map(|(_, flag)| *flag);
            let Some(flag) = flag.or(word.strip_prefix("--")) else { continue };
            let name = flag.replace('_', "-");
            let by = word.to_owned();
            if let Some((_, purpose)) = NAMES.iter().find(|(known, _)| *known == name) {
                if let Some(value) = value(own, &mut rest) {
                    arguments.push((*purpose, Argument { by, value, revision: None }));
                }
            } else if let Some((_, purpose)) = REVISIONS.iter().find(|(known, _)| *known == name) {
                revisions.extend(value(own, &mut rest).map(|value| (*purpose, value)));
            } else if ADAPTERS.contains(&name.as_str()) {
                let mut next = value(own, &mut rest);
                while let Some(adapter) = next {
                    arguments.push((
                        Purpose::Lora,
                        Argument { by: by.clone(), value: adapter_path(&adapter), revision: None },
                    ));
                    next = value(None, &mut rest);
                }
            } else if CONFIGURATIONS.contains(&name.as_str())
                && let Some(value) = value(own, &mut rest)
            {
                match serde_json::from_str(&value) {
                    Ok(json) => arguments.extend(in_configuration(&name, &by, &json)),
                    Err(_) if is_unclear(&value) => self.unclear.push(Unclear { by, text: value }),
                    // A file, which only the container has.
                    Err(_) => file = file.or((name == "config").then_some(Unclear { by, text: value })),
                }
            }
        }
        let names_weights =
            |arguments: &[(Purpose, Argument)]| arguments.iter().any(|(purpose, _)| *purpose == Purpose::Weights);
        if !names_weights(&arguments) {
            arguments.extend(positional(words).map(|argument| (Purpose::Weights, argument)));
        }
        if !names_weights(&arguments) {
            // Which of the words behind flags is a value of a flag, and which is the model, only the program knows.
            let serves = || serving(words).map(|(by, _)| Unclear { by, text: "and flags".to_owned() });
            self.unclear.extend(file.or_else(serves));
        }
        for (purpose, mut argument) in arguments {
            let revision = revisions.iter().rev().find(|(of, _)| *of == purpose).map(|(_, revision)| revision.clone());
            argument.revision = argument.revision.or(revision);
            self.add(purpose, argument);
        }
    }

    fn add(&mut self, purpose: Purpose, Argument { by, value, revision }: Argument) {
        self.has_main |= purpose == Purpose::Weights;
        if is_unclear(&value) {
            self.unclear.push(Unclear { by, text: value });
        } else if let Some(model) = hub_name::read(&value) {
            let revision = model.revision.or(revision.filter(|revision| !is_unclear(revision) && !revision.is_empty()));
            self.models.push(NamedModel { name: model.name, revision, purpose, by });
        }
    }

    /// Adds the models that variables name, for a command line that names none. One without an owner is the name for callers.
    pub(super) fn add_variables(&mut self, environment: &Environment) {
        for name in VARIABLES {
            if environment.is_unknown(name) {
                self.unclear.push(Unclear { by: name.to_owned(), text: format!("${{{name}}}") });
            }
            let Some(model) = environment.value(name).and_then(hub_name::read) else { continue };
            if model.name.contains('/') {
                let (by, purpose) = (name.to_owned(), Purpose::Weights);
                self.models.push(NamedModel { name: model.name, revision: model.revision, purpose, by });
            }
        }
        if self.models.is_empty() && self.unclear.is_empty() {
            self.unclear.extend(environment.unknown.iter().map(whole));
        }
    }

    /// Adds what may be named in place of what was found: by another branch of the script, or by a later source of variables.
    pub(super) fn add_alternatives(&mut self, environment: &Environment) {
        let named = |value: &String| hub_name::read(value).map(|model| model.name);
        let is_found = |name: &String| self.models.iter().find(|model| model.name == *name);
        let mut unclear = Vec::new();
        for (variable, values) in &environment.alternatives {
            let Some(found) = values.iter().filter_map(named).find_map(|name| is_found(&name)) else { continue };
            let others = values.iter().filter(|value| named(value).is_some_and(|name| is_found(&name).is_none()));
            unclear.extend(others.map(|value| Unclear { by: found.by.clone(), text: format!("{variable}={value}") }));
        }
        if environment.replaceable.iter().filter_map(named).any(|name| is_found(&name).is_some()) {
            unclear.extend(environment.unknown.iter().map(whole));
        }
        self.unclear.extend(unclear);
    }
}

/// A source of variables that may have one with the name of a model.
fn whole(source: &String) -> Unclear {
    Unclear { by: "envFrom".to_owned(), text: format!("all of {source}") }
}

/// The value of a flag: its own, or the next word if that is no flag.
fn value(own: Option<&str>, rest: &mut Peekable<Iter<'_, String>>) -> Option<String> {
    own.map(str::to_owned).or_else(|| rest.next_if(|next| !next.starts_with("--")).cloned())
}

/// The argument without a flag in which servers take the model.
fn positional(words: &[String]) -> Option<Argument> {
    let (by, index) = serving(words)?;
    let value = words.get(index).filter(|value| !value.starts_with('-'))?;
    Some(Argument { by, value: value.clone(), revision: None })
}

/// A server that takes the model without a flag, and where its arguments begin.
fn serving(words: &[String]) -> Option<(String, usize)> {
    words.iter().enumerate().find_map(|(index, word)| {
        let serves = words.get(index + 1).is_some_and(|next| next == "serve");
        match last_name(word) {
            "trtllm-serve" => Some(("trtllm-serve".to_owned(), index + 1 + usize::from(serves))),
            program @ ("sglang" | "vllm" | "vllm-rs") if serves => Some((format!("{program} serve"), index + 2)),
            _ => None,
        }
    })
}

/// `vllm bench` and `trtllm-bench` measure; the model is that of the server.
fn is_benchmark(words: &[String]) -> bool {
    let is = |pair: &[String]| matches!(pair, [program, verb] if last_name(program) == "vllm" && verb == "bench");
    words.windows(2).any(is) || words.iter().any(|word| last_name(word) == "trtllm-bench")
}

/// The path of an adapter: `NAME=PATH`, JSON with it, or the path alone.
fn adapter_path(adapter: &str) -> String {
    if let Ok(json) = serde_json::from_str::<Value>(adapter)
        && let Some(path) = json.get("path").or_else(|| json.get("lora_path")).and_then(Value::as_str)
    {
        return path.to_owned();
    }
    adapter.split_once('=').map_or(adapter, |(_, path)| path).to_owned()
}

/// The models in the JSON of a flag.
fn in_configuration(flag: &str, by: &str, json: &Value) -> Vec<(Purpose, Argument)> {
    let text = |json: &Value, key: &str| json.get(key).and_then(Value::as_str).map(str::to_owned);
    let argument = |json: &Value, key: &str| {
        let (value, revision) = (text(json, key)?, text(json, "revision"));
        Some(Argument { by: by.to_owned(), value, revision })
    };
    let own = match flag {
        "speculative-config" => argument(json, "model").map(|argument| (Purpose::Speculator, argument)),
        // The profiler's.
        "config" => argument(json, "model").map(|argument| (Purpose::Weights, argument)),
        _ => None,
    };
    let mut all: Vec<_> = own.into_iter().collect();
    let speculative = [Some(json), json.get("speculative_config")].into_iter().flatten();
    for mapping in speculative {
        let speculators = SPECULATOR_KEYS.iter().filter_map(|key| argument(mapping, key));
        all.extend(speculators.map(|argument| (Purpose::Speculator, argument)));
    }
    all
}

/// What follows the last slash.
fn last_name(word: &str) -> &str {
    word.rsplit('/').next().unwrap_or_default()
}
