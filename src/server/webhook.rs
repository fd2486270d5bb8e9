//! Handles `POST /mutate`: from the body of a review to its answer.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Instant;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use futures::FutureExt as _;
use tokio::sync::watch;
use tracing::debug;

use crate::admission::pod::Pod;
use crate::admission::{Evaluation, review};
use crate::cluster::Facts;
use crate::cluster::events::Events;
use crate::config::Config;
use crate::metrics::Metrics;
use crate::server::limits::{Limits, Refusal};
use crate::server::review_log::ReviewLog;

/// The state of the handler.
#[derive(Debug)]
pub struct Webhook {
    /// The current settings.
    pub config: watch::Receiver<Arc<Config>>,
    /// The facts about the cluster.
    pub facts: Facts,
    /// Events on the owners of pods. `None` without a cluster.
    pub events: Option<Arc<Events>>,
    /// The limits on work in flight.
    pub limits: Limits,
    /// Decides which reviews are logged.
    pub log: ReviewLog,
    /// The metrics.
    pub metrics: Arc<Metrics>,
}

/// The reason why a request got an HTTP error instead of a review.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("dynamo-cache failed; see its log")]
    Internal,
    #[error("{0}")]
    Rejected(#[from] Refusal),
    #[error("{0}")]
    Review(#[from] review::Error),
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let text = format!("{self}\n");
        match self {
            Failure::Internal => (StatusCode::INTERNAL_SERVER_ERROR, text).into_response(),
            Failure::Rejected(refusal) => refusal.into_response(),
            Failure::Review(_) => (StatusCode::BAD_REQUEST, text).into_response(),
        }
    }
}

impl Webhook {
    /// The route `POST /mutate`. Anything else gets 404 or 405.
    pub fn routes(self) -> Router {
        Router::new().route("/mutate", post(mutate)).with_state(Arc::new(self))
    }

    async fn review(&self, request: Request) -> Result<Bytes, Failure> {
        let mut buffered = self.limits.read_body(request).await?;
        let answer = self.answer(&mut buffered.body).await?;
        Ok(self.limits.budget_answer(buffered, answer).await?)
    }

    async fn answer(&self, body: &mut [u8]) -> Result<Vec<u8>, Failure> {
        let mut review = review::Request::read(body)?;
        let Some(pod) = self.pod(&mut review)? else {
            self.metrics.record_review(None, review.dry_run);
            return Ok(review.answer(None));
        };
        let config = Arc::clone(&self.config.borrow());
        let namespace = self.facts.annotations(&review.namespace).await;
        let evaluation = Evaluation::new(&pod, &config.settings, &namespace);
        let claims = self.facts.claims(&review.namespace, evaluation.claims().collect()).await;
        let outcome = evaluation.decide(&claims);
        self.metrics.record_review(Some(&outcome), review.dry_run);
        // Namespaces that do not exist share one part of the log.
        let known = || Some(&*review.namespace).filter(|name| self.facts.has_namespace(name));
        self.log.log_review(&review, known, &pod, &outcome);
        if let Some(events) = self.events.as_ref().filter(|_| config.events && !review.dry_run) {
            events.enqueue(&review.namespace, &pod, &outcome);
        }
        Ok(review.answer(Some(&outcome)))
    }

    /// The pod of a review. `None` if there is no pod to change, or if it is so large that parsing it would cost other
    /// pods theirs.
    fn pod<'a>(&self, review: &mut review::Request<'a>) -> Result<Option<Pod<'a>>, review::Error> {
        match review.pod() {
            Err(error @ review::Error::TooManyParts) => {
                self.log.log_too_large(review, &error);
                Ok(None)
            }
            read => read,
        }
    }
}

