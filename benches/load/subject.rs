//! The three servers that are measured against each other.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::caller::Caller;
use crate::echo;
use crate::samples;
use crate::server::{PROGRAM, Process, free, is_ready, shakes_hands};

/// A server that runs, and whose answer was looked at.
pub(crate) struct Subject {
    pub(crate) name: &'static str,
    pub(crate) process: Process,
    pub(crate) address: SocketAddr,
    /// The length of its answer to the worker's review.
    pub(crate) answer: usize,
}

impl Subject {
    /// `serve --standalone`.
    pub(crate) fn ours(folder: &Path) -> Self {
        let (process, address, _, ca) = standalone(folder, Process::pinned);
        let answer = ask(address, &ca);
        assert_eq!(answer, samples::answer(&samples::review(&samples::worker(0))));
        Subject { name: "dynamo-cache", process, address, answer: answer.len() }
    }

    /// The echo, a part of this program.
    pub(crate) fn echo(folder: &Path) -> Self {
        let (address, ca) = (free(), folder.join("echo.pem"));
        let arguments = ["echo".to_owned(), address.to_string(), ca.display().to_string()];
        let process = Process::pinned(&std::env::current_exe().unwrap(), &arguments);
        shakes_hands(address, &ca);
        assert_eq!(ask(address, &ca), echo::ANSWER.as_bytes());
        Subject { name: "echo", process, address, answer: echo::ANSWER.len() }
    }

    /// controller-runtime, which makes the same pod.
    pub(crate) fn controller_runtime(folder: &Path) -> Self {
        let (address, program, ca) = (free(), build(folder), folder.join("tls.crt"));
        let minted = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        fs::write(&ca, minted.cert.pem()).unwrap();
        fs::write(folder.join("tls.key"), minted.signing_key.serialize_pem()).unwrap();
        let arguments = [
            format!("--port={}", address.port()),
            format!("--certificates={}", folder.display()),
            format!("--version={}", env!("CARGO_PKG_VERSION")),
        ];
        let process = Process::pinned(&program, &arguments);
        shakes_hands(address, &ca);
        let (worker, answer) = (samples::worker(0), ask(address, &ca));
        let ours = samples::answer(&samples::review(&worker));
        assert_eq!(samples::patched(&worker, &answer), samples::patched(&worker, &ours));
        Subject { name: "controller-runtime", process, address, answer: answer.len() }
    }
}

/// Starts `serve --standalone` and waits until it is ready: the webhook's address, the admin's, and the CA's file.
pub(crate) fn standalone(
    folder: &Path,
    start: impl Fn(&Path, &[String]) -> Process,
) -> (Process, SocketAddr, SocketAddr, PathBuf) {
    let (address, admin, ca) = (free(), free(), folder.join("ca.pem"));
    let arguments = [
        "serve".to_owned(),
        "--standalone".to_owned(),
        format!("--listen={address}"),
        format!("--admin-listen={admin}"),
        format!("--write-ca={}", ca.display()),
    ];
    let process = start(Path::new(PROGRAM), &arguments);
    is_ready(admin);
    (process, address, admin, ca)
}

fn ask(address: SocketAddr, ca: &Path) -> Vec<u8> {
    let answer = Caller::connect(address, ca).unwrap().ask(&samples::review(&samples::worker(0)));
    let review: Value = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!((answer.status, &review["response"]["allowed"]), (200, &Value::Bool(true)), "{review}");
    answer.body
}

fn build(folder: &Path) -> PathBuf {
    let (module, program) =
        (concat!(env!("CARGO_MANIFEST_DIR"), "/benches/load/controller-runtime"), folder.join("controller-runtime"));
    let mut go = Command::new("go");
    go.args(["build", "-trimpath", "-buildvcs=false", "-ldflags=-s -w", "-o"])
        .arg(&program)
        .arg(".")
        .current_dir(module);
    let built = go.env("CGO_ENABLED", "0").env("GOFLAGS", "").env("GOWORK", "off").status().unwrap();
    assert!(built.success(), "go build failed, see above");
    program
}
