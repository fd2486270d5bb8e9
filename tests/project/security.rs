//! SECURITY.md, sentence by sentence: each names the tests that hold it, or says why no test can.

use serde::Deserialize;

use crate::harness::sources::rust_files;

/// The page, and the table of what holds its sentences.
const PAGE: &str = include_str!("../../SECURITY.md");
const TABLE: &str = include_str!("../security.yaml");

/// Where tests are.
const FOLDERS: [&str; 2] = ["src", "tests"];

/// A sentence, and what holds it: tests by their names, or the reason why there is none.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Row {
    says: String,
    #[serde(default)]
    tests: Vec<String>,
    no_test: Option<String>,
}

/// The sentences of a page in Markdown: headings aside, paragraphs and list items are read as one line each.
fn sentences(page: &str) -> Vec<String> {
    let mut paragraphs = vec![String::new()];
    for line in page.lines() {
        let (starts_item, text) = match line.trim_start().strip_prefix("- ") {
            Some(item) => (true, item),
            None => (false, line.trim()),
        };
        if line.starts_with('#') || text.is_empty() || starts_item {
            paragraphs.push(String::new());
        }
        if !line.starts_with('#') && !text.is_empty() {
            let paragraph = paragraphs.last_mut().expect("there is one from the start");
            if !paragraph.is_empty() {
                paragraph.push(' ');
            }
            paragraph.push_str(text);
        }
    }
    let ends = |text: &str| text.ends_with(['.', '!', '?']) || text.ends_with(".)");
    let mut sentences = Vec::new();
    for paragraph in paragraphs {
        let mut sentence = String::new();
        for word in paragraph.split(' ').filter(|word| !word.is_empty()) {
            sentence.push_str(if sentence.is_empty() { "" } else { " " });
            sentence.push_str(word);
            if ends(&sentence) {
                sentences.push(std::mem::take(&mut sentence));
            }
        }
        if !sentence.is_empty() {
            sentences.push(sentence);
        }
    }
    sentences
}

#[test]
fn every_sentence_of_security_md_names_the_tests_that_hold_it() {
    let rows: Vec<Row> = serde_saphyr::from_str(TABLE).unwrap();
    let said: Vec<_> = rows.iter().map(|row| row.says.as_str()).collect();
    let sentences = sentences(PAGE);
    for sentence in &sentences {
        assert!(said.contains(&sentence.as_str()), "tests/security.yaml does not have this sentence: {sentence}");
    }
    assert_eq!(said, sentences, "tests/security.yaml has sentences that SECURITY.md does not, or another order");
    let sources: String = FOLDERS.iter().flat_map(|folder| rust_files(folder)).map(|(_, text)| text).collect();
    for Row { says, tests, no_test } in &rows {
        assert!(tests.is_empty() == no_test.is_some(), "either tests, or the reason for none: {says}");
        for test in tests {
            let is_test = sources.contains(&format!("fn {test}("));
            assert!(is_test, "no test is called {test}, which is to hold: {says}");
        }
    }
}
