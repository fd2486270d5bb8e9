//! Runs the program, with its files, and returns how it ended.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// How a run went.
pub(crate) struct Run {
    pub(crate) code: Option<i32>,
    pub(crate) output: String,
    pub(crate) errors: String,
}

/// Runs the program with text on its standard input, and without a cluster.
pub(crate) fn run(arguments: &[&str], input: &str) -> Run {
    run_in(Path::new("/dev/null"), arguments, input)
}

/// Runs the program with text on its standard input, in the cluster of a kubeconfig.
pub(crate) fn run_in(kubeconfig: &Path, arguments: &[&str], input: &str) -> Run {
    let mut child = start_in(kubeconfig, arguments);
    let mut stdin = child.stdin.take().unwrap();
    // The program may print before it has read everything, so the two go on at once.
    std::thread::scope(|scope| {
        scope.spawn(move || drop(stdin.write_all(input.as_bytes())));
        end(child)
    })
}

/// Starts the program in the cluster of a kubeconfig.
pub(crate) fn start_in(kubeconfig: &Path, arguments: &[&str]) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dynamo-cache"));
    command.args(arguments).env_remove("KUBERNETES_SERVICE_HOST").env_remove("NO_COLOR").env("KUBECONFIG", kubeconfig);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

/// Waits for the end of a run.
pub(crate) fn end(child: Child) -> Run {
    let output = child.wait_with_output().unwrap();
    Run {
        code: output.status.code(),
        output: String::from_utf8(output.stdout).unwrap(),
        errors: String::from_utf8(output.stderr).unwrap(),
    }
}

/// A file with this text, in the folder that cargo keeps for tests; every test names its own.
pub(crate) fn file(name: &str, text: &str) -> String {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::write(&path, text).unwrap();
    path.display().to_string()
}

/// A kubeconfig of a cluster that cannot be reached.
pub(crate) fn kubeconfig(name: &str) -> String {
    let text = "apiVersion: v1\nkind: Config\ncurrent-context: x\n\
        clusters: [{name: x, cluster: {server: 'http://127.0.0.1:1'}}]\n\
        contexts: [{name: x, context: {cluster: x, user: x}}]\nusers: [{name: x, user: {}}]\n";
    file(&format!("{name}.kubeconfig"), text)
}

/// The program that a webhook of the tests runs: what cargo has just made, or the build that `DYNAMO_CACHE_TEST_PROGRAM` names, a
/// release for instance.
#[expect(clippy::disallowed_methods, reason = "tests have no options of their own")]
pub(crate) fn program() -> String {
    std::env::var("DYNAMO_CACHE_TEST_PROGRAM").unwrap_or_else(|_| env!("CARGO_BIN_EXE_dynamo-cache").to_owned())
}

/// Whether expectations are to be rewritten instead of compared.
#[expect(clippy::disallowed_methods, reason = "tests have no options of their own")]
pub(crate) fn updates() -> bool {
    std::env::var_os("UPDATE").is_some()
}

/// How many cases a property is tested with: `PROPTEST_CASES`, where it is set.
#[expect(clippy::disallowed_methods, reason = "proptest's own way of asking")]
pub(crate) fn cases(usual: u32) -> u32 {
    std::env::var("PROPTEST_CASES").map_or(usual, |cases| cases.parse().expect("PROPTEST_CASES is a number"))
}

/// The row of a printed table that begins with these cells, as its cells.
pub(crate) fn row(table: &str, begin: &[&str]) -> Vec<String> {
    let rows = table.lines().map(|line| line.split("  ").map(str::trim).filter(|cell| !cell.is_empty()).collect());
    let mut rows = rows.filter(|row: &Vec<&str>| row.starts_with(begin));
    let found = rows.next().unwrap_or_else(|| panic!("no row begins with {begin:?} in:\n{table}"));
    found.into_iter().map(str::to_owned).collect()
}
