//! What was checked, line by line, and how each came out.

use std::fmt::Write as _;

use serde_json::{Value, json};

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
}

impl Report {
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

    fn line(&mut self, check: &str, state: State, text: String, hint: Option<String>) {
        self.lines.push(Line { group: self.group.clone(), check: check.to_owned(), state, text, hint });
    }

    /// For people: a group below the other, a mark before each line.
    pub(super) fn text(&self, coloured: bool) -> String {
        let (mut text, mut group) = (String::new(), "");
        for line in &self.lines {
            if line.group != group {
                let gap = if text.is_empty() { "" } else { "\n" };
                let _ = writeln!(text, "{gap}{}", line.group);
                group = &line.group;
            }
            let (mark, colour) = match line.state {
                State::Bad => ("×", "\u{1b}[31m"),
                State::Good => ("✓", "\u{1b}[32m"),
                State::NotChecked => ("–", "\u{1b}[2m"),
                State::Warning => ("!", "\u{1b}[33m"),
            };
            let mark = if coloured { format!("{colour}{mark}\u{1b}[0m") } else { mark.to_owned() };
            let _ = writeln!(text, "  {mark} {}", line.text);
            if let Some(hint) = &line.hint {
                let _ = writeln!(text, "      {hint}");
            }
        }
        text
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

#[cfg(test)]
mod tests {
    use super::Report;

    #[test]
    fn lines_stand_in_their_groups_with_marks_and_hints() {
        let mut report = Report::default();
        report.group("Webhook");
        report.good("configuration", "it is there");
        report.bad("service", "no endpoint", "kubectl get pods");
        report.group("Canary");
        report.not_checked("canary", "it depends on the Service");
        let expected = "Webhook\n  ✓ it is there\n  × no endpoint\n      kubectl get pods\n\nCanary\n  – canary: not checked: it depends on the Service\n";
        assert_eq!(report.text(false), expected);
        assert!(report.text(true).contains("\u{1b}[31m×\u{1b}[0m no endpoint"));
        assert_eq!((report.failures(), report.broken(&["configuration", "service"])), (1, Some("service")));
        assert!(report.json().contains("\"state\": \"failed\""));
    }
}