async fn mutate(State(webhook): State<Arc<Webhook>>, request: Request) -> Response {
    let started = Instant::now();
    // Only counters outlive a review, so a panic leaves no inconsistent state.
    let answer = match AssertUnwindSafe(webhook.review(request)).catch_unwind().await {
        Ok(Ok(review)) => ([(header::CONTENT_TYPE, "application/json")], review).into_response(),
        Ok(Err(failure)) => {
            debug!(reason = %failure, "answered a request with an HTTP error");
            failure.into_response()
        }
        // The panic hook of `log` has logged it with its location.
        Err(_) => Failure::Internal.into_response(),
    };
    webhook.metrics.record_response(answer.status(), started.elapsed());
    answer
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::sync::{Arc, Mutex};

    use axum::Router;
    use axum::body::{Body, Bytes};
    use axum::http::{HeaderMap, StatusCode, Uri};
    use axum::middleware::map_request;
    use http_body_util::BodyExt as _;
    use hyper::Request;
    use hyper::service::Service as _;
    use hyper_util::service::TowerToHyperService;
    use tokio::sync::watch;

    use super::Webhook;
    use crate::admission::claim::BINDING_TIMEOUT;
    use crate::cluster::Facts;
    use crate::metrics::Metrics;
    use crate::server::limits::{Limits, MAX_REVIEWS};
    use crate::server::review_log::ReviewLog;

    /// The routes of a webhook with this API server.
    fn routes(api_server: Router, metrics: &Arc<Metrics>) -> TowerToHyperService<Router> {
        let facts = Facts::new(&kube::Client::new(api_server, "default"), "", BINDING_TIMEOUT, metrics);
        let (config, limits) = (watch::Sender::default().subscribe(), Limits::new(Arc::clone(metrics)));
        let (log, metrics) = (ReviewLog::default(), Arc::clone(metrics));
        let webhook = Webhook { config, facts, events: None, limits, log, metrics };
        TowerToHyperService::new(webhook.routes())
    }

    /// Sends a review of a pod in a namespace that no watch knows.
    async fn ask(routes: &TowerToHyperService<Router>, namespace: &str) -> (StatusCode, HeaderMap, Bytes) {
        let body = r#"{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":{"uid":"u","namespace":"NAMESPACE",
            "kind":{"group":"","version":"v1","kind":"Pod"},"operation":"CREATE","object":{"spec":{"containers":[]}}}}"#;
        let body = Body::from(body.replace("NAMESPACE", namespace));
        let (head, body) = routes.call(Request::post("/mutate").body(body).unwrap()).await.unwrap().into_parts();
        (head.status, head.headers, body.collect().await.unwrap().to_bytes())
    }

    #[tokio::test]
    async fn a_panic_costs_the_review_that_causes_it_and_no_other() {
        let api_server = Router::new().fallback(async |uri: Uri| {
            assert!(!uri.path().contains("broken"), "a panic in the middle of a review");
            StatusCode::NOT_FOUND
        });
        let metrics = Arc::new(Metrics::default());
        let routes = routes(api_server, &metrics);
        for round in 1..=3 {
            let (status, _, text) = ask(&routes, "broken").await;
            assert_eq!((status.as_u16(), &*text), (500, &b"dynamo-cache failed; see its log\n"[..]));
            assert_eq!(ask(&routes, "well").await.0, 200);
            let page = metrics.page();
            assert!(page.contains(&format!("http_responses_total{{code=\"500\"}} {round}\n")), "{page}");
            assert!(page.contains("in_flight_bytes 0\n"), "{page}");
        }
    }

    #[tokio::test]
    async fn reviews_beyond_the_limit_are_answered_with_503_and_retry_after() {
        // The API server never answers, so every review waits.
        let api_server = Router::new().fallback(std::future::pending::<StatusCode>);
        let metrics = Arc::new(Metrics::default());
        let routes = routes(api_server, &metrics);
        let mut reviews: Vec<_> = (0..MAX_REVIEWS).map(|_| Box::pin(ask(&routes, "slow"))).collect();
        for review in &mut reviews {
            assert!(futures::poll!(review).is_pending());
        }
        for shed in 1..=2 {
            let (status, head, text) = ask(&routes, "slow").await;
            assert_eq!((status.as_u16(), &*text), (503, &b"too many reviews are in flight, try again\n"[..]));
            assert_eq!((&head["retry-after"], &head["connection"]), (&"1".parse().unwrap(), &"close".parse().unwrap()));
            let page = metrics.page();
            assert!(page.contains(&format!("shed_total{{limit=\"reviews\"}} {shed}\n")), "{page}");
        }
        drop(reviews.pop());
        assert!(futures::poll!(Box::pin(ask(&routes, "slow"))).is_pending(), "a slot is free again");
    }

    /// Sends a review of a worker in a namespace of this number, whose claim has that number.
    async fn ask_about(routes: &TowerToHyperService<Router>, namespace: usize, claim: usize) -> StatusCode {
        let body = r#"{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":{"uid":"u","namespace":"team-NAMESPACE",
            "kind":{"group":"","version":"v1","kind":"Pod"},"operation":"CREATE","object":{"metadata":{"annotations":
            {"dynamo-cache.io/model-claim":"models-CLAIM"}},"spec":{"containers":[{"name":"main","args":["-mdynamo.vllm"]}]}}}}"#;
        let body = body.replace("NAMESPACE", &namespace.to_string()).replace("CLAIM", &claim.to_string());
        let answer = routes.call(Request::post("/mutate").body(Body::from(body)).unwrap()).await;
        answer.unwrap().status()
    }

    /// Sends two thousand reviews about as many claims, and checks the reads of the API server and the lines of the
    /// log.
    async fn flood(api_server: Router) {
        let begun = tokio::time::Instant::now();
        let reads = Arc::new(AtomicU32::new(0));
        let counted = Arc::clone(&reads);
        let api_server = api_server.layer(map_request(move |request: axum::extract::Request| {
            counted.fetch_add(1, Ordering::Relaxed);
            async { request }
        }));
        let log = Log::default();
        let written = log.clone();
        let lines = tracing_subscriber::fmt().with_writer(move || written.clone()).finish();
        let _lines = tracing::subscriber::set_default(lines);
        let metrics = Arc::new(Metrics::default());
        let routes = routes(api_server, &metrics);
        for reviews in (0..2000).collect::<Vec<_>>().chunks(500) {
            let answers = reviews.iter().map(|number| ask_about(&routes, number / 2, *number));
            let answers = futures::future::join_all(answers).await;
            assert!(answers.iter().all(|answer| *answer == 200), "{answers:?}");
        }
        let (reads, took) = (reads.load(Ordering::Relaxed), begun.elapsed());
        // The burst, and fifty a second.
        let most = 101 + took.as_millis() / 20;
        assert!((1..=most).contains(&u128::from(reads)), "{reads} reads in {took:?}");
        let lines = log.lines();
        // A hundred about pods that lack a cache, and one for each kind of failure.
        assert!(lines <= 110, "{lines} lines");
        assert!(metrics.page().contains("http_responses_total{code=\"200\"} 2000\n"), "{}", metrics.page());
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_or_failing_api_server_is_read_within_limits() {
        flood(Router::new().fallback(std::future::pending::<StatusCode>)).await;
        flood(Router::new().fallback(StatusCode::INTERNAL_SERVER_ERROR)).await;
        flood(Router::new().fallback(StatusCode::NOT_FOUND)).await;
    }

    /// The captured log.
    #[derive(Clone, Default)]
    struct Log(Arc<Mutex<Vec<u8>>>);

    impl Log {
        fn lines(&self) -> usize {
            String::from_utf8(self.0.lock().unwrap().clone()).unwrap().lines().count()
        }
    }

    impl io::Write for Log {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
}
