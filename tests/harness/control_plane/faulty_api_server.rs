//! A proxy to the real API server that fails on demand.

use std::net::SocketAddr;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::{StatusCode, Uri, header};
use axum::response::{IntoResponse as _, Response};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use futures::StreamExt as _;
use kube::config::{KubeConfigOptions, Kubeconfig};
use serde_json::{Value, json};
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

/// What becomes of a list that is read page by page.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum ListFault {
    /// Its pages have two objects.
    HasSmallPages,
    /// The same, and it has expired when its second page is asked for.
    Expires,
    /// The same, and its second page fails.
    FailsAfterOnePage,
    /// The API server answers.
    #[default]
    Passes,
}

struct Faults {
    client: kube::Client,
    listing: Mutex<ListFault>,
    /// Pages that were asked for.
    pages: AtomicUsize,
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
            listing: Mutex::default(),
            pages: AtomicUsize::new(0),
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

    /// Answers every list so from now on.
    pub(crate) fn set_list_fault(&self, listing: ListFault) {
        *self.faults.listing.lock().unwrap_or_else(PoisonError::into_inner) = listing;
    }

    /// How many pages of lists were asked for so far.
    pub(crate) fn pages(&self) -> usize {
        self.faults.pages.load(Relaxed)
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
    match list(&faults, &head.uri) {
        Err(answer) => return *answer,
        Ok(uri) => head.uri = uri,
    }
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

/// What is asked for instead of a page of a list, or answered.
fn list(faults: &Faults, uri: &Uri) -> Result<Uri, Box<Response>> {
    let listing = *faults.listing.lock().unwrap_or_else(PoisonError::into_inner);
    let text = uri.to_string();
    let Some((before, rest)) = text.split_once("limit=") else { return Ok(uri.clone()) };
    faults.pages.fetch_add(1, Relaxed);
    if listing == ListFault::Passes {
        return Ok(uri.clone());
    }
    let token = rest.split_once("&continue=").map(|(_, token)| token.to_owned());
    let fault = match (listing, token) {
        (ListFault::FailsAfterOnePage, Some(_)) => {
            json!({"code": 500, "reason": "InternalError", "message": "as the test wants it"})
        }
        (ListFault::Expires, Some(token)) => {
            // The API server writes it so, too: no version, and the same last object.
            let mut token: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(token).unwrap()).unwrap();
            if token["rv"] == -1 {
                Value::Null
            } else {
                token["rv"] = json!(-1);
                let token = URL_SAFE_NO_PAD.encode(token.to_string());
                json!({"code": 410, "reason": "Expired", "message": "too old", "metadata": {"continue": token}})
            }
        }
        _ => Value::Null,
    };
    if fault.is_null() {
        let rest = rest.trim_start_matches(|digit: char| digit.is_ascii_digit());
        return Ok(format!("{before}limit=2{rest}").parse().unwrap());
    }
    let status = StatusCode::from_u16(fault["code"].as_u64().unwrap().try_into().unwrap()).unwrap();
    let mut body = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure"});
    body.as_object_mut().unwrap().extend(fault.as_object().unwrap().clone());
    Err(Box::new((status, [(header::CONTENT_TYPE, "application/json")], body.to_string()).into_response()))
}
