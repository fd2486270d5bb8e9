//! One word for one thing, and the field's word: those that CONTRIBUTING.md's glossary replaces are not used.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use syn::visit::{self, Visit};

use crate::harness::ROOT;

/// Words of no text and no name, whatever their case.
const WORDS: [&str; 17] = [
    "anew",
    "consideration",
    "judge",
    "judged",
    "judges",
    "keeper",
    "leftalone",
    "nobody",
    "reread",
    "tell",
    "telling",
    "tells",
    "told",
    "unseen",
    "verdict",
    "whoever",
    "whomever",
];

/// The same, of several words.
const PHRASES: [&str; 7] =
    ["by whatever", "left alone", "left out", "of whom", "passed over", "what is more", "who is asked"];

/// Words that no name in the code has. In a sentence they are English, and the names of tests are sentences.
const NAMES: [&str; 11] =
    ["brought", "chosen", "contest", "draft", "missed", "scene", "settled", "shown", "standing", "verdict", "wish"];

/// The same for types.
const TYPES: [&str; 4] = ["account", "place", "room", "world"];

/// The names of tests have more words than this, all other names fewer.
const WORDS_OF_A_SENTENCE: usize = 6;

/// Names that others have given, or words of Kubernetes, in which such a word stands.
const NAMES_OF_OTHERS: [&str; 8] = [
    "MissedTickBehavior",
    "ServiceAccount",
    "in_place",
    "InPlace",
    "service_account",
    "set_missed_tick_behavior",
    "serviceAccount",
    "serviceaccount",
];

/// Names of flags, metrics and fields that were replaced before the first release.
const REPLACED: [&str; 14] = [
    "--silent",
    "--idle",
    "--drain ",
    "--finish",
    "--settle",
    "--count ",
    "answers_total",
    "left_out_total",
    "certificate_end_seconds",
    "authority_end_seconds",
    "leftAlone",
    "told.yaml",
    "not asked for when",
    "all that is theirs",
];

/// Files that speak of the words themselves.
const ABOUT_WORDS: [&str; 3] = ["CHANGELOG.md", "LICENSE", "tests/project/words.rs"];

/// What git has, with its text; not the cases, whose names and pods are those of others.
fn files(extensions: &[&str]) -> Vec<(String, String)> {
    let listed = Command::new("git").args(["ls-files", "-z"]).current_dir(ROOT).output().expect("git is missing");
    let listed = String::from_utf8(listed.stdout).unwrap();
    let is_ours = |file: &&str| {
        let extension = Path::new(file).extension().and_then(|extension| extension.to_str()).unwrap_or_default();
        extensions.contains(&extension) && !ABOUT_WORDS.contains(file) && !file.starts_with("tests/cases/")
    };
    let read = |file: &str| (file.to_owned(), fs::read_to_string(Path::new(ROOT).join(file)).unwrap_or_default());
    listed.split('\0').filter(is_ours).map(read).collect()
}

/// The words of a text in lower case: of `leftAlone`, `LEFT_ALONE` and `left-alone` they are left and alone.
fn words(text: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut was_lower = false;
    for c in text.chars() {
        if !c.is_alphabetic() || (c.is_uppercase() && was_lower) {
            words.push(String::new());
        }
        if c.is_alphabetic() {
            words.last_mut().unwrap().extend(c.to_lowercase());
        }
        was_lower = c.is_lowercase();
    }
    words.retain(|word| !word.is_empty());
    words
}

/// What is wrong with a line.
fn wrong(line: &str) -> Vec<&'static str> {
    let words = words(line);
    let joined = format!(" {} ", words.join(" "));
    let word = WORDS.into_iter().filter(|word| words.iter().any(|found| found == word));
    let phrase = PHRASES.into_iter().filter(|phrase| joined.contains(&format!(" {phrase} ")));
    let replaced = REPLACED.into_iter().filter(|name| line.contains(name));
    word.chain(phrase).chain(replaced).collect()
}

#[test]
fn texts_and_names_use_the_words_of_the_glossary() {
    let found: Vec<_> = files(&["rs", "md", "yaml", "json", "tpl", "txt", "toml", "sh", ""])
        .iter()
        .flat_map(|(file, text)| {
            text.lines().enumerate().flat_map(move |(index, line)| {
                wrong(line).into_iter().map(move |word| format!("{file}:{}: {word:?} in {}", index + 1, line.trim()))
            })
        })
        .collect();
    assert!(found.is_empty(), "CONTRIBUTING.md has better words; {} to replace:\n{}", found.len(), found.join("\n"));
}

#[test]
fn a_forbidden_word_is_found_in_every_form() {
    for line in [
        "it told us",
        "fn tell_all()",
        "struct AsTold;",
        "Nobody knows",
        "a pod is left alone",
        "leftAlone: x",
        "--silent 3s",
    ] {
        assert!(!wrong(line).is_empty(), "{line}");
    }
    for line in ["a fortunetelling", "the rest is untold", "left of it, alone", "a silent connection"] {
        assert!(wrong(line).is_empty(), "{line}: {:?}", wrong(line));
    }
}

/// The names that a file declares or uses.
#[derive(Default)]
struct Names(BTreeSet<String>);

impl<'ast> Visit<'ast> for Names {
    fn visit_ident(&mut self, name: &'ast syn::Ident) {
        self.0.insert(name.to_string());
        visit::visit_ident(self, name);
    }
}

#[test]
fn names_in_the_code_are_nouns_and_verbs_of_the_field() {
    let mut found = Vec::new();
    for (file, text) in files(&["rs"]) {
        let mut names = Names::default();
        names.visit_file(&syn::parse_file(&text).unwrap());
        for name in names.0 {
            let own = NAMES_OF_OTHERS.iter().fold(name.clone(), |own, other| own.replace(other, ""));
            let words = words(&own);
            let types = TYPES.iter().filter(|_| name.starts_with(char::is_uppercase));
            let is_used = |word: &&&str| words.len() < WORDS_OF_A_SENTENCE && words.iter().any(|found| found == **word);
            found.extend(NAMES.iter().chain(types).filter(is_used).map(|_| format!("{file}: {name}")));
        }
        for line in text.lines().filter(|line| line.contains("fn of(") || line.contains("fn of<")) {
            found.push(format!("{file}: a constructor is new or from_…: {}", line.trim()));
        }
    }
    assert!(found.is_empty(), "{} names to replace:\n{}", found.len(), found.join("\n"));
}
