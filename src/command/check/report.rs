//! What was checked, line by line, and how each came out.

use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::terminal::print_exact;
use crate::terminal::screen::{visible, visible_line};

/// How a check came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// As it should be.
    Good,
    /// It does not work.
    Bad,
    /// It could not be looked at, or depends on what does not work.
    NotChecked,
    /// It works, and should be looked at.
    Warning,
}

/// One check.
struct Line {
    group: String,
    check: String,
    state: State,
    text: String,
    hint: Option<String>,
}

/// The checks so far.
#[derive(Default)]
pub(super) struct Report {
    lines: Vec<Line>,
    group: String,
    /// Whether each line is printed as it comes, and in colour.
    printed: Option<bool>,
    /// Why a line could not be printed.
    unwritten: Option<anyhow::Error>,
}

impl Report {
    /// One whose lines are printed as they come, for people.
    pub(super) fn printed(coloured: bool) -> Self {
        Report { printed: Some(coloured), ..Report::default() }
    }

    /// Begins a group of checks.
    pub(super) fn group(&mut self, name: &str) {
        name.clone_into(&mut self.group);
    }

    /// Something is as it should be.
    pub(super) fn good(&mut self, check: &str, text: impl Into<String>) {
        self.line(check, State::Good, text.into(), None);
    }

    /// Something does not work, and what to do: a command or a page.
    pub(super) fn bad(&mut self, check: &str, text: impl Into<String>, hint: impl Into<String>) {
        self.line(check, State::Bad, text.into(), Some(hint.into()));
    }

    /// Something should be looked at.
    pub(super) fn warning(&mut self, check: &str, text: impl Into<String>, hint: impl Into<String>) {
        self.line(check, State::Warning, text.into(), Some(hint.into()));
    }

    /// Something was not looked at, and why.
    pub(super) fn not_checked(&mut self, check: &str, why: impl Into<String>) {
        self.line(check, State::NotChecked, format!("{check}: not checked: {}", why.into()), None);
    }

    /// Whether one of these checks does not work: its name.
    pub(super) fn broken<'c>(&self, checks: &[&'c str]) -> Option<&'c str> {
        let is_bad = |check: &&&str| self.lines.iter().any(|line| line.check == **check && line.state == State::Bad);
        checks.iter().find(is_bad).copied()
    }

    /// How many checks failed.
    pub(super) fn failures(&self) -> usize {
        self.lines.iter().filter(|line| line.state == State::Bad).count()
    }

    /// For people, below the lines: how much was not looked at; empty where all was.
    pub(super) fn summary(&self) -> String {
        let not_checked = self.lines.iter().filter(|line| line.state == State::NotChecked).count();
        if not_checked == 0 { String::new() } else { format!("\n{not_checked} of {} not checked\n", self.lines.len()) }
    }

    fn line(&mut self, check: &str, state: State, text: String, hint: Option<String>) {
        let line = Line { group: self.group.clone(), check: check.to_owned(), state, text, hint };
        if let Some(coloured) = self.printed
            && let Err(error) = print_exact(&line.text(self.lines.last(), coloured))
        {
            self.unwritten.get_or_insert(error);
        }
        self.lines.push(line);
    }

    /// Whether nothing was checked yet.
    pub(super) fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// Whether all that was to be printed was.
    ///
    /// # Errors
    /// Why not.
    pub(super) fn is_written(&mut self) -> anyhow::Result<()> {
        self.unwritten.take().map_or(Ok(()), Err)
    }

    /// For programs.
    pub(super) fn json(&self) -> String {
        let line = |line: &Line| {
            let state = match line.state {
                State::Bad => "failed",
                State::Good => "ok",
                State::NotChecked => "not-checked",
                State::Warning => "warning",
            };
            json!({"group": line.group, "check": line.check, "state": state, "text": line.text, "hint": line.hint})
        };
        format!("{:#}\n", Value::Array(self.lines.iter().map(line).collect()))
    }
}

impl Line {
    /// For people: a mark before it, below its group where that is another than that of the line before.
    fn text(&self, before: Option<&Line>, coloured: bool) -> String {
        let mut text = String::new();
        if before.is_none_or(|before| before.group != self.group) {
            let gap = if before.is_none() { "" } else { "\n" };
            let _ = writeln!(text, "{gap}{}", visible_line(&self.group));
        }
        let (mark, colour) = match self.state {
            State::Bad => ("×", "\u{1b}[31m"),
            State::Good => ("✓", "\u{1b}[32m"),
            State::NotChecked => ("–", "\u{1b}[2m"),
            State::Warning => ("!", "\u{1b}[33m"),
        };
        let mark = if coloured { format!("{colour}{mark}\u{1b}[0m") } else { mark.to_owned() };
        let _ = writeln!(text, "  {mark} {}", visible(&self.text));
        if let Some(hint) = &self.hint {
            let _ = writeln!(text, "      {}", visible(hint));
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::{Line, Report};

    #[test]
    fn lines_stand_in_their_groups_with_marks_and_hints() {
        let mut report = Report::default();
        report.group("Webhook");
        report.good("configuration", "it is there");
        report.bad("service", "no endpoint", "kubectl get pods");
        report.group("Canary");
        report.not_checked("canary", "it depends on the Service");
        let expected = "Webhook\n  ✓ it is there\n  × no endpoint\n      kubectl get pods\n\nCanary\n  – canary: not checked: it depends on the Service\n";
        let text = |coloured: bool| {
            let before = std::iter::once(None).chain(report.lines.iter().map(Some));
            let lines: Vec<_> = report.lines.iter().zip(before).collect();
            lines.into_iter().map(|(line, before): (&Line, _)| line.text(before, coloured)).collect::<String>()
        };
        assert_eq!(text(false), expected);
        assert!(text(true).contains("\u{1b}[31m×\u{1b}[0m no endpoint"));
        assert_eq!((report.failures(), report.broken(&["configuration", "service"])), (1, Some("service")));
        assert!(report.json().contains("\"state\": \"failed\""));
        assert_eq!((report.summary().as_str(), Report::default().summary().as_str()), ("\n1 of 3 not checked\n", ""));
    }
}
