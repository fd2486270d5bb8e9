//! A server as a process: started, pinned to a processor, measured by /proc, and ended.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::caller::Caller;

/// The program that is measured, as it is released.
pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_dynamo-cache");

/// Longer than any server here takes to start.
const DEADLINE: Duration = Duration::from_secs(60);

/// A running server. Dropped, it is killed.
pub(crate) struct Process(Child);

impl Process {
    /// Starts a program on the first processor alone.
    pub(crate) fn pinned(program: &Path, arguments: &[String]) -> Self {
        Self::spawn(program, arguments, &["taskset", "--cpu-list", "0"])
    }

    /// Starts a program where the system likes.
    pub(crate) fn start(program: &Path, arguments: &[String]) -> Self {
        Self::spawn(program, arguments, &[])
    }

    /// It ends with the thread that starts it, however that ends.
    fn spawn(program: &Path, arguments: &[String], by: &[&str]) -> Self {
        let mut command = Command::new("setpriv");
        let command = command.args(["--pdeathsig", "KILL"]).args(by).arg(program).args(arguments);
        let command = command.env_remove("KUBERNETES_SERVICE_HOST").env_remove("RUST_LOG");
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        Process(child.unwrap_or_else(|why| panic!("failed to run {}: {why}", command.get_program().display())))
    }

    /// Processor time that it has had, user and system.
    pub(crate) fn cpu(&self) -> Duration {
        let tasks = fs::read_dir(format!("/proc/{}/task", self.0.id())).unwrap();
        let nanoseconds = tasks.map(|task| {
            let schedule = fs::read_to_string(task.unwrap().path().join("schedstat")).unwrap();
            schedule.split(' ').next().unwrap().parse::<u64>().unwrap()
        });
        Duration::from_nanos(nanoseconds.sum())
    }

    /// A line of its status in MiB: `VmRSS`, or `VmHWM` for the most so far.
    pub(crate) fn memory(&self, line: &str) -> f64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.0.id())).unwrap();
        let line = status.lines().find_map(|there| there.strip_prefix(line)).unwrap();
        let kilobytes: f64 = line.trim_matches([':', '\t', ' ', 'k', 'B']).parse().unwrap();
        kilobytes / 1024.0
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// An address without a listener.
pub(crate) fn free() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// Waits for a handshake with a server that a file's CA trusts.
pub(crate) fn shakes_hands(address: SocketAddr, ca: &Path) {
    wait_for("a handshake", || Caller::connect(address, ca).is_ok());
}

/// Waits for `/readyz`.
pub(crate) fn is_ready(admin: SocketAddr) {
    wait_for("/readyz", || page(admin, "/readyz").is_ok_and(|page| page.starts_with("HTTP/1.1 200")));
}

/// A page of the admin listener, head and body.
pub(crate) fn page(admin: SocketAddr, path: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(admin)?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: admin\r\nConnection: close\r\n\r\n")?;
    let mut page = String::new();
    stream.read_to_string(&mut page)?;
    Ok(page)
}

/// Looks often, so that what is measured is the server.
fn wait_for(what: &str, mut look: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !look() {
        assert!(begun.elapsed() < DEADLINE, "waited {DEADLINE:?} in vain for {what}");
        pause(Duration::from_micros(200));
    }
}

/// Nothing else here waits by the clock.
#[allow(clippy::disallowed_methods, reason = "between two looks, or for a process to come to rest")]
pub(crate) fn pause(time: Duration) {
    std::thread::sleep(time);
}
