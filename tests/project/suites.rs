//! The tests themselves: their folders and their names.

use crate::harness::sources::{rust_files, tests};

/// The folders of the suites. Each imports the harness and itself.
const SUITES: [&str; 7] = ["chart", "cli", "cluster", "core", "project", "server", "stage"];

/// Only these may use the control plane, and Helm, which comes with it: `tests/run --no-control-plane` skips them.
const WITH_CONTROL_PLANE: [&str; 2] = ["chart", "cluster"];

/// The longest name of a test, in characters.
const LONGEST_NAME: usize = 80;

/// The files of the suites: the folder, the path and the text.
fn suites() -> Vec<(&'static str, String, String)> {
    let files = SUITES.iter().flat_map(|suite| {
        let (folder, module) = (format!("tests/{suite}/"), format!("tests/{suite}.rs"));
        let files = rust_files("tests").into_iter();
        let own = files.filter(move |(path, _)| path.starts_with(&folder) || *path == module);
        own.map(move |(path, text)| (*suite, path, text))
    });
    files.collect()
}

#[test]
fn only_the_suites_of_the_chart_and_the_cluster_use_the_control_plane() {
    let needle = ["control", "plane"].join("_");
    for (suite, path, text) in suites() {
        let uses = text.contains(&format!("{needle}::")) || text.contains(&format!("::{needle}"));
        assert!(!uses || WITH_CONTROL_PLANE.contains(&suite), "{path} uses the control plane: it belongs in cluster/");
    }
}

#[test]
fn no_suite_imports_another() {
    for (suite, path, text) in suites() {
        for other in SUITES.iter().filter(|other| **other != suite) {
            let import = format!("crate::{other}::");
            assert!(!text.contains(&import), "{path} uses {import}: what suites share is in tests/harness");
        }
    }
}

#[test]
fn the_name_of_a_test_has_at_most_80_characters() {
    let mut count = 0;
    for (path, text) in rust_files("tests") {
        for name in tests(&text) {
            count += 1;
            assert!(name.len() <= LONGEST_NAME, "{path}: {name} has {} characters", name.len());
        }
    }
    assert!(count > 250, "only {count} tests were found");
}
