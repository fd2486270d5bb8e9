//! Webhooks with fixed facts, the same ones that answer over HTTP.

use std::sync::Arc;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::http::StatusCode;
use dynamo_cache::admission::annotation::PREFIX;
use dynamo_cache::admission::claim::{Access, Binding, Claim, Claims, Writable};
use dynamo_cache::cluster::Facts;
use dynamo_cache::config::Config;
use dynamo_cache::metrics::Metrics;
use dynamo_cache::server::limits::Limits;
use dynamo_cache::server::review_log::ReviewLog;
use dynamo_cache::server::webhook::Webhook;
use http_body_util::BodyExt as _;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::watch;
use tower_service::Service as _;

/// The settings file but for its head, annotations of the namespace, and the claims there; none: all that are asked for.
type Words = (&'static str, &'static [(&'static str, &'static str)], Option<Vec<(&'static str, Claim)>>);

fn rooms() -> Vec<Words> {
    // A claim that everything works with.
    let good = Claim::default;
    vec![
        ("", &[], None),
        ("compileCache: {mode: staged}", &[], None),
        (
            "compileCache: {mode: staged, claim: one, key: none, multiNode: true, mountPath: /compiled}\nmodelCache: {claim: one}\n\
             staging: {image: 'registry:5000/tool:1', resources: {requests: {cpu: 1}}}",
            &[("single-node-claim", "inject")],
            Some(vec![("one", Claim { access: Access::ReadOnlyMany, ..good() })]),
        ),
        ("modelExpress: {url: 'mx:8001'}\nloadFormat: mx", &[], None),
        (
            "modelExpress: {url: 'http://mx:8001', sharedStorage: false}\nloadFormat: modelexpress\nfsGroup: 1000",
            &[],
            Some(vec![("model-cache", good())]),
        ),
        (
            "modelCache: {claim: one, layout: hub, offline: true}\ncompileCache: {claim: one, key: none, multiNode: true}\nfsGroup: 0",
            &[("model-express-url", "mx:1"), ("model-express-shared-storage", "false")],
            None,
        ),
        (
            "missingClaim: inject\nsingleNodeClaim: inject\nuserNamespace: inject\nunprovenClaim: inject\nloadFormat: runai_streamer",
            &[("skip", "model-express"), ("compile-key", "gpu")],
            Some(vec![]),
        ),
        (
            "events: true",
            &[("model-read-only", "true"), ("engine", "vllm")],
            Some(vec![
                ("model-cache", Claim { access: Access::ReadOnlyMany, ..good() }),
                ("compilation-cache", Claim { access: Access::ReadWriteOnce, ..good() }),
            ]),
        ),
        (
            "modelCache: {mountPath: /models, endpoint: 'https://hub/x'}\ncompileCache: {mountPath: /compiled}\nloadFormat: fastsafetensors",
            &[("nonsense", ""), ("model-layout", "hub")],
            Some(vec![
                ("model-cache", Claim { access: Access::ReadWriteOncePod, ..good() }),
                ("compilation-cache", Claim { terminating: true, ..good() }),
            ]),
        ),
        (
            "",
            &[("model-claim", "x"), ("skip", "")],
            Some(vec![
                ("model-cache", Claim { binding: Binding::Lost, ..good() }),
                ("compilation-cache", Claim { writable: Writable::Users([1000].into()), ..good() }),
                ("x", Claim { writable: Writable::No, ..good() }),
            ]),
        ),
    ]
}

/// A webhook whose facts do not change.
pub struct Surroundings {
    /// Its settings.
    pub config: Config,
    /// The annotations of every namespace.
    pub namespace: Vec<(String, String)>,
    /// The claims of every namespace; none: all that are asked for.
    pub claims: Option<Claims>,
    routes: Router,
    runtime: Runtime,
}

impl Surroundings {
    /// All rooms there are.
    pub fn all() -> Vec<Surroundings> {
        rooms().into_iter().map(Surroundings::new).collect()
    }

    fn new((config, namespace, claims): Words) -> Surroundings {
        let head = "apiVersion: dynamo-cache.io/v1alpha1\nkind: CacheConfig\n";
        let config = Config::read(&format!("{head}{config}\n")).expect("the settings of a surroundings are right");
        let namespace: Vec<_> =
            namespace.iter().map(|(name, value)| (format!("{PREFIX}{name}"), (*value).to_owned())).collect();
        let claims: Option<Claims> =
            claims.map(|claims| claims.into_iter().map(|(name, claim)| (name.to_owned(), claim)).collect());
        let metrics = Arc::new(Metrics::default());
        let webhook = Webhook {
            config: watch::channel(Arc::new(config.clone())).1,
            facts: Facts::Static { annotations: namespace.clone().into(), claims: claims.clone() },
            events: None,
            limits: Limits::new(Arc::clone(&metrics)),
            log: ReviewLog::default(),
            metrics,
        };
        let runtime =
            Builder::new_current_thread().enable_time().build().expect("a runtime on this thread can be made");
        Surroundings { config, namespace, claims, routes: webhook.routes(), runtime }
    }

    /// Posts a body, as over HTTP, and says what came back.
    pub fn ask(&self, body: &[u8]) -> (StatusCode, Bytes) {
        let request = Request::post("/mutate").body(Body::from(body.to_vec())).expect("the request is right");
        let mut routes = self.routes.clone();
        self.runtime.block_on(async move {
            let Ok(answer) = routes.call(request).await;
            let (head, body) = answer.into_parts();
            (head.status, body.collect().await.expect("an answer is in memory").to_bytes())
        })
    }
}
