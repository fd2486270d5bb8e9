//! The case folders, each put through three doors with equal answers: the library, `inject`, and HTTPS.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use dynamo_cache::admission::Consideration;
use dynamo_cache::admission::claim::{Claim, Claims};
use dynamo_cache::admission::reason::Reason;
use dynamo_cache::admission::told;
use dynamo_cache::yaml;
use serde_json::{Value, json};

use crate::harness::case::{self, Case};
use crate::harness::program;
use crate::harness::webhook::Webhook;

/// Runs every case, and fails with all that differ.
fn every_case(answer: impl Fn(&Case) -> Result<(), String>) {
    let cases = case::all();
    assert!(cases.len() > 200, "only {} case folders under tests/cases", cases.len());
    let mut differ = String::new();
    for case in &cases {
        if let Err(difference) = answer(case) {
            writeln!(differ, "\n== {}\n{difference}", case.name).unwrap();
        }
    }
    assert!(differ.is_empty(), "{differ}");
}

/// What the library says of a case: the pod afterwards, and what is told.
fn by_the_library(case: &Case) -> (Value, Value) {
    let text = case.object.to_string();
    let pod = serde_json::from_str(&text).unwrap();
    let (config, namespace) = (case.config(), case.namespace());
    let consideration = Consideration::of(&pod, &config.settings, &namespace);
    let claims = case.claims().unwrap_or_else(|| all_that_are_asked_for(&consideration));
    let outcome = consideration.decide(&claims);
    let mut after = case.object.clone();
    let patch = serde_json::from_value(serde_json::to_value(&outcome.operations).unwrap()).unwrap();
    json_patch::patch(&mut after, &json_patch::Patch(patch)).unwrap();
    let reasons: Vec<_> = outcome.reasons().into_iter().map(Reason::code).collect();
    let mut told = json!({"decision": outcome.decision(), "reasons": reasons});
    if !outcome.warnings.is_empty() {
        told["warnings"] = json!(told::brief(&outcome.warnings));
    }
    (after, told)
}

fn all_that_are_asked_for(consideration: &Consideration<'_>) -> Claims {
    consideration.claims().map(|name| (name.to_owned(), Claim::default())).collect()
}

#[test]
fn every_case_is_decided_as_it_says() {
    every_case(|case| {
        let (after, told) = by_the_library(case);
        if program::updates() {
            case.update(&after, &told);
            return Ok(());
        }
        case.agrees(&after, &told)
    });
}

#[test]
fn every_case_is_the_same_through_inject() {
    every_case(|case| {
        let run = program::run(&[&["inject", "--output=json"][..], &strings(&case.options("--filename"))].concat(), "");
        if run.code != Some(0) {
            return Err(run.errors);
        }
        let documents = yaml::documents(&run.output).map_err(|error| error.to_string())?;
        let after = &documents.first().ok_or("no document")?.value;
        case.agrees_on_the_pod(after)?;
        case.reasons().into_iter().try_for_each(|reason| {
            let told = run.errors.contains(&format!("[{reason}]"));
            if told { Ok(()) } else { Err(format!("nothing about {reason} in {:?}", run.errors)) }
        })
    });
}

#[test]
fn every_case_is_the_same_over_https() {
    let mut rooms: BTreeMap<Vec<String>, Vec<&Case>> = BTreeMap::new();
    let cases = case::all();
    for case in &cases {
        rooms.entry(case.same_facts()).or_default().push(case);
    }
    let mut differ = String::new();
    for cases in rooms.values() {
        let webhook = Webhook::standalone("cases", &strings(&cases[0].facts()));
        let mut caller = webhook.caller();
        for case in cases {
            let answer = caller.review(case.review().to_string().as_bytes());
            if let Err(difference) = case.answered(&answer) {
                writeln!(differ, "\n== {}\n{difference}", case.name).unwrap();
            }
        }
    }
    assert!(differ.is_empty(), "{differ}");
}

fn strings(options: &[String]) -> Vec<&str> {
    options.iter().map(String::as_str).collect()
}
