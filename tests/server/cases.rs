//! The case folders, over HTTPS.

use std::collections::BTreeMap;
use std::fmt::Write as _;

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
