//! How soon a server is ready, how large the program is, and what an idle one takes of memory.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::cluster;
use crate::median;
use crate::server::{PROGRAM, Process, free, is_ready, pause};
use crate::subject::standalone;

/// An odd number, so that one is in the middle.
const STARTS: usize = 21;

/// Prints how long `serve --standalone` takes to be ready, and the size of the program.
pub(crate) fn run(folder: &Path) {
    let starts = (0..STARTS).map(|_| {
        let begun = Instant::now();
        let started = standalone(folder, Process::start);
        let ready = begun.elapsed();
        drop(started);
        ready.as_secs_f64() * 1e3
    });
    println!("Start to ready of serve --standalone: {:.0} ms (median of {STARTS})", median(starts.collect()));
    let size = fs::metadata(PROGRAM).unwrap().len();
    println!("The program, stripped: {size} bytes\n");
}

/// Prints resident memory with clusters of several sizes, ten seconds after everything is known.
pub(crate) fn memory(folder: &Path) {
    println!("| namespaces | claims | RSS idle | at most so far |\n|---|---|---|---|");
    let mut idle = Vec::new();
    for namespaces in [0, 5_000, 10_000] {
        let webhook = Watching::start(folder, namespaces);
        pause(Duration::from_secs(10));
        let [now, most] = ["VmRSS", "VmHWM"].map(|line| webhook.process.memory(line));
        println!("| {namespaces} | {} | {now:.1} MiB | {most:.1} MiB |", namespaces * cluster::CLAIMS.len());
        idle.push(now);
    }
    println!("\n5,000 namespaces with 10,000 claims take {:.1} MiB\n", idle[1] - idle[0]);
}

/// `serve` with a cluster.
struct Watching {
    process: Process,
    _api_server: Process,
}

impl Watching {
    fn start(folder: &Path, namespaces: usize) -> Self {
        let [api, listen, admin] = [(); 3].map(|()| free());
        let arguments = ["api-server".to_owned(), api.to_string(), namespaces.to_string()];
        let api_server = Process::start(&std::env::current_exe().unwrap(), &arguments);
        let file = |name: &str, content: &str| {
            let path = folder.join(name);
            fs::write(&path, content).unwrap();
            path.display().to_string()
        };
        let cluster = json!({"clusters": [{"name": "c", "cluster": {"server": format!("http://{api}")}}],
            "users": [{"name": "u", "user": {}}], "current-context": "x",
            "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}]});
        let minted = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let arguments = [
            "serve".to_owned(),
            format!("--kubeconfig={}", file("kubeconfig", &cluster.to_string())),
            format!("--cert-file={}", file("served.pem", &minted.cert.pem())),
            format!("--key-file={}", file("served.key", &minted.signing_key.serialize_pem())),
            format!("--listen={listen}"),
            format!("--admin-listen={admin}"),
        ];
        let process = Process::start(Path::new(PROGRAM), &arguments);
        is_ready(admin);
        Watching { process, _api_server: api_server }
    }
}
