//! Prometheus' own tool, promtool.

use std::io::Write as _;
use std::process::{Command, Stdio};

/// Holds a page in the older text form to what Prometheus' own tool knows of good names and help.
pub(crate) fn lint_metrics(page: &str) {
    let mut lint = Command::new("promtool");
    let lint = lint.args(["check", "metrics"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut lint = lint.spawn().expect("promtool is missing: apt-get install prometheus");
    lint.stdin.take().unwrap().write_all(page.as_bytes()).unwrap();
    let said = lint.wait_with_output().unwrap();
    let words = [said.stdout, said.stderr].map(|words| String::from_utf8_lossy(&words).into_owned()).concat();
    assert!(said.status.success() && words.is_empty(), "{words}\n{page}");
}
