//! A proxy to the real API server that fails on demand.

use std::net::SocketAddr;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use futures::StreamExt as _;
use kube::config::{KubeConfigOptions, Kubeconfig};
use serde_json::json;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::sync::watch;
use tokio::task::JoinSet;

/// Where it listens; nothing else here does.
const ADDRESS: &str = "127.0.0.8";

/// The way, which ends with this.
pub(crate) struct FaultyApiServer {
    address: SocketAddr,
    faults: Arc<Faults>,
    _runtime: Runtime,
    _served: JoinSet<()>,
}

/// What becomes of a watch.
#[derive(Clone, Copy, Default)]
pub(crate) enum WatchFault {
    /// It is answered, and ends at once.
    EndsAtOnce,
    /// It is answered that its version is gone, as an event.
    IsGone,
    /// The API server answers.
    #[default]
    Passes,
}

struct Faults {
    client: kube::Client,
    /// What is answered instead of asking.
    refuses: Mutex<Option<StatusCode>>,
    watching: Mutex<WatchFault>,
    /// A watch ends when this changes.
    cuts: watch::Sender<usize>,
    /// Watches that were begun.
    watches: AtomicUsize,
}

impl FaultyApiServer {
    /// A proxy for the user of a kubeconfig.
    pub(crate) fn to(kubeconfig: &str) -> Self {
        let runtime = Runtime::new().unwrap();
        let kubeconfig = Kubeconfig::from_yaml(kubeconfig).unwrap();
        let (client, listener) = runtime.block_on(async {
            let config = kube::Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await;
            (kube::Client::try_from(config.unwrap()).unwrap(), TcpListener::bind((ADDRESS, 0)).await.unwrap())
        });
        let address = listener.local_addr().unwrap();
        let faults = Arc::new(Faults {
            client,
            refuses: Mutex::default(),
            watching: Mutex::default(),
            cuts: watch::Sender::default(),
            watches: AtomicUsize::new(0),
        });
        let routes = Router::new().fallback(pass).with_state(Arc::clone(&faults));
        let mut served = JoinSet::new();
        served.spawn_on(async move { axum::serve(listener, routes).await.unwrap() }, runtime.handle());
        FaultyApiServer { address, faults, _runtime: runtime, _served: served }
    }

    /// A kubeconfig that leads through this proxy, which adds the credentials.
    pub(crate) fn kubeconfig(&self) -> String {
        json!({
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "faulty",
            "clusters": [{"name": "faulty", "cluster": {"server": format!("http://{}", self.address)}}],
            "contexts": [{"name": "faulty", "context": {"cluster": "faulty", "user": "faulty"}}],
            "users": [{"name": "faulty", "user": {}}],
        })
        .to_string()
    }

    /// Answers everything so from now on; none: asks again.
    pub(crate) fn refuse(&self, status: Option<u16>) {
        let status = status.map(|status| StatusCode::from_u16(status).unwrap());
        *self.faults.refuses.lock().unwrap_or_else(PoisonError::into_inner) = status;
    }

    /// Answers every watch so from now on.
    pub(crate) fn set_watch_fault(&self, watching: WatchFault) {
        *self.faults.watching.lock().unwrap_or_else(PoisonError::into_inner) = watching;
    }

    /// How many watches were begun so far, of all kinds.
    pub(crate) fn watches(&self) -> usize {
        self.faults.watches.load(Relaxed)
    }

    /// Ends every watch that is open.
    pub(crate) fn cut(&self) {
        self.faults.cuts.send_modify(|cuts| *cuts += 1);
    }
}

async fn pass(State(faults): State<Arc<Faults>>, request: Request) -> Response {
    let refuses = *faults.refuses.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(status) = refuses {
        let body = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": status.as_u16(),
            "reason": status.canonical_reason(), "message": "as the test wants it"});
        let head = [(header::CONTENT_TYPE, "application/json"), (header::RETRY_AFTER, "1")];
        return (status, head, body.to_string()).into_response();
    }
    let mut cuts = faults.cuts.subscribe();
    if request.uri().query().is_some_and(|query| query.contains("watch=")) {
        faults.watches.fetch_add(1, Relaxed);
        let watching = *faults.watching.lock().unwrap_or_else(PoisonError::into_inner);
        let head = [(header::CONTENT_TYPE, "application/json")];
        let gone = json!({"type": "ERROR", "object": {"kind": "Status", "apiVersion": "v1", "status": "Failure",
            "code": 410, "reason": "Expired", "message": "too old resource version"}});
        match watching {
            WatchFault::EndsAtOnce => return (head, String::new()).into_response(),
            WatchFault::IsGone => return (head, format!("{gone}\n")).into_response(),
            WatchFault::Passes => {}
        }
    }
    let (mut head, body) = request.into_parts();
    head.headers.remove(header::HOST);
    let body = to_bytes(body, 1 << 20).await.unwrap();
    match faults.client.send(Request::from_parts(head, kube::client::Body::from(body.to_vec()))).await {
        Ok(answer) => {
            let (head, body) = answer.into_parts();
            let cut = Box::pin(async move { cuts.changed().await });
            let body = Body::new(body).into_data_stream().take_until(cut);
            Response::from_parts(head, Body::from_stream(body))
        }
        Err(why) => (StatusCode::BAD_GATEWAY, why.to_string()).into_response(),
    }
}
