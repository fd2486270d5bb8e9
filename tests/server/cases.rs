//! The case folders, over HTTPS.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use dynamo_cache::admission::Evaluation;
use dynamo_cache::admission::claim::Writable;

use crate::harness::caller::{self, Answer};
use crate::harness::case::{self, Case, strings};
use crate::harness::webhook::Webhook;

#[test]
fn every_case_is_the_same_over_https() {
    let mut by_facts: BTreeMap<Vec<String>, Vec<&Case>> = BTreeMap::new();
    let cases = case::all();
    for case in &cases {
        by_facts.entry(case.same_facts()).or_default().push(case);
    }
    let mut differ = String::new();
    for cases in by_facts.values() {
        let standalone = Webhook::standalone("cases", &strings(&cases[0].facts()));
        let mut caller = standalone.caller();
        for case in cases {
            let answer = caller.review(case.review().to_string().as_bytes());
            let is_unproven = case.reasons().iter().any(|reason| reason == "claim-unproven");
            let answered = if is_unproven { as_proven(case, &answer) } else { case.answered(&answer) };
            if let Err(difference) = answered {
                writeln!(differ, "\n== {}\n{difference}", case.name).unwrap();
            }
        }
    }
    assert!(differ.is_empty(), "{differ}");
}

/// Without a cluster every claim counts as proven, so the answer is the one for proven claims; the API server of
/// `cluster::cases` has these cases as they are.
fn as_proven(case: &Case, answer: &Answer) -> Result<(), String> {
    let mut claims = case.claims().unwrap_or_default();
    for claim in claims.values_mut() {
        claim.writable = Writable::Everybody;
    }
    let (config, namespace) = (case.config(), case.namespace());
    let text = case.object.to_string();
    let pod = serde_json::from_str(&text).unwrap();
    let outcome = Evaluation::new(&pod, &config.settings, &namespace).decide(&claims);
    let expected = serde_json::to_string(&outcome.operations()).unwrap();
    let patch = caller::patch(answer);
    if patch == expected { Ok(()) } else { Err(format!("{patch}\nis not\n{expected}")) }
}
