//! The server under load: `serve --standalone`, an echo on the same server and one on hyper and rustls alone, and
//! controller-runtime with the same work.
//!
//! One server at a time is on the first processor, h2load on the second, in rounds one after another. `cargo bench --bench load`.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a bench prints")]
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "a bench that cannot go on ends")]

#[path = "../cluster.rs"]
mod cluster;
#[path = "../machine.rs"]
mod machine;
#[allow(dead_code, reason = "other benches take other parts")]
#[path = "../samples.rs"]
mod samples;

mod api_server;
mod awake;
mod bare_echo;
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

const PARTS: [&str; 5] = ["rounds", "growth", "start", "memory", "bounds"];

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    // Cargo builds one program of this; the echoes and the stand-in are processes of their own all the same.
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["echo", address, ca] => {
            echo::run(address, ca);
            return ExitCode::SUCCESS;
        }
        ["bare-echo", address, ca] => {
            bare_echo::run(address, ca);
            return ExitCode::SUCCESS;
        }
        ["api-server", address, namespaces] => {
            api_server::run(address, namespaces);
            return ExitCode::SUCCESS;
        }
        _ => {}
    }
    if let Some(unknown) = arguments.iter().find(|argument| !PARTS.contains(&argument.as_str())) {
        eprintln!("load has no part {unknown}; its parts are {}, by default all of them run", PARTS.join(", "));
        return ExitCode::FAILURE;
    }
    if let Err(lacking) = generator::check() {
        eprintln!("{lacking}");
        return ExitCode::FAILURE;
    }
    let folder = Folder::new();
    let selected = |part: &str| arguments.is_empty() || arguments.iter().any(|argument| argument == part);
    println!("{}\n", machine::line());
    if selected("rounds") {
        rounds::run(&folder.0);
    }
    if selected("growth") {
        growth::run(&folder.0);
    }
    if selected("start") {
        start::run(&folder.0);
    }
    if selected("memory") {
        start::memory(&folder.0);
    }
    if selected("bounds") {
        bounds::run(&folder.0);
    }
    ExitCode::SUCCESS
}

/// Where certificates, bodies, logs and controller-runtime's program lie while this runs: among what cargo builds, so that
/// one that is stopped leaves nothing elsewhere, and the next one takes its place.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("load");
        drop(Folder(folder.clone()));
        fs::create_dir_all(&folder).unwrap();
        Folder(folder)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// The one in the middle.
fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
