//! The Rust files of the repository.

use std::fs;
use std::path::Path;

use super::ROOT;

/// Every Rust file below a folder of the repository: its path from the root, and its text.
pub(crate) fn rust_files(folder: &str) -> Vec<(String, String)> {
    let mut files = Vec::new();
    collect(&Path::new(ROOT).join(folder), &mut files);
    files.sort();
    files
}

fn collect(folder: &Path, files: &mut Vec<(String, String)>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let name = path.strip_prefix(ROOT).unwrap().display().to_string();
            files.push((name, fs::read_to_string(&path).unwrap()));
        }
    }
}

/// The names of the tests in a Rust file.
pub(crate) fn tests(text: &str) -> Vec<&str> {
    let attributes = text.match_indices("#[test]").chain(text.match_indices("#[tokio::test]"));
    let behind = attributes.filter_map(|(at, _)| text[at..].split_once("fn "));
    behind.filter_map(|(_, rest)| Some(rest.split_once('(')?.0)).collect()
}
