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

/// A Rust file without what is in its string literals: identifiers and comments.
pub(crate) fn without_strings(text: &str) -> String {
    let (mut kept, mut rest) = (String::new(), text);
    while let Some(at) = rest.find(['"', '/', '\'']) {
        kept.push_str(&rest[..at]);
        rest = &rest[at..];
        let end = if rest.starts_with("//") {
            let end = rest.find('\n').unwrap_or(rest.len());
            kept.push_str(&rest[..end]);
            end
        } else if rest.starts_with('"') {
            string_end(&kept, rest)
        } else if rest.starts_with("'\"'") {
            3
        } else {
            kept.push_str(&rest[..1]);
            1
        };
        rest = &rest[end..];
    }
    kept + rest
}

/// Where the literal ends with which `rest` begins; `before` says whether it is a raw one.
fn string_end(before: &str, rest: &str) -> usize {
    let hashes = before.len() - before.trim_end_matches('#').len();
    if before.trim_end_matches('#').ends_with('r') {
        let close = format!("\"{}", "#".repeat(hashes));
        return rest[1..].find(&close).map_or(rest.len(), |at| 1 + at + close.len());
    }
    let mut escaped = false;
    let end = rest.char_indices().skip(1).find(|(_, c)| {
        let closes = *c == '"' && !escaped;
        escaped = *c == '\\' && !escaped;
        closes
    });
    end.map_or(rest.len(), |(at, _)| at + 1)
}
