//! All documents of the input files, decided one by one; what one of them declares counts for the others.

use std::collections::BTreeSet;

use crate::manifest::context::DecisionContext;
use crate::manifest::facts::declared::{self, Declared, Mistake};
use crate::manifest::inject;
use crate::manifest::inject::Injected;
use crate::manifest::input::Input;
use crate::manifest::pod_templates::{self, WrongPointer};
use crate::manifest::report::few;
use crate::yaml;
use crate::yaml::{Position, Source};

/// A document that was decided about.
pub(crate) struct Decided<'i> {
    /// Its file.
    pub(crate) input: &'i Input,
    /// The number of documents before it in its file.
    pub(crate) index: usize,
    /// The text of the document; its value is in what was decided.
    pub(crate) source: Source,
    /// What was decided.
    pub(crate) injected: Injected,
}

/// What is known of a batch as a whole, once all of it is decided.
#[derive(Default)]
struct Summary {
    notes: Vec<String>,
    unknown: Vec<String>,
    without_kind: Vec<String>,
    used: BTreeSet<String>,
    wrong: Vec<WrongPointer>,
    namespaces: BTreeSet<Option<String>>,
}

/// Injects the caches into the documents of the files, and passes each to `visit`. `pointers` lead to pod templates.
/// Returns notes about the input as a whole, one line each.
///
/// # Errors
/// Where a file cannot be read, or a pointer that leads to no pod template.
pub(crate) fn decide<'i>(
    inputs: &'i [Input],
    mut context: DecisionContext,
    pointers: &[String],
    mut visit: impl FnMut(Decided<'i>),
) -> anyhow::Result<Vec<String>> {
    context.declared = declared_in(inputs);
    let mut summary = Summary::default();
    for input in inputs {
        let mut count = 0;
        for (index, source) in input.sources().enumerate() {
            let mut source = source?;
            let value = source.value.take();
            let injected = match declared::find_mistake(&value) {
                Some(Mistake { name, pointer, message }) => Err(inject::Error::NotAPod { name, pointer, message }),
                None => inject::inject(value, &context, pointers),
            };
            let injected =
                injected.map_err(|error| anyhow::Error::msg(at_its_place(input, index, source.at, &error)))?;
            summary.add(&injected);
            if injected.used_pointers.is_empty() && pod_templates::has_no_kind(&injected.before) {
                summary.without_kind.push(input.at(source.at));
            }
            visit(Decided { input, index, source, injected });
            count = index + 1;
        }
        if count == 0 {
            summary.notes.push(format!("{}: the file has no document", input.name));
        }
    }
    let namespaces = summary.namespaces.iter().map(|namespace| context.namespace_of(namespace.as_deref())).collect();
    let declared = context.declared.note(&context.facts, &namespaces);
    Ok(declared.into_iter().chain(summary.finish(pointers)?).collect())
}

/// The Namespaces and claims of the files. Only documents with such a word are parsed for that, and those with a mistake are
/// skipped: they are parsed again.
fn declared_in(inputs: &[Input]) -> Declared {
    let chunks = inputs.iter().flat_map(|input| input.text.split("\n---")).filter(|text| Declared::may_be_in(text));
    let documents: Vec<_> = chunks.filter_map(|text| yaml::documents(text).ok()).flatten().collect();
    Declared::from_documents(documents.iter().map(|document| &document.value))
}

impl Summary {
    fn add(&mut self, injected: &Injected) {
        self.unknown.extend_from_slice(&injected.unknown);
        self.used.extend(injected.used_pointers.iter().cloned());
        self.wrong.extend_from_slice(&injected.wrong_pointers);
        self.namespaces.extend(injected.namespaces.iter().cloned());
    }

    /// Checks that every pointer led to a pod template, and returns the notes.
    fn finish(mut self, pointers: &[String]) -> anyhow::Result<Vec<String>> {
        let unused: BTreeSet<_> = pointers.iter().filter(|pointer| !self.used.contains(*pointer)).collect();
        let line = |given: &&String| match self.wrong.iter().find(|wrong| wrong.given == **given) {
            Some(WrongPointer { object, pointer, .. }) => format!(
                "--pod-template {given}: {object} has no pod template at {pointer}: it has neither a spec nor containers there"
            ),
            None => format!("--pod-template {given}: no document has a pod template there"),
        };
        let lines: Vec<_> = unused.iter().map(line).collect();
        anyhow::ensure!(lines.is_empty(), lines.join("\n"));
        self.notes.extend(about_unknown(&self.unknown));
        self.notes.extend(about_no_kind(&self.without_kind));
        Ok(self.notes)
    }
}

/// One line about all objects of unknown kinds that may have pods.
fn about_unknown(unknown: &[String]) -> Option<String> {
    let line = || format!("no pod template is known in {}; --pod-template POINTER names one", few(unknown));
    (!unknown.is_empty()).then(line)
}

/// One line about all documents that are no objects of Kubernetes, such as the values of a Helm chart.
fn about_no_kind(places: &[String]) -> Option<String> {
    let line = || format!("no object of Kubernetes, since it has no kind, and left as it is: {}", few(places));
    (!places.is_empty()).then(line)
}

/// The message about an error, with file, line and column. `index` counts the documents of the file.
pub(crate) fn at_its_place(input: &Input, index: usize, document: Position, error: &inject::Error) -> String {
    let inject::Error::NotAPod { pointer, message, .. } = error else {
        return input.at(format!("{document}: {error}"));
    };
    let at = yaml::find(&input.text, index, pointer).unwrap_or(document);
    let scalar = yaml::scalar_at(&input.text, at).filter(|_| message.ends_with("expected a string"));
    input.at(format!("{at}: {error}{}", scalar.and_then(hint).unwrap_or_default()))
}

/// What to do about a plain scalar that YAML takes for something else than text.
fn hint(scalar: &str) -> Option<String> {
    let kind = match yaml::plain(scalar)? {
        serde_json::Value::Bool(_) => "a boolean",
        serde_json::Value::Number(_) => "a number",
        _ => return None,
    };
    Some(format!("; {scalar} without quotes is {kind} in YAML: write \"{scalar}\" if it is text"))
}
