//! A settings file as bytes.
#![no_main]

use std::cell::LazyCell;

use dynamo_cache::admission::Evaluation;
use dynamo_cache::admission::claim::{Claim, Claims};
use dynamo_cache::config::Config;
use dynamo_cache::yaml;

use dynamo_cache_fuzz::{case, law};
use libfuzzer_sys::fuzz_target;
use serde_json::Value;

thread_local! {
    static PODS: LazyCell<Vec<Value>> = LazyCell::new(|| case::all().into_iter().map(|case| case.pod).collect());
}

fuzz_target!(|bytes: &[u8]| {
    let text = match yaml::text(bytes) {
        Ok(text) => text,
        Err(error) => return stands_in(bytes, error.at),
    };
    let text = text.as_ref();
    match Config::read(text) {
        Ok(config) => accepted(text, &config),
        Err(refused) => {
            assert!(!refused.mistakes.is_empty());
            for mistake in &refused.mistakes {
                assert!(!mistake.message.is_empty());
                stands_in(bytes, mistake.at);
            }
        }
    }
});

/// What is accepted says the same when the product writes it, and breaks no pod.
fn accepted(text: &str, config: &Config) {
    for warning in &config.warnings {
        stands_in(text.as_bytes(), warning.at);
    }
    let documents = yaml::documents(text).expect("what is a settings file is YAML");
    let Some(document) = documents.first() else { panic!("a settings file without a document has no kind") };
    let written = yaml::write(&document.value);
    let again = Config::read(&written).unwrap_or_else(|error| panic!("{error}\n{written}"));
    assert_eq!((&again.settings, again.events), (&config.settings, config.events), "{written}");

    PODS.with(|pods| {
        let pod = &pods[text.len() % pods.len()];
        let json = pod.to_string();
        let view = serde_json::from_str(&json).expect("the pod of a case has the shape of a pod");
        let evaluation = Evaluation::new(&view, &config.settings, &[]);
        let claims: Claims = evaluation.claims().map(|name| (name.to_owned(), Claim::default())).collect();
        let outcome = evaluation.decide(&claims);
        law::apply(pod, &serde_json::to_value(outcome.operations()).expect("operations are JSON"));
    });
}

/// A place is one that the file has, or the one behind its end.
fn stands_in(bytes: &[u8], at: yaml::Position) {
    let lines = 1 + bytes.iter().filter(|byte| matches!(byte, b'\n' | b'\r')).count();
    assert!((1..=lines).contains(&at.line) && at.column >= 1 && at.column <= bytes.len() + 1, "{at} of {lines} lines");
}
