//! An engine as the stage sees it: a listening socket, and an answer to the question whether it is ready.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU16, AtomicU64, Ordering};
use std::thread::{Builder, JoinHandle};

/// An engine that listens until it is dropped.
pub(crate) struct Engine {
    address: SocketAddr,
    is_ready: Arc<AtomicBool>,
    is_dead: Arc<AtomicBool>,
    asked: Arc<AtomicU64>,
    thread: Option<JoinHandle<()>>,
}

impl Engine {
    /// Starts on an address of its own, which no other test takes when the engine has ended. The port is its own as well, since the
    /// stage finds sockets by it; it is below those that the system gives to a test that asks for any.
    pub(crate) fn start() -> Self {
        static STARTED: AtomicU16 = AtomicU16::new(0);
        let number = STARTED.fetch_add(1, Ordering::AcqRel);
        let process = u16::try_from(std::process::id() % 500).unwrap();
        let [high, low] = (process * 50 + number).to_be_bytes();
        Engine::listen((Ipv4Addr::new(127, 77, high, low), 5000 + process * 50 + number).into())
    }

    /// Starts on the port of an engine that has ended.
    pub(crate) fn listen(address: SocketAddr) -> Self {
        let listener = TcpListener::bind(address).unwrap();
        let address = listener.local_addr().unwrap();
        let (is_ready, is_dead) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
        let asked = Arc::new(AtomicU64::new(0));
        let (ready, dead, count) = (is_ready.clone(), is_dead.clone(), asked.clone());
        let serve = move || {
            while let Ok((stream, _)) = listener.accept() {
                if dead.load(Ordering::Acquire) {
                    break;
                }
                count.fetch_add(1, Ordering::AcqRel);
                answer(stream, ready.load(Ordering::Acquire));
            }
        };
        let thread = Builder::new().spawn(serve).unwrap();
        Engine { address, is_ready, is_dead, asked, thread: Some(thread) }
    }

    pub(crate) fn become_ready(&self) {
        self.is_ready.store(true, Ordering::Release);
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// How often it was asked whether it is ready.
    pub(crate) fn asked(&self) -> u64 {
        self.asked.load(Ordering::Acquire)
    }

    /// The option of the stage.
    pub(crate) fn option(&self) -> String {
        format!("--ready=http://{}/health", self.address)
    }
}

fn answer(mut stream: TcpStream, is_ready: bool) {
    let status = if is_ready { "200 OK" } else { "503 Service Unavailable" };
    // A caller that has gone hears nothing.
    let _ = stream.read(&mut [0; 1000]);
    let _ = write!(stream, "HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: 0\r\n\r\n");
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.is_dead.store(true, Ordering::Release);
        drop(TcpStream::connect(self.address));
        drop(self.thread.take().map(JoinHandle::join));
    }
}
