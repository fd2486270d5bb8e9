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
            let _ = write!(std::io::stderr().lock(), "\r{ERASE_LINE}{}", visible_line(line));
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
        let mut text = if self.is_drawn { up(self.labels.len()) } else { String::new() };
        let widest = self.labels.iter().map(|label| label.chars().count()).max().unwrap_or_default();
        for (label, line) in self.labels.iter().zip(&self.current) {
            let line = visible_line(&format!("{label:widest$}  {line}")).into_owned();
            text.extend([ERASE_LINE, line.as_str(), "\n"]);
        }
        self.is_drawn = true;
        let _ = write!(std::io::stderr().lock(), "{text}");
    }

    /// Keeps the lines and moves below them.
    pub(crate) fn finish(&mut self) {
        self.single.finish();
    }
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
