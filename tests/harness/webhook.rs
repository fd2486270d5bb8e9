//! A running webhook.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::thread::{JoinHandle, spawn};
use std::time::Instant;

use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned, SupportedProtocolVersion};
use serde_json::Value;

use crate::harness::caller::{Answer, Caller, TLS_VERSIONS, Tls, call, connect, post, worker};
use crate::harness::cgroup::Group;
use crate::harness::program::{file, program};
use crate::harness::{DEADLINE, wait_for};

/// A webhook as a process of its own. Dropped, it is killed.
pub(crate) struct Webhook {
    child: Child,
    pub(crate) address: SocketAddr,
    pub(crate) admin: SocketAddr,
    ca: String,
    /// In a lock, so that callers on several threads can share the webhook.
    lines: Mutex<Receiver<Value>>,
    /// Held, nothing reads the log.
    gate: Arc<Mutex<()>>,
    reader: Option<JoinHandle<()>>,
    /// Where its memory has a limit.
    group: Option<Group>,
}

impl Webhook {
    /// Starts one without a cluster; `name` is the test's own.
    pub(crate) fn standalone(name: &str, more: &[&str]) -> Self {
        let ca = file(&format!("{name}-ca.crt"), "");
        let arguments = [&["--standalone", "--write-ca", &ca], more].concat();
        Self::start(&arguments, || std::fs::read_to_string(&ca).unwrap())
    }

    /// Starts one without a cluster that is killed where it takes more memory than this, in bytes, as far as the machine lets us
    /// see to that.
    pub(crate) fn limited(name: &str, memory: u64, more: &[&str]) -> Self {
        let ca = file(&format!("{name}-ca.crt"), "");
        let arguments = [&["--standalone", "--write-ca", &ca], more].concat();
        Self::within(memory, &arguments, || std::fs::read_to_string(&ca).unwrap())
    }

    /// Starts one that is killed where it takes more memory than this, in bytes, as far as the machine lets us see to that.
    pub(crate) fn within(memory: u64, more: &[&str], ca: impl FnOnce() -> String) -> Self {
        Self::start_in(Group::with_limit(memory), "json", None, more, ca)
    }

    /// Starts one without a cluster whose log has this format and, where it is given, this `RUST_LOG`.
    pub(crate) fn logging(name: &str, format: &str, level: Option<&str>) -> Self {
        Self::logging_and(name, format, level, &[])
    }

    /// The same with more arguments.
    pub(crate) fn logging_and(name: &str, format: &str, level: Option<&str>, more: &[&str]) -> Self {
        let ca = file(&format!("{name}-ca.crt"), "");
        let arguments = [&["--standalone", "--write-ca", &ca], more].concat();
        Self::start_logging(format, level, &arguments, || std::fs::read_to_string(&ca).unwrap())
    }

    /// Starts one on free ports, and waits until it listens.
    pub(crate) fn start(more: &[&str], ca: impl FnOnce() -> String) -> Self {
        Self::start_logging("json", None, more, ca)
    }

    fn start_logging(format: &str, level: Option<&str>, more: &[&str], ca: impl FnOnce() -> String) -> Self {
        Self::start_in(None, format, level, more, ca)
    }

