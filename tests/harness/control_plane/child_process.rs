//! A program that ends when the tests do, however they end: its standard input is a pipe that no other process holds.

use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};

use crate::harness::wait_for;

/// Runs a program that does not look at its standard input, and ends it when ours closes. The parentheses are a
/// subshell of which nothing is left once the program has ended unexpectedly.
const WRAPPER: &str = r#"
exec 3<&0 </dev/null
"$@" 3<&- &
program=$!
(read -r _ <&3; kill "$program") &
watch=$!
wait "$program"
status=$?
kill "$watch" 2>/dev/null
exit "$status"
"#;

/// A running program.
pub(crate) struct Program {
    name: String,
    child: Child,
}

impl Program {
    /// Starts a program that ends by itself when its standard input, which must be piped, closes.
    pub(crate) fn start(command: &mut Command) -> Result<Self, String> {
        let name = command.get_program().display().to_string();
        let child = command.spawn().map_err(|why| format!("failed to start {name}: {why}"))?;
        Ok(Program { name, child })
    }

    /// Starts any other program; what it says goes to the end of a file.
    pub(crate) fn keep(program: &str, arguments: &[String], log: &Path) -> Result<Self, String> {
        let log = std::fs::File::options().create(true).append(true).open(log);
        let log = log.map_err(|why| format!("failed to open the log of {program}: {why}"))?;
        let again = log.try_clone().map_err(|why| format!("failed to open the log of {program} twice: {why}"))?;
        let mut command = Command::new("bash");
        command.args(["-c", WRAPPER, "wrapper", program]).args(arguments);
        Self::start(command.stdin(Stdio::piped()).stdout(log).stderr(again))
    }

    /// Its standard output, once.
    pub(crate) fn stdout(&mut self) -> Result<ChildStdout, String> {
        self.child.stdout.take().ok_or_else(|| format!("{} has no piped output", self.name))
    }

    /// Fails where it has ended.
    pub(crate) fn is_alive(&mut self) -> Result<(), String> {
        match self.child.try_wait() {
            Ok(None) => Ok(()),
            Ok(Some(status)) => Err(format!("{} ended unexpectedly, {status}", self.name)),
            Err(why) => Err(format!("failed to ask whether {} runs: {why}", self.name)),
        }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        wait_for(&format!("the end of {}", self.name), || match self.child.try_wait() {
            Ok(None) => Err(format!("pid {} still runs", self.child.id())),
            _ => Ok(()),
        });
    }
}
