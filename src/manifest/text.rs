//! The text of files after injection: their own text, with the additions inserted.

use serde_json::Value;

use crate::manifest::batch::Decided;
use crate::yaml;

/// Writes files as one stream of YAML documents.
#[derive(Default)]
pub(crate) struct TextWriter<'i> {
    text: String,
    /// What stands behind the last document of the file: the whole file, and the byte from which on.
    behind: Option<(&'i str, usize)>,
    /// Notes about documents whose comments are lost, one line each.
    notes: Vec<String>,
}

impl<'i> TextWriter<'i> {
    /// Adds a document; those of a file come one after another.
    pub(crate) fn add(&mut self, decided: &Decided<'i>) {
        let Decided { input, index, source, injected } = decided;
        let after_file = *index == 0 && !self.text.is_empty();
        if after_file {
            self.end_file();
        }
        let Some(range) = &source.text else {
            // JSON has no comments, and is asked for as YAML.
            self.add_written(&injected.after);
            return;
        };
        let old = input.text.get(range.clone()).unwrap_or_default();
        self.behind = Some((&input.text, range.end));
        if injected.operations.is_empty() {
            self.text += if after_file { separator(old) } else { "" };
            self.text += old;
        } else if let Some(new) = source.edit(&input.text, &injected.operations, &injected.after) {
            self.text += if after_file { separator(old) } else { "" };
            self.text += &new.text;
        } else {
            if old.contains('#') {
                let why = "the additions do not fit into its text, so its comments are lost";
                self.notes.push(input.at(format!("{}: {}: {why}", source.at, injected.name)));
            }
            self.add_written(&injected.after);
            self.text += if old.trim_end().ends_with("\n...") { "...\n" } else { "" };
        }
    }

    /// Adds a document in our own words, behind a separator.
    fn add_written(&mut self, document: &Value) {
        if !self.text.is_empty() {
            // The document before it may end with dots, whose line goes on here.
            self.text += if self.text.ends_with('\n') { "---\n" } else { "\n---\n" };
        }
        self.text += &yaml::write(document);
    }

    /// The whole text, and the notes.
    pub(crate) fn finish(mut self) -> (String, Vec<String>) {
        self.end_file();
        (self.text, self.notes)
    }

    fn end_file(&mut self) {
        let behind = self.behind.take().and_then(|(file, end)| file.get(end..));
        self.text += behind.unwrap_or_default();
        self.text += if self.text.is_empty() || self.text.ends_with('\n') { "" } else { "\n" };
    }
}

/// What separates a file from the one before it.
fn separator(text: &str) -> &'static str {
    let is_comment = |line: &str| line.trim_end().is_empty() || line.starts_with('#');
    let first = text.lines().find(|line| !is_comment(line)).unwrap_or_default();
    let is_separated =
        first.strip_prefix("---").is_some_and(|rest| rest.is_empty() || rest.starts_with([' ', '\t', '\r']));
    match first.chars().next() {
        // A directive may only follow the end of a document.
        Some('%') => "...\n",
        _ if is_separated => "",
        _ => "---\n",
    }
}
