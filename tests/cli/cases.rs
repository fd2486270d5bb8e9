//! The case folders, through `inject`.

use dynamo_cache::yaml;

use crate::harness::case::{every_case, strings};
use crate::harness::program;

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
            let is_reported = run.errors.contains(&format!("[{reason}]"));
            if is_reported { Ok(()) } else { Err(format!("nothing about {reason} in {:?}", run.errors)) }
        })
    });
}
