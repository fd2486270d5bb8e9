//! `serve` with a cluster: it watches the stand-in for an API server.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde_json::json;

use crate::server::{PROGRAM, Process, free, is_ready};

/// A webhook that knows all namespaces and claims of its cluster.
pub(crate) struct Watching {
    pub(crate) process: Process,
    pub(crate) address: SocketAddr,
    pub(crate) ca: PathBuf,
    _api_server: Process,
}

impl Watching {
    /// Starts both, each webhook with files of its own.
    pub(crate) fn start(folder: &Path, namespaces: usize, start: impl Fn(&Path, &[String]) -> Process) -> Self {
        let [api, address, admin] = [(); 3].map(|()| free());
        let arguments = ["api-server".to_owned(), api.to_string(), namespaces.to_string()];
        let api_server = Process::start(&std::env::current_exe().unwrap(), &arguments);
        let file = |name: &str, content: &str| {
            let path = folder.join(format!("{namespaces}-{name}"));
            fs::write(&path, content).unwrap();
            path
        };
        let cluster = json!({"clusters": [{"name": "c", "cluster": {"server": format!("http://{api}")}}],
            "users": [{"name": "u", "user": {}}], "current-context": "x",
            "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}]});
        let minted = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let ca = file("served.pem", &minted.cert.pem());
        let arguments = [
            "serve".to_owned(),
            format!("--kubeconfig={}", file("kubeconfig", &cluster.to_string()).display()),
            format!("--cert-file={}", ca.display()),
            format!("--key-file={}", file("served.key", &minted.signing_key.serialize_pem()).display()),
            format!("--listen={address}"),
            format!("--admin-listen={admin}"),
        ];
        let process = start(Path::new(PROGRAM), &arguments);
        is_ready(admin);
        Watching { process, address, ca, _api_server: api_server }
    }
}
