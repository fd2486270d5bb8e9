//! The servers that are measured against each other.

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
    /// The review that it is asked, as a file.
    pub(crate) body: PathBuf,
    /// The length of its answer to it.
    pub(crate) answer: usize,
}

impl Subject {
    /// `serve --standalone`.
    pub(crate) fn ours(folder: &Path) -> Self {
        Subject::serve(folder, "dynamo-cache", &samples::worker(0))
    }

    /// The same, for a worker whose compile cache is staged.
    pub(crate) fn staged(folder: &Path) -> Self {
        Subject::serve(folder, "dynamo-cache, staged", &samples::staged())
    }

    fn serve(folder: &Path, name: &'static str, pod: &Value) -> Self {
        let (process, address, _, ca) = standalone(folder, Process::pinned);
        let review = samples::review(pod);
        let answer = ask(address, &ca, &review);
        assert_eq!(answer, samples::answer(&mut review.clone()));
        Subject { name, process, address, body: write(folder, name, &review), answer: answer.len() }
    }

    /// The echo on our server, a part of this program.
    pub(crate) fn echo(folder: &Path) -> Self {
        Subject::of_this_program(folder, "echo")
    }

    /// The echo on hyper and rustls alone, a part of this program.
    pub(crate) fn bare_echo(folder: &Path) -> Self {
        Subject::of_this_program(folder, "bare-echo")
    }

    fn of_this_program(folder: &Path, name: &'static str) -> Self {
        let (address, ca) = (free(), folder.join(format!("{name}.pem")));
        let arguments = [name.to_owned(), address.to_string(), ca.display().to_string()];
        let process = Process::pinned(&std::env::current_exe().unwrap(), &arguments);
        shakes_hands(address, &ca);
        let review = samples::review(&samples::worker(0));
        assert_eq!(ask(address, &ca, &review), echo::ANSWER.as_bytes());
        Subject { name, process, address, body: write(folder, name, &review), answer: echo::ANSWER.len() }
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
        let (name, worker) = ("controller-runtime", samples::worker(0));
        let review = samples::review(&worker);
        let answer = ask(address, &ca, &review);
        assert_eq!(
            samples::patched(&worker, &answer),
            samples::patched(&worker, &samples::answer(&mut review.clone()))
        );
        Subject { name, process, address, body: write(folder, name, &review), answer: answer.len() }
    }
}

fn write(folder: &Path, name: &str, review: &[u8]) -> PathBuf {
    let body = folder.join(format!("{name}.json"));
    fs::write(&body, review).unwrap();
    body
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

fn ask(address: SocketAddr, ca: &Path, review: &[u8]) -> Vec<u8> {
    let answer = Caller::connect(address, ca).unwrap().ask(review);
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
