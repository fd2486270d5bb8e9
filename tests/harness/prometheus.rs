//! Prometheus, and its tool promtool.

use std::io::Write as _;
use std::process::{Command, Stdio};

/// The path of `promtool` or `prometheus`: `tests/run` adds to PATH what it had to build.
#[expect(clippy::disallowed_methods, reason = "a program is found as a shell finds it")]
pub(crate) fn program(name: &str) -> String {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).map(|folder| folder.join(name)).find(|program| program.is_file());
    found.unwrap_or_else(|| panic!("{name} is missing: tests/run gets it")).display().to_string()
}

/// Holds a page in the older text form to what Prometheus' own tool knows of good names and help.
pub(crate) fn lint_metrics(page: &str) {
    let mut lint = Command::new(program("promtool"));
    let lint = lint.args(["check", "metrics"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut lint = lint.spawn().unwrap();
    lint.stdin.take().unwrap().write_all(page.as_bytes()).unwrap();
    let said = lint.wait_with_output().unwrap();
    let words = [said.stdout, said.stderr].map(|words| String::from_utf8_lossy(&words).into_owned()).concat();
    assert!(said.status.success() && words.is_empty(), "{words}\n{page}");
}
