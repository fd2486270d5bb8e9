//! Change pods in files as the webhook would change them in the cluster.

use std::fmt::Write;

use crate::cli::{Inject, InjectOutput};
use crate::manifest::batch;
use crate::manifest::batch::Decided;
use crate::manifest::context::DecisionContext;
use crate::manifest::inject::Injected;
use crate::manifest::input::Input;
use crate::manifest::text::TextWriter;
use crate::terminal::{colour, diff, note_all, print_exact};

/// Runs `inject`. Prints nothing before every document has been read and decided.
///
/// # Errors
/// Which file cannot be read, and where in it.
pub(super) fn run(options: &Inject) -> anyhow::Result<()> {
    let (context, about_settings) = DecisionContext::from_options(options.config.as_deref(), &options.known)?;
    let inputs = Input::read_all(&options.files)?;
    let (mut output, mut about_documents) = (Output::new(options.output), Vec::new());
    let about_input = batch::decide(&inputs, context, &options.pod_template, |mut decided| {
        let Injected { operator_notes, graph_notes, ignored, notes, .. } = &mut decided.injected;
        for notes in [operator_notes, graph_notes, ignored, notes] {
            about_documents.append(notes);
        }
        output.add(&decided);
    })?;
    let (text, about_text) = output.finish();
    note_all(about_settings.iter().chain(&about_documents).chain(&about_input).chain(&about_text));
    print_exact(&text)
}

/// The documents in the requested format.
enum Output<'i> {
    Yaml(TextWriter<'i>),
    Other(InjectOutput, String),
}

impl<'i> Output<'i> {
    fn new(format: InjectOutput) -> Self {
        match format {
            InjectOutput::Yaml => Output::Yaml(TextWriter::default()),
            other => Output::Other(other, String::new()),
        }
    }

    fn add(&mut self, decided: &Decided<'i>) {
        let Injected { name, before, after, operations, .. } = &decided.injected;
        match self {
            Output::Yaml(writer) => writer.add(decided),
            Output::Other(InjectOutput::Diff, text) => {
                *text += &diff::unified(name, before, after, colour::is_wanted());
            }
            Output::Other(InjectOutput::Patch, text) => {
                let operations: Vec<_> = operations.iter().map(ToString::to_string).collect();
                let _ = writeln!(text, "[{}]", operations.join(","));
            }
            Output::Other(_, text) => {
                let _ = writeln!(text, "{after:#}");
            }
        }
    }

    /// The text, and notes about it, one line each.
    fn finish(self) -> (String, Vec<String>) {
        match self {
            Output::Yaml(writer) => writer.finish(),
            Output::Other(_, text) => (text, Vec::new()),
        }
    }
}
