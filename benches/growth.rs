//! The whole handler, from the body of a request to the body of its answer, with few and with many namespaces in the
//! stores that the watches fill. Each review is about another namespace, so that no look-up is warm from the last one.
#![allow(missing_docs, clippy::unwrap_used, reason = "a bench that cannot go on ends")]

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use dynamo_cache::admission::claim::BINDING_TIMEOUT;
use dynamo_cache::cluster::Facts;
use dynamo_cache::metrics::Metrics;
use dynamo_cache::server::limits::Limits;
use dynamo_cache::server::review_log::ReviewLog;
use dynamo_cache::server::webhook::Webhook;
use http_body_util::BodyExt as _;
use hyper::Request;
use hyper::service::Service as _;
use hyper_util::service::TowerToHyperService;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;

mod cluster;
#[allow(dead_code, reason = "other benches take other parts")]
mod samples;

criterion_group!(benches, namespaces);
criterion_main!(benches);

fn namespaces(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("namespaces");
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    for namespaces in [10, 10_000] {
        let webhook = Known::start(&runtime, namespaces);
        // A step that has no divisor in common with their number reaches all of them.
        let mut numbers = (0..).step_by(7919).map(|number: usize| number % namespaces);
        group.bench_function(namespaces.to_string(), |bench| {
            // One body at a time: thousands at once, which criterion would rather have, are no server's memory.
            bench.iter_batched(
                || request(numbers.next().unwrap_or_default()),
                |request| runtime.block_on(webhook.answer(request)),
                BatchSize::PerIteration,
            );
        });
    }
}

/// A webhook that knows a cluster.
struct Known {
    routes: TowerToHyperService<Router>,
    _watches: JoinSet<()>,
}

impl Known {
    /// Waits until everything is listed.
    fn start(runtime: &Runtime, namespaces: usize) -> Self {
        // The client starts a task of its own.
        let _inside = runtime.enter();
        let client = kube::Client::new(cluster::routes(namespaces), "default");
        let metrics = Arc::new(Metrics::default());
        let facts = Facts::new(&client, "dynamo-cache.io/inject=enabled", BINDING_TIMEOUT, &metrics);
        let Facts::Watched { namespaces, claims } = facts.clone() else { unreachable!("it was made of a client") };
        let listed = Arc::new([Notify::new(), Notify::new()]);
        let mut watches = JoinSet::new();
        let report = |index: usize| {
            let listed = Arc::clone(&listed);
            move |known: Result<(), String>| known.map(|()| listed[index].notify_one()).unwrap()
        };
        let (about_namespaces, about_claims) = (report(0), report(1));
        watches.spawn_on(async move { namespaces.follow(about_namespaces).await }, runtime.handle());
        watches.spawn_on(async move { claims.follow(about_claims).await }, runtime.handle());
        runtime.block_on(async {
            listed[0].notified().await;
            listed[1].notified().await;
        });
        let config = watch::Sender::default().subscribe();
        let (limits, log) = (Limits::new(Arc::clone(&metrics)), ReviewLog::default());
        let webhook = Webhook { config, facts, events: None, limits, log, metrics };
        Known { routes: TowerToHyperService::new(webhook.routes()), _watches: watches }
    }

    async fn answer(&self, request: Request<Body>) -> usize {
        let answer = self.routes.call(request).await.unwrap();
        answer.into_body().collect().await.unwrap().to_bytes().len()
    }
}

/// The worker's review, from one of the namespaces.
fn request(number: usize) -> Request<Body> {
    let body = samples::worker_from(&cluster::namespace(number));
    Request::post("/mutate?timeout=3s").body(Body::from(body)).unwrap()
}