    fn start_in(
        group: Option<Group>,
        format: &str,
        level: Option<&str>,
        more: &[&str],
        ca: impl FnOnce() -> String,
    ) -> Self {
        let ports = ["serve", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0", "--log-format", format];
        let program = program();
        let mut child = group
            .as_ref()
            .map_or_else(|| Command::new(&program), |group| group.command(&program))
            .args(ports)
            .args(more)
            .env_remove("KUBERNETES_SERVICE_HOST")
            .env_remove("RUST_LOG")
            .envs(level.map(|level| ("RUST_LOG", level)))
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (sender, lines) = channel();
        let errors = BufReader::new(child.stderr.take().unwrap());
        let gate = Arc::new(Mutex::new(()));
        let reads = Arc::clone(&gate);
        #[expect(clippy::disallowed_methods, reason = "joined when the webhook is dropped")]
        let reader = spawn(move || {
            for line in errors.lines().map_while(Result::ok) {
                drop(reads.lock());
                // What is not JSON is text that was asked for, or the last word of a process that failed.
                let line = serde_json::from_str(&line).unwrap_or_else(|_| Value::String(line));
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        let nowhere: SocketAddr = "127.0.0.1:0".parse().unwrap();
        let lines = Mutex::new(lines);
        let mut webhook = Webhook {
            child,
            address: nowhere,
            admin: nowhere,
            ca: String::new(),
            lines,
            gate,
            reader: Some(reader),
            group,
        };
        for _ in 0..2 {
            let line = webhook.line("listening");
            let address = field(&line, "address").unwrap().parse().unwrap();
            if field(&line, "listener") == Some("webhook") {
                webhook.address = address;
            } else {
                webhook.admin = address;
            }
        }
        webhook.ca = ca();
        webhook
    }

    /// Waits for a line of the log whose message has these words.
    pub(crate) fn line(&self, words: &str) -> Value {
        let until = Instant::now() + DEADLINE;
        let lines = self.lines.lock().unwrap();
        loop {
            let line = lines.recv_timeout(until.saturating_duration_since(Instant::now()));
            let line = line.unwrap_or_else(|error| panic!("no line with {words:?} in the log: {error}"));
            if line["message"].as_str().or(line.as_str()).is_some_and(|message| message.contains(words)) {
                return line;
            }
        }
    }

    /// Stops it, and returns the lines of its log that no test has waited for.
    pub(crate) fn rest_of_the_log(self) -> Vec<Value> {
        self.signal("TERM");
        let until = Instant::now() + DEADLINE;
        let lines = self.lines.lock().unwrap();
        let next = || lines.recv_timeout(until.saturating_duration_since(Instant::now())).ok();
        let rest = std::iter::from_fn(next).collect();
        assert!(Instant::now() < until, "the process did not end");
        rest
    }

    /// The most memory that it ever had, in MiB.
    pub(crate) fn peak_memory_mib(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let most = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        most.trim().strip_suffix(" kB").unwrap().parse::<u64>().unwrap() / 1024
    }

    /// Held, it keeps the log from being read: a line or two, and what fits into the pipe, is taken still.
    pub(crate) fn log_gate(&self) -> Arc<Mutex<()>> {
        Arc::clone(&self.gate)
    }

    /// Waits for its end, whether its log is read or not, and says its exit code.
    pub(crate) fn exit_code_with_unread_log(&mut self) -> Option<i32> {
        wait_for("the process to end", || match self.child.try_wait().unwrap() {
            Some(status) => Ok(status.code()),
            None => Err("it runs".to_owned()),
        })
    }

    /// How many files it has open.
    pub(crate) fn open_files(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.child.id())).unwrap().count()
    }

    /// The CA that callers trust, in PEM.
    pub(crate) fn ca(&self) -> &str {
        &self.ca
    }

    /// The most memory that its sockets ever had, in MiB, where that is known, and whether it was killed for its memory.
    pub(crate) fn socket_memory_and_oom_kills(&self) -> (u64, u64) {
        self.group.as_ref().map_or((0, 0), |group| (group.peak_socket_memory() / 1024 / 1024, group.oom_kills()))
    }

    /// Sends it a signal.
    pub(crate) fn signal(&self, name: &str) {
        let kill = format!("kill -{name} {}", self.child.id());
        assert!(Command::new("sh").args(["-c", &kill]).status().unwrap().success());
    }

    /// Waits for its end, and says its exit code.
    pub(crate) fn exit_code(&mut self) -> Option<i32> {
        // The log ends with the process.
        let until = Instant::now() + DEADLINE;
        let lines = self.lines.lock().unwrap();
        while lines.recv_timeout(until.saturating_duration_since(Instant::now())).is_ok() {}
        assert!(Instant::now() < until, "the process did not end");
        drop(lines);
        self.child.wait().unwrap().code()
    }

    /// A new connection, as the API server would make it.
    pub(crate) fn caller(&self) -> Caller<Tls> {
        self.caller_with(TLS_VERSIONS, &[b"http/1.1"])
    }

    /// A new connection with other versions and protocols.
    pub(crate) fn caller_with(&self, versions: &[&'static SupportedProtocolVersion], alpn: &[&[u8]]) -> Caller<Tls> {
        call(self.address, "localhost", &self.ca, versions, alpn)
    }

    /// From now on another CA is the one that callers trust.
    pub(crate) fn trust(&mut self, ca: &str) {
        ca.clone_into(&mut self.ca);
    }

    /// A handshake as a caller makes it, and whether the two agreed; the client's certificate and key, in PEM.
    pub(crate) fn review_with_client_certificate(&self, client: Option<[&str; 2]>) -> Result<u16, String> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(self.ca.as_bytes()).unwrap()).unwrap();
        let config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
            .with_protocol_versions(TLS_VERSIONS)
            .unwrap()
            .with_root_certificates(roots);
        let config = match client {
            None => config.with_no_client_auth(),
            Some([certificate, key]) => {
                let certificate = CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap();
                let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
                config.with_client_auth_cert(vec![certificate], key).unwrap()
            }
        };
        let connection = ClientConnection::new(Arc::new(config), ServerName::try_from("localhost").unwrap()).unwrap();
        let mut caller = Caller(StreamOwned::new(connection, self.tcp()));
        let body = worker("x");
        caller.0.write_all(post(body.len()).as_bytes()).map_err(|why| why.to_string())?;
        caller.0.write_all(&body).map_err(|why| why.to_string())?;
        // The reason of a refusal comes with a read.
        let mut first = [0];
        caller.0.read_exact(&mut first).map_err(|why| why.to_string())?;
        let mut answer = String::from_utf8(first.to_vec()).unwrap();
        while !answer.ends_with("\r\n") {
            caller.0.read_exact(&mut first).map_err(|why| why.to_string())?;
            answer.push(char::from(first[0]));
        }
        Ok(answer.split(' ').nth(1).unwrap().parse().unwrap())
    }

    /// A connection to which nothing was said yet.
    pub(crate) fn tcp(&self) -> TcpStream {
        connect(self.address)
    }

    /// The most memory that it ever held, in kB.
    pub(crate) fn peak_memory_kib(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }

    /// Asks for a page of the admin port.
    pub(crate) fn page(&self, path: &str) -> Answer {
        let mut caller = Caller(connect(self.admin));
        caller.ask(&format!("GET {path} HTTP/1.1\r\nHost: admin\r\nConnection: close\r\n\r\n"), b"")
    }

    /// The same for a reader of these media types.
    pub(crate) fn page_as(&self, path: &str, accept: &str) -> Answer {
        let head = format!("GET {path} HTTP/1.1\r\nHost: admin\r\nAccept: {accept}\r\nConnection: close\r\n\r\n");
        Caller(connect(self.admin)).ask(&head, b"")
    }
}

impl Drop for Webhook {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if let Some(reader) = self.reader.take() {
            let _ = reader.join();
        }
    }
}

/// A field of a line, of JSON or of text.
pub(crate) fn field<'l>(line: &'l Value, name: &str) -> Option<&'l str> {
    let Some(text) = line.as_str() else { return line[name].as_str() };
    let (_, rest) = text.split_once(&format!(" {name}="))?;
    rest.split(' ').next().map(|word| word.trim_matches('"'))
}
