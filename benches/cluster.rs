//! What stands for an API server here: it lists so many namespaces that opted in, with two claims each, which a write
//! probe has marked, and then sends nothing more. Its pages are those of a real one, so that what a listing costs shows
//! too.

use std::sync::Arc;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::http::{StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use futures::stream;
use serde_json::{Value, json};

/// The claims in each namespace: those that the built-in settings ask for.
pub(crate) const CLAIMS: [&str; 2] = ["model-cache", "compilation-cache"];

/// The name of a namespace.
pub(crate) fn namespace(number: usize) -> String {
    format!("team-{number:05}")
}

/// The collections that are watched.
pub(crate) fn routes(namespaces: usize) -> Router {
    let kind = |name: &str, make: fn(usize) -> Vec<Value>| {
        let list = Arc::new(List { kind: name.to_owned(), items: (0..namespaces).flat_map(make).collect() });
        get(move |request: Request| async move { list.answer(request.uri()) })
    };
    Router::new()
        .route("/api/v1/namespaces", kind("PartialObjectMetadataList", |number| vec![metadata(number)]))
        .route("/api/v1/persistentvolumeclaims", kind("PersistentVolumeClaimList", claims))
        .route("/apis/storage.k8s.io/v1/storageclasses", kind("StorageClassList", |_| Vec::new()))
}

struct List {
    kind: String,
    items: Vec<Value>,
}

impl List {
    fn answer(&self, uri: &Uri) -> Response {
        let parameter = |name: &str| {
            let mut pairs = uri.query().unwrap_or_default().split('&').filter_map(|pair| pair.split_once('='));
            pairs.find(|(key, _)| *key == name).map(|(_, value)| value)
        };
        if parameter("watch").is_some() {
            let nothing = Body::from_stream(stream::pending::<Result<Bytes, std::io::Error>>());
            return (StatusCode::OK, [(header::CONTENT_TYPE, "application/json")], nothing).into_response();
        }
        let number = |name| parameter(name).and_then(|value| value.parse::<usize>().ok());
        let (from, limit) = (number("continue").unwrap_or_default(), number("limit").unwrap_or(usize::MAX));
        let to = from.saturating_add(limit).min(self.items.len());
        let mut metadata = json!({"resourceVersion": "1"});
        if to < self.items.len() {
            metadata["continue"] = to.to_string().into();
        }
        let list = json!({"kind": self.kind, "apiVersion": "v1", "metadata": metadata, "items": self.items[from..to]});
        ([(header::CONTENT_TYPE, "application/json")], list.to_string()).into_response()
    }
}

fn metadata(number: usize) -> Value {
    let labels = json!({"dynamo-cache.io/inject": "enabled", "kubernetes.io/metadata.name": namespace(number)});
    let annotations = json!({"dynamo-cache.io/compile-key": "image,gpu"});
    let metadata = json!({"name": namespace(number), "labels": labels, "annotations": annotations});
    json!({"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": metadata})
}

fn claims(number: usize) -> Vec<Value> {
    let claim = |name| {
        let size = json!({"storage": "500Gi"});
        let spec = json!({"accessModes": ["ReadWriteMany"], "resources": {"requests": size},
            "storageClassName": "shared", "volumeName": format!("pvc-{number:05}-{name}"), "volumeMode": "Filesystem"});
        let fields = json!({"f:spec": {"f:accessModes": {}, "f:resources": {"f:requests": {".": {}, "f:storage": {}}},
            "f:storageClassName": {}, "f:volumeMode": {}}});
        let managed = json!([{"manager": "kubectl-create", "operation": "Update", "apiVersion": "v1",
            "time": "2026-11-25T02:00:00Z", "fieldsType": "FieldsV1", "fieldsV1": fields}]);
        let metadata = json!({"name": name, "namespace": namespace(number), "resourceVersion": "1",
            "annotations": {"dynamo-cache.io/writable": "true"}, "finalizers": ["kubernetes.io/pvc-protection"],
            "managedFields": managed});
        let status = json!({"phase": "Bound", "accessModes": ["ReadWriteMany"], "capacity": size});
        json!({"kind": "PersistentVolumeClaim", "apiVersion": "v1", "metadata": metadata, "spec": spec, "status": status})
    };
    CLAIMS.map(claim).to_vec()
}
