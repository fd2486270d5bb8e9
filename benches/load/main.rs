//! The server under load: `serve --standalone`, an echo on the same stack, and controller-runtime with the same work.
//!
//! One server at a time is on the first processor, h2load on the second, in rounds one after another. `cargo bench --bench load`.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a bench prints")]
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "a bench that cannot go on ends")]

#[path = "../cluster.rs"]
mod cluster;
#[allow(dead_code, reason = "other benches take other parts")]
#[path = "../samples.rs"]
mod samples;

mod api_server;
mod awake;
mod bounds;
mod caller;
mod echo;
mod generator;
mod growth;
mod rounds;
mod server;
mod start;
mod subject;
mod watching;

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    // Cargo builds one program of this; the echo and the stand-in are processes of their own all the same.
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["echo", address, ca] => {
            echo::run(address, ca);
            return ExitCode::SUCCESS;
        }
        ["api-server", address, namespaces] => {
            api_server::run(address, namespaces);
            return ExitCode::SUCCESS;
        }
        _ => {}
    }
    if let Err(lacking) = generator::check() {
        eprintln!("{lacking}");
        return ExitCode::FAILURE;
    }
    let folder = Folder::new();
    let chosen = |part: &str| arguments.is_empty() || arguments.iter().any(|argument| part.contains(&**argument));
    println!("{}\n", machine());
    if chosen("rounds") {
        rounds::run(&folder.0);
    }
    if chosen("growth") {
        growth::run(&folder.0);
    }
    if chosen("start") {
        start::run(&folder.0);
    }
    if chosen("memory") {
        start::memory(&folder.0);
    }
    if chosen("bounds") {
        bounds::run(&folder.0);
    }
    ExitCode::SUCCESS
}

/// Where certificates, bodies and logs lie while this runs.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        let folder = std::env::temp_dir().join(format!("dynamo-cache-load-{}", std::process::id()));
        fs::create_dir(&folder).unwrap();
        Folder(folder)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What is left there is small, and hurts nobody.
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// What stands above figures, without which they say little.
fn machine() -> String {
    let read = |path| fs::read_to_string(path).unwrap_or_default();
    let processors = read("/proc/cpuinfo");
    let model = processors.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or_default();
    let count = processors.lines().filter(|line| line.starts_with("processor")).count();
    let load = read("/proc/loadavg");
    let load = load.split(' ').next().unwrap_or_default();
    format!("{count} processors, {}; load before: {load}", model.trim_start_matches(['\t', ':', ' ']))
}

/// The one in the middle.
fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
