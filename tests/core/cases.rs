//! The case folders, through the library. `cli::cases`, `server::cases` and `cluster::cases` hold the other doors to the same.

use dynamo_cache::admission::Evaluation;
use dynamo_cache::admission::claim::{Claim, Claims};
use dynamo_cache::admission::reason::Reason;
use dynamo_cache::admission::warning;
use serde_json::{Value, json};

use crate::harness::case::{Case, every_case};
use crate::harness::program;

/// What the library says of a case: the pod afterwards, and its decision, reasons and warnings.
fn by_the_library(case: &Case) -> (Value, Value) {
    let text = case.object.to_string();
    let pod = serde_json::from_str(&text).unwrap();
    let (config, namespace) = (case.config(), case.namespace());
    let evaluation = Evaluation::new(&pod, &config.settings, &namespace);
    let claims = case.claims().unwrap_or_else(|| all_that_are_asked_for(&evaluation));
    let outcome = evaluation.decide(&claims);
    let mut after = case.object.clone();
    let patch = serde_json::from_value(serde_json::to_value(outcome.operations()).unwrap()).unwrap();
    json_patch::patch(&mut after, &json_patch::Patch(patch)).unwrap();
    let reasons: Vec<_> = outcome.reasons().into_iter().map(Reason::code).collect();
    let mut report = json!({"decision": outcome.decision(), "reasons": reasons});
    if !outcome.warnings.is_empty() {
        report["warnings"] = json!(warning::to_response_lines(&outcome.warnings));
    }
    (after, report)
}

fn all_that_are_asked_for(evaluation: &Evaluation<'_>) -> Claims {
    evaluation.claims().map(|name| (name.to_owned(), Claim::default())).collect()
}

#[test]
fn every_case_is_decided_as_it_says() {
    every_case(|case| {
        let (after, report) = by_the_library(case);
        if program::updates() {
            case.update(&after, &report);
            return Ok(());
        }
        case.agrees(&after, &report)
    });
}
