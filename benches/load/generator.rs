//! h2load: runs it on the second processor, and takes its word only where every request was answered as it should be.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

/// What is said where a program is missing.
const LACKING: &str = "\
the load bench needs two processors, h2load, taskset, setpriv and Go:
  apt-get install nghttp2-client util-linux    and https://go.dev/doc/install";

/// What one run showed.
pub(crate) struct Run {
    pub(crate) per_second: f64,
    /// Microseconds from a request to its answer, in order.
    times: Vec<u64>,
}

/// Whether everything is there.
pub(crate) fn check() -> Result<(), String> {
    let processors = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let runs = |program, argument| Command::new(program).arg(argument).output().is_ok_and(|ran| ran.status.success());
    let tools = [("h2load", "--version"), ("taskset", "--version"), ("setpriv", "--version"), ("go", "version")];
    let lacks = tools.iter().find(|(program, argument)| !runs(program, argument));
    match lacks {
        Some((program, _)) => Err(format!("{program} is missing: {LACKING}")),
        None if processors < 2 => Err(format!("there is one processor: {LACKING}")),
        None => Ok(()),
    }
}

/// Keeps this thread, too, from the server's processor.
pub(crate) fn stay_on_the_second_processor() {
    let thread = fs::read_link("/proc/thread-self").unwrap();
    let thread = thread.file_name().unwrap();
    let moved = Command::new("taskset").args(["--cpu-list", "--pid", "1"]).arg(thread).output();
    assert!(moved.as_ref().is_ok_and(|moved| moved.status.success()), "{moved:?}");
}

/// Sends so many requests over so many connections. Each must be answered with 200 and so many bytes.
pub(crate) fn run(
    folder: &Path,
    address: SocketAddr,
    body: &Path,
    connections: u32,
    requests: u32,
    answer: usize,
) -> Run {
    let log = folder.join("h2load.log");
    let _ = fs::remove_file(&log);
    let file = |option: &str, path: &Path| format!("--{option}={}", path.display());
    let run = Command::new("taskset")
        .args(["--cpu-list", "1", "h2load", "--h1", "--threads=1", "--header=content-type: application/json"])
        .args([format!("--clients={connections}"), format!("--requests={requests}")])
        .args([file("data", body), file("log-file", &log), format!("https://{address}/mutate?timeout=3s")])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&run.stdout).into_owned();
    let line = |begin: &str| said.lines().find_map(|line| line.strip_prefix(begin)).unwrap_or_else(|| panic!("{said}"));
    let done = format!("{requests} total, {requests} started, {requests} done, {requests} succeeded, 0 failed");
    assert!(line("requests: ").starts_with(&done), "{said}");
    assert!(line("status codes: ").starts_with(&format!("{requests} 2xx")), "{said}");
    assert!(line("traffic: ").contains(&format!("({}) data", requests as usize * answer)), "{answer} bytes: {said}");
    let per_second = line("finished in ").split(", ").nth(1).and_then(|rate| rate.split(' ').next()).unwrap();
    let log = fs::read_to_string(&log).unwrap();
    let mut times: Vec<_> = log.lines().map(|line| line.split('\t').nth(2).unwrap().parse().unwrap()).collect();
    assert_eq!(times.len(), requests as usize);
    times.sort_unstable();
    Run { per_second: per_second.parse().unwrap(), times }
}

impl Run {
    /// Microseconds within which so many of a hundred requests were answered.
    pub(crate) fn percentile(&self, percent: usize) -> f64 {
        let index = (self.times.len() * percent / 100).min(self.times.len() - 1);
        f64::from(u32::try_from(self.times[index]).unwrap())
    }
}
