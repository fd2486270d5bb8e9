//! Change pods in files as the webhook would change them in the cluster.

use std::collections::BTreeSet;
use std::fmt::Write;

use serde_json::Value;

use crate::cli::{Inject, InjectOutput};
use crate::manifest::context::DecisionContext;
use crate::manifest::inject;
use crate::manifest::inject::Injected;
use crate::manifest::input::Input;
use crate::terminal::{colour, diff, note, print_exact};
use crate::yaml;

/// Runs `inject`. Prints nothing before every document has been read and decided.
///
/// # Errors
/// Which file cannot be read, and where in it.
pub(super) fn run(options: &Inject) -> anyhow::Result<()> {
    let (context, about_settings) = DecisionContext::from_options(options.config.as_deref(), &options.known)?;
    let input = Input::read(&options.filename)?;
    let mut injected = Vec::new();
    for (index, document) in input.documents()?.into_iter().enumerate() {
        let at = document.at;
        injected.push(inject::inject(document.value, &context, &options.pod_template).map_err(|error| {
            let at = match &error {
                inject::Error::NotAPod { pointer, .. } => yaml::find(&input.text, index, pointer).unwrap_or(at),
                _ => at,
            };
            input.error([format!("{at}: {error}")])
        })?);
    }
    let about_documents = injected.iter().flat_map(|one| one.operator_notes.iter().chain(&one.notes)).cloned();
    let about_empty = injected.is_empty().then(|| format!("{}: the file has no document", input.name));
    for line in about_settings
        .into_iter()
        .chain(about_documents)
        .chain(about_empty)
        .chain(about_unknown(&injected))
        .chain(about_unused(&options.pod_template, &injected))
    {
        note(&line);
    }
    print_exact(&documents(injected, options.output))
}

/// One line about all objects of unknown kinds that may have pods; it names the first five.
fn about_unknown(injected: &[Injected]) -> Option<String> {
    const NAMED: usize = 5;
    let unknown: Vec<_> = injected.iter().flat_map(|one| &one.unknown).map(String::as_str).collect();
    let named = unknown.get(..NAMED).unwrap_or(&unknown).join(", ");
    let more = match unknown.len().saturating_sub(NAMED) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    (!unknown.is_empty())
        .then(|| format!("no pod template is known in {named}{more}; --pod-template POINTER names one"))
}

/// One line per `--pod-template` that led to no pod template, sorted.
fn about_unused(pointers: &[String], injected: &[Injected]) -> Vec<String> {
    let used: BTreeSet<_> = injected.iter().flat_map(|one| &one.used_pointers).collect();
    let unused: BTreeSet<_> = pointers.iter().filter(|pointer| !used.contains(pointer)).collect();
    let line = |pointer| format!("--pod-template {pointer}: no document of an unknown kind has a pod template there");
    unused.into_iter().map(line).collect()
}

/// The documents in the requested format.
fn documents(injected: Vec<Injected>, output: InjectOutput) -> String {
    let mut text = String::new();
    match output {
        InjectOutput::Diff => {
            let coloured = colour::is_wanted();
            for Injected { name, before, after, .. } in injected {
                text += &diff::unified(&name, &before, &after, coloured);
            }
        }
        InjectOutput::Json => {
            for Injected { after, .. } in injected {
                let _ = writeln!(text, "{after:#}");
            }
        }
        InjectOutput::Patch => {
            for Injected { operations, .. } in injected {
                let _ = writeln!(text, "{}", Value::Array(operations));
            }
        }
        InjectOutput::Yaml => {
            for Injected { after, .. } in injected {
                if !text.is_empty() {
                    text += "---\n";
                }
                text += &yaml::write(&after);
            }
        }
    }
    text
}
