//! Progress on standard error: lines that are rewritten on a terminal, else one line per change.

use std::io::{IsTerminal as _, Write as _};
use std::pin::pin;

use tokio::time::{Instant, timeout_at};

use crate::terminal::colour::{ERASE_LINE, up};
use crate::terminal::note;
use crate::terminal::visible::visible_line;

/// The progress line on standard error.
pub(crate) struct ProgressLine {
    /// Whether standard error is a terminal, so that the line is rewritten.
    pub(crate) is_terminal: bool,
    current: String,
}

impl ProgressLine {
    /// An empty progress line.
    pub(crate) fn new() -> Self {
        ProgressLine { is_terminal: std::io::stderr().is_terminal(), current: String::new() }
    }

    /// Replaces the current line; the same line twice is written once.
    pub(crate) fn update(&mut self, line: &str) {
        if self.current == line {
            return;
        }
        line.clone_into(&mut self.current);
        if self.is_terminal {
            let _ = write!(std::io::stderr().lock(), "\r{ERASE_LINE}{}", fitted(line, columns()));
        } else {
            note(line);
        }
    }

    /// Erases the current line of a terminal.
    fn erase(&mut self) {
        if self.is_terminal && !self.current.is_empty() {
            self.current.clear();
            let _ = write!(std::io::stderr().lock(), "\r{ERASE_LINE}");
        }
    }

    /// Keeps the current line and moves to the next one.
    pub(crate) fn finish(&mut self) {
        if self.is_terminal && !self.current.is_empty() {
            note("");
        }
    }
}

/// Several progress lines on standard error, each with a label before it. A single one without a label is a [`ProgressLine`].
pub(crate) struct ProgressLines {
    labels: Vec<String>,
    current: Vec<String>,
    single: ProgressLine,
    is_drawn: bool,
}

impl ProgressLines {
    /// Empty progress lines.
    pub(crate) fn new<'l>(labels: impl Iterator<Item = &'l str>) -> Self {
        let labels: Vec<_> = labels.map(str::to_owned).collect();
        let current = vec![String::new(); labels.len()];
        ProgressLines { labels, current, single: ProgressLine::new(), is_drawn: false }
    }

    /// Whether standard error is a terminal, so that lines are rewritten.
    pub(crate) fn is_terminal(&self) -> bool {
        self.single.is_terminal
    }

    /// Replaces a line; the same line twice is written once.
    pub(crate) fn update(&mut self, index: usize, line: &str) {
        let (Some(label), Some(current)) = (self.labels.get(index), self.current.get_mut(index)) else { return };
        if label.is_empty() {
            return self.single.update(line);
        }
        if current == line {
            return;
        }
        line.clone_into(current);
        if self.single.is_terminal {
            self.draw();
        } else {
            note(&format!("{label}: {line}"));
        }
    }

    /// Writes all lines over those that were written before.
    fn draw(&mut self) {
        let _ = write!(std::io::stderr().lock(), "{}", self.drawn(columns()));
        self.is_drawn = true;
    }

    /// What a terminal of this width is sent to show all lines.
    fn drawn(&self, columns: usize) -> String {
        let mut text = if self.is_drawn { up(self.labels.len()) } else { String::new() };
        let widest = self.labels.iter().map(|label| label.chars().count()).max().unwrap_or_default();
        for (label, line) in self.labels.iter().zip(&self.current) {
            text.extend([ERASE_LINE, &fitted(&format!("{label:widest$}  {line}"), columns), "\n"]);
        }
        text
    }

    /// Keeps the lines and moves below them.
    pub(crate) fn finish(&mut self) {
        self.single.finish();
    }
}

/// The width of the terminal at standard error; 0 if it is unknown.
fn columns() -> usize {
    rustix::termios::tcgetwinsize(std::io::stderr()).map_or(0, |size| size.ws_col.into())
}

/// A line as it is shown in one row: one that wraps takes two, and is not rewritten as a whole.
fn fitted(line: &str, columns: usize) -> String {
    let line = visible_line(line).replace('\t', " ");
    if columns == 0 || line.chars().count() < columns {
        return line;
    }
    let mut fitted: String = line.chars().take(columns.saturating_sub(2)).collect();
    fitted.push('…');
    fitted
}

/// Shows a line on a terminal from a point in time on, until some work is done. If standard error is no terminal, nothing is
/// written.
pub(crate) async fn show_while<T>(line: &str, from: Instant, work: impl Future<Output = T>) -> T {
    let (mut work, mut progress) = (pin!(work), ProgressLine::new());
    if !progress.is_terminal {
        return work.await;
    }
    if let Ok(done) = timeout_at(from, &mut work).await {
        return done;
    }
    progress.update(line);
    let done = work.await;
    progress.erase();
    done
}

#[cfg(test)]
mod tests {
    use super::{ProgressLines, fitted};

    #[test]
    fn several_lines_are_written_over_themselves_and_none_takes_two_rows() {
        let mut lines = ProgressLines::new(["a/b main", "long/name main"].into_iter());
        lines.current = vec!["starting".to_owned(), "waiting for a node: \u{1b}[2J0/9 nodes".to_owned()];
        let first = "\u{1b}[Ka/b main        starting\n\u{1b}[Klong/name main  waiting for a …\n";
        assert_eq!(lines.drawn(32), first);
        lines.is_drawn = true;
        lines.current[1] = "done".to_owned();
        let again = "\u{1b}[2F\u{1b}[Ka/b main        starting\n\u{1b}[Klong/name main  done\n";
        assert_eq!(lines.drawn(32), again);
        assert_eq!(lines.drawn(0), again, "the width is unknown");
    }

    #[test]
    fn a_line_is_cut_by_characters_and_has_no_tab() {
        assert_eq!(fitted("█████ 100 %", 80), "█████ 100 %");
        assert_eq!(
            (fitted("█████ 100 %", 6), fitted("a\tb", 9), fitted("abc", 1)),
            ("████…".into(), "a b".into(), "…".into())
        );
    }
}
