//! A TCP balancer as a Service is one: new connections go to replicas that are ready, and open ones stay.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use crate::harness::wait_for;

/// It runs for as long as this lives.
pub(crate) struct Balancer {
    pub(crate) address: SocketAddr,
    shared: Arc<Shared>,
    _runtime: Runtime,
}

struct Shared {
    replicas: Mutex<Vec<Behind>>,
    next: AtomicUsize,
    open: AtomicUsize,
    /// Counts how often everything was cut.
    cuts: watch::Sender<usize>,
}

#[derive(Clone, Copy)]
struct Behind {
    webhook: SocketAddr,
    admin: SocketAddr,
    ready: bool,
}

impl Balancer {
    /// Listens on a free port of an address.
    pub(crate) fn start(address: &str) -> Self {
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let listener = runtime.block_on(TcpListener::bind((address, 0))).unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            replicas: Mutex::default(),
            next: AtomicUsize::default(),
            open: AtomicUsize::default(),
            cuts: watch::Sender::new(0),
        });
        #[allow(clippy::disallowed_methods, reason = "the runtime in this struct owns the tasks")]
        {
            drop(runtime.spawn(accept(listener, Arc::clone(&shared))));
            drop(runtime.spawn(look(Arc::clone(&shared))));
        }
        Balancer { address, shared, _runtime: runtime }
    }

    /// One more replica, which gets connections once it is ready.
    pub(crate) fn add(&self, webhook: SocketAddr, admin: SocketAddr) {
        self.shared.replicas().push(Behind { webhook, admin, ready: false });
    }

    /// A replica that is gone.
    pub(crate) fn remove(&self, webhook: SocketAddr) {
        self.shared.replicas().retain(|behind| behind.webhook != webhook);
    }

    /// The admin addresses of the replicas.
    pub(crate) fn admins(&self) -> Vec<SocketAddr> {
        self.shared.replicas().iter().map(|behind| behind.admin).collect()
    }

    /// Closes every connection, and waits until the other side has noticed. There must be no request meanwhile.
    pub(crate) fn cut(&self) {
        self.shared.cuts.send_modify(|cuts| *cuts += 1);
        wait_for("every connection to be closed", || match self.shared.open.load(Ordering::Relaxed) {
            0 => Ok(()),
            open => Err(format!("{open} are open")),
        });
    }
}

impl Shared {
    fn replicas(&self) -> std::sync::MutexGuard<'_, Vec<Behind>> {
        self.replicas.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn choose(&self) -> Option<SocketAddr> {
        let replicas = self.replicas();
        let ready: Vec<_> = replicas.iter().filter(|behind| behind.ready).collect();
        let turn = self.next.fetch_add(1, Ordering::Relaxed);
        ready.get(turn.checked_rem(ready.len())?).map(|behind| behind.webhook)
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let mut connections = tokio::task::JoinSet::new();
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        while connections.try_join_next().is_some() {}
        shared.open.fetch_add(1, Ordering::Relaxed);
        let shared = Arc::clone(&shared);
        connections.spawn(async move {
            carry(stream, &shared).await;
            shared.open.fetch_sub(1, Ordering::Relaxed);
        });
    }
}

async fn carry(mut stream: TcpStream, shared: &Shared) {
    let mut cuts = shared.cuts.subscribe();
    let Some(Ok(mut replica)) = (match shared.choose() {
        Some(replica) => Some(TcpStream::connect(replica).await),
        None => None,
    }) else {
        return;
    };
    tokio::select! {
        _ = copy_bidirectional(&mut stream, &mut replica) => {}
        _ = cuts.changed() => {
            drop(replica);
            let _ = stream.shutdown().await;
            let rest = async { while stream.read(&mut [0; 1024]).await.is_ok_and(|read| read > 0) {} };
            let _ = timeout(Duration::from_secs(5), rest).await;
        }
    }
}

/// Asks each replica whether it is ready, as a kubelet does, only more often.
async fn look(shared: Arc<Shared>) {
    loop {
        let replicas = shared.replicas().clone();
        for behind in replicas {
            let ready = timeout(Duration::from_secs(1), is_ready(behind.admin)).await.unwrap_or_default();
            for known in shared.replicas().iter_mut().filter(|known| known.webhook == behind.webhook) {
                known.ready = ready;
            }
        }
        sleep(Duration::from_millis(50)).await;
    }
}

async fn is_ready(admin: SocketAddr) -> bool {
    let ask = async {
        let mut stream = TcpStream::connect(admin).await?;
        stream.write_all(b"GET /readyz HTTP/1.1\r\nHost: admin\r\nConnection: close\r\n\r\n").await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        std::io::Result::Ok(answer.starts_with("HTTP/1.1 200"))
    };
    ask.await.unwrap_or_default()
}
