//! Another product's webhook, called after ours: it adds a container to every pod that lacks it.

use std::convert::Infallible;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use super::ControlPlane;
use super::namespace::Namespace;
use crate::harness::pods::worker;
use crate::harness::wait_for;

/// An HTTPS server in this process, which ends with this.
pub(crate) struct SecondWebhook {
    _runtime: Runtime,
}

impl SecondWebhook {
    /// Serves it, and has the API server call it for the pods of one namespace. Its name comes after ours, and the API
    /// server calls webhooks in the order of their names.
    pub(crate) fn install(plane: &'static ControlPlane, namespace: &Namespace, container: &Value) -> Self {
        let minted = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
        let acceptor = acceptor(minted.cert.der().clone(), minted.signing_key.serialize_der());
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        // Its owner is the runtime, which drops it when the test ends.
        #[allow(clippy::disallowed_methods, reason = "the runtime in this struct owns the task")]
        drop(runtime.spawn(serve(listener, acceptor, Arc::new(container.clone()))));

        call_later(plane, &format!("https://{address}/"), &minted.cert.pem(), namespace);
        wait_for("the API server to call the second webhook", || {
            let pod = namespace.dry_run(&worker("canary").to_string());
            let containers = pod["spec"]["containers"].as_array().map_or(0, Vec::len);
            if containers == 2 { Ok(()) } else { Err(format!("{containers} container")) }
        });
        SecondWebhook { _runtime: runtime }
    }
}

/// Has the API server call a webhook for the pods of one namespace, after ours, and once more where a later one changed something.
pub(crate) fn call_later(plane: &ControlPlane, url: &str, ca: &str, namespace: &Namespace) {
    let configuration = configuration(url, ca, namespace);
    plane.kubectl(&["create", "-f", &plane.file(&configuration.to_string())]).unwrap();
}

fn acceptor(certificate: CertificateDer<'static>, key: Vec<u8>) -> TlsAcceptor {
    let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()));
    let config = config.with_safe_default_protocol_versions().unwrap().with_no_client_auth();
    let key = PrivateKeyDer::try_from(key).unwrap();
    TlsAcceptor::from(Arc::new(config.with_single_cert(vec![certificate], key).unwrap()))
}

fn configuration(url: &str, ca: &str, namespace: &Namespace) -> Value {
    json!({
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "MutatingWebhookConfiguration",
        "metadata": {"name": format!("later-{}", namespace.name)},
        "webhooks": [{
            "name": "later.example.com",
            "admissionReviewVersions": ["v1"],
            "sideEffects": "None",
            "clientConfig": {"url": url, "caBundle": STANDARD.encode(ca)},
            "reinvocationPolicy": "IfNeeded",
            "rules": [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]}],
            "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace.name}},
        }],
    })
}

async fn serve(listener: TcpListener, acceptor: TlsAcceptor, container: Arc<Value>) {
    let mut connections = JoinSet::new();
    while let Ok((socket, _)) = listener.accept().await {
        let (acceptor, container) = (acceptor.clone(), Arc::clone(&container));
        connections.spawn(async move {
            let Ok(tls) = acceptor.accept(socket).await else { return };
            let service = service_fn(move |request| answer(request, Arc::clone(&container)));
            // A connection that breaks shows as a pod without the container.
            drop(hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(tls), service).await);
        });
    }
}

async fn answer(request: Request<Incoming>, container: Arc<Value>) -> Result<Response<Full<Bytes>>, Infallible> {
    let body = request.into_body().collect().await.unwrap().to_bytes();
    let review: Value = serde_json::from_slice(&body).unwrap();
    let mut response = json!({"uid": review["request"]["uid"], "allowed": true});
    let containers = review["request"]["object"]["spec"]["containers"].as_array().unwrap();
    if !containers.iter().any(|there| there["name"] == container["name"]) {
        let patch = json!([{"op": "add", "path": "/spec/containers/-", "value": *container}]);
        response["patchType"] = json!("JSONPatch");
        response["patch"] = json!(STANDARD.encode(patch.to_string()));
    }
    let review = json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": response});
    Ok(Response::new(Full::new(Bytes::from(review.to_string()))))
}
