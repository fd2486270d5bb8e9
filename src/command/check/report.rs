//! The lines of `check`, and the result of each.

use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::command::check::catalog::{CheckId, Group};
use crate::terminal::colour::Colour;
use crate::terminal::print_exact;
use crate::terminal::visible::{visible, visible_line};

/// The result of a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// It failed.
    Failed,
    /// It passed.
    Ok,
    /// The user may not read what it needs, or it depends on a check that failed.
    NotChecked,
    /// It passed, but the user should look at it.
    Warning,
}

/// One line.
struct Line {
    group: String,
    check: CheckId,
    state: State,
    text: String,
    hint: Option<String>,
}

/// The lines so far.
#[derive(Default)]
pub(super) struct Report {
    lines: Vec<Line>,
    /// The namespace that is being checked.
    namespace: String,
    /// Whether each line is printed at once, and whether in colour.
    printed: Option<bool>,
    /// Why a line could not be printed.
    write_error: Option<anyhow::Error>,
}

impl Report {
    /// A report that prints each line for people as soon as it is added.
    pub(super) fn printed(coloured: bool) -> Self {
        Report { printed: Some(coloured), ..Report::default() }
    }

    /// Starts the checks of a namespace.
    pub(super) fn begin_namespace(&mut self, name: &str) {
        name.clone_into(&mut self.namespace);
    }

    /// Adds a check that passed.
    pub(super) fn ok(&mut self, check: CheckId, text: impl Into<String>) {
        self.add(check, State::Ok, text.into(), None);
    }

    /// Adds a check that failed. The hint is a command, a page, or a sentence.
    pub(super) fn fail(&mut self, check: CheckId, text: impl Into<String>, hint: impl Into<String>) {
        self.add(check, State::Failed, text.into(), Some(hint.into()));
    }

    /// Adds a check that passed but that the user should look at.
    pub(super) fn warning(&mut self, check: CheckId, text: impl Into<String>, hint: impl Into<String>) {
        self.add(check, State::Warning, text.into(), Some(hint.into()));
    }

    /// Adds a check that was not made, and why.
    pub(super) fn not_checked(&mut self, check: CheckId, why: impl Into<String>) {
        self.add(check, State::NotChecked, format!("{}: not checked: {}", check.id(), why.into()), None);
    }

    /// Adds a check that was not made because of another one.
    pub(super) fn depends_on(&mut self, check: CheckId, other: CheckId) {
        self.not_checked(check, format!("it depends on the {}", other.noun()));
    }

    /// Whether a check has failed.
    pub(super) fn has_failed(&self, check: CheckId) -> bool {
        self.lines.iter().any(|line| line.check == check && line.state == State::Failed)
    }

    /// How many checks failed.
    pub(super) fn failures(&self) -> usize {
        self.lines.iter().filter(|line| line.state == State::Failed).count()
    }

    /// The last line for people: how many checks were not made. Empty if all were.
    pub(super) fn summary(&self) -> String {
        let not_checked = self.lines.iter().filter(|line| line.state == State::NotChecked).count();
        if not_checked == 0 { String::new() } else { format!("\n{not_checked} of {} not checked\n", self.lines.len()) }
    }

    /// Whether nothing was checked yet.
    pub(super) fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// Checks that every line was printed.
    ///
    /// # Errors
    /// Why the first line that was not printed could not be.
    pub(super) fn check_written(&mut self) -> anyhow::Result<()> {
        self.write_error.take().map_or(Ok(()), Err)
    }

    /// The JSON array of all checks.
    pub(super) fn json(&self) -> String {
        let line = |line: &Line| {
            let state = match line.state {
                State::Failed => "failed",
                State::Ok => "ok",
                State::NotChecked => "not-checked",
                State::Warning => "warning",
            };
            json!({
                "group": line.group, "check": line.check.id(), "state": state, "text": line.text, "hint": line.hint,
            })
        };
        format!("{:#}\n", Value::Array(self.lines.iter().map(line).collect()))
    }

    fn add(&mut self, check: CheckId, state: State, text: String, hint: Option<String>) {
        let line = Line { group: self.heading(check), check, state, text, hint };
        if let Some(coloured) = self.printed
            && let Err(error) = print_exact(&line.text(self.lines.last(), coloured))
        {
            self.write_error.get_or_insert(error);
        }
        self.lines.push(line);
    }

    fn heading(&self, check: CheckId) -> String {
        match check.group() {
            Group::ApiServer => "API server".to_owned(),
            Group::Webhook => "Webhook".to_owned(),
            Group::Canary => "Canary through the API server".to_owned(),
            Group::Settings => "Settings".to_owned(),
            Group::Namespaces => "Namespaces".to_owned(),
            Group::Namespace => format!("Namespace {}", self.namespace),
            Group::WriteProbe => format!("Writing in namespace {}", self.namespace),
            Group::Current => self.lines.last().map(|line| line.group.clone()).unwrap_or_default(),
        }
    }
}

impl Line {
    /// The line for people: a sign, the text and the hint, below the heading if the line before has another one.
    fn text(&self, before: Option<&Line>, coloured: bool) -> String {
        let mut text = String::new();
        if before.is_none_or(|before| before.group != self.group) {
            let gap = if before.is_none() { "" } else { "\n" };
            let _ = writeln!(text, "{gap}{}", visible_line(&self.group));
        }
        let (sign, colour) = match self.state {
            State::Failed => ("×", Colour::Red),
            State::Ok => ("✓", Colour::Green),
            State::NotChecked => ("–", Colour::Dim),
            State::Warning => ("!", Colour::Yellow),
        };
        let sign = if coloured { colour.paint(sign) } else { sign.to_owned() };
        let _ = writeln!(text, "  {sign} {}", visible(&self.text));
        if let Some(hint) = &self.hint {
            let _ = writeln!(text, "      {}", visible(hint));
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::{Line, Report};
    use crate::command::check::catalog::CheckId;

    #[test]
    fn lines_are_below_their_headings_with_signs_and_hints() {
        let mut report = Report::default();
        report.ok(CheckId::Configuration, "it is there");
        report.fail(CheckId::Service, "no endpoint", "kubectl get pods");
        report.depends_on(CheckId::Canary, CheckId::Service);
        let expected = "Webhook\n  ✓ it is there\n  × no endpoint\n      kubectl get pods\n\nCanary through the API server\n  – canary: not checked: it depends on the Service\n";
        let text = |coloured: bool| {
            let before = std::iter::once(None).chain(report.lines.iter().map(Some));
            let lines: Vec<_> = report.lines.iter().zip(before).collect();
            lines.into_iter().map(|(line, before): (&Line, _)| line.text(before, coloured)).collect::<String>()
        };
        assert_eq!(text(false), expected);
        assert!(text(true).contains("\u{1b}[31m×\u{1b}[0m no endpoint"));
        assert_eq!(report.failures(), 1);
        assert!(report.has_failed(CheckId::Service) && !report.has_failed(CheckId::Configuration));
        assert!(report.json().contains("\"state\": \"failed\""));
        assert_eq!((report.summary().as_str(), Report::default().summary().as_str()), ("\n1 of 3 not checked\n", ""));
    }
}
