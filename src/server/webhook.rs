//! The journey of a review: from the body of `POST /mutate` to its answer.

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

/// Who answers reviews.
#[derive(Debug)]
pub struct Webhook {
    /// The settings that apply now.
    pub config: watch::Receiver<Arc<Config>>,
    /// What is known of the cluster.
    pub facts: Facts,
    /// Where the owners of pods are told what was left out; none: nowhere.
    pub events: Option<Arc<Events>>,
    /// How much is taken on at once.
    pub limits: Limits,
    /// Which reviews are a line of the log.
    pub log: ReviewLog,
    /// Where it is counted.
    pub metrics: Arc<Metrics>,
}

/// Why a review was not answered with a review.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("dynamo-cache failed; its log says more")]
    Ours,
    #[error("{0}")]
    Refused(#[from] Refusal),
    #[error("{0}")]
    Review(#[from] review::Error),
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let text = format!("{self}\n");
        match self {
            Failure::Ours => (StatusCode::INTERNAL_SERVER_ERROR, text).into_response(),
            Failure::Refused(refusal) => refusal.into_response(),
            Failure::Review(_) => (StatusCode::BAD_REQUEST, text).into_response(),
        }
    }
}

impl Webhook {
    /// `POST /mutate`; anything else is 404 or 405.
    pub fn routes(self) -> Router {
        Router::new().route("/mutate", post(mutate)).with_state(Arc::new(self))
    }

    async fn review(&self, request: Request) -> Result<Bytes, Failure> {
        let held = self.limits.take(request).await?;
        let answer = self.answer(&held.body).await?;
        Ok(self.limits.keep(held, answer).await?)
    }

    async fn answer(&self, body: &[u8]) -> Result<Vec<u8>, Failure> {
        let mut review = review::Request::read(body)?;
        let Some(pod) = self.pod(&mut review)? else {
            self.metrics.decided(None, review.dry_run);
            return Ok(review.answer(None));
        };
        let config = Arc::clone(&self.config.borrow());
        let namespace = self.facts.namespace(&review.namespace).await;
        let evaluation = Evaluation::new(&pod, &config.settings, &namespace);
        let claims = self.facts.claims(&review.namespace, evaluation.claims().collect()).await;
        let outcome = evaluation.decide(&claims);
        self.metrics.decided(Some(&outcome), review.dry_run);
        // Made-up namespaces have one share of the log together.
        let namespace = Some(&*review.namespace).filter(|name| self.facts.has_namespace(name));
        self.log.reviewed(&review, namespace, &pod, &outcome);
        if let Some(events) = self.events.as_ref().filter(|_| config.events && !review.dry_run) {
            events.tell(&review.namespace, &pod, &outcome);
        }
        Ok(review.answer(Some(&outcome)))
    }

    /// The pod of a review; none where there is none for us, or one so large that looking at it would cost others theirs.
    fn pod<'a>(&self, review: &mut review::Request<'a>) -> Result<Option<Pod<'a>>, review::Error> {
        match review.pod() {
            Err(error @ review::Error::TooManyParts) => {
                self.log.not_read(review, &error);
                Ok(None)
            }
            read => read,
        }
    }
}

async fn mutate(State(webhook): State<Arc<Webhook>>, request: Request) -> Response {
    let began = Instant::now();
    // Nothing outlives a review but counters, so nothing can be left half done.
    let answer = match AssertUnwindSafe(webhook.review(request)).catch_unwind().await {
        Ok(Ok(review)) => ([(header::CONTENT_TYPE, "application/json")], review).into_response(),
        Ok(Err(failure)) => {
            debug!(reason = %failure, "a request was not answered with a review");
            failure.into_response()
        }
        // The log has it already, with its place: `log` sees to it.
        Err(_) => Failure::Ours.into_response(),
    };
    webhook.metrics.answered(answer.status(), began.elapsed());
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
    use crate::server::limits::{ALL_REVIEWS, Limits};
    use crate::server::review_log::ReviewLog;

    /// The routes of a webhook that has this for an API server.
    fn routes(api_server: Router, metrics: &Arc<Metrics>) -> TowerToHyperService<Router> {
        let facts = Facts::of(&kube::Client::new(api_server, "default"), "", BINDING_TIMEOUT, metrics);
        let (config, limits) = (watch::Sender::default().subscribe(), Limits::new(Arc::clone(metrics)));
        let (log, metrics) = (ReviewLog::default(), Arc::clone(metrics));
        let webhook = Webhook { config, facts, events: None, limits, log, metrics };
        TowerToHyperService::new(webhook.routes())
    }

    /// Asks about a pod in a namespace that no watch knows.
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
            assert_eq!((status.as_u16(), &*text), (500, &b"dynamo-cache failed; its log says more\n"[..]));
            assert_eq!(ask(&routes, "well").await.0, 200);
            let page = metrics.page();
            assert!(page.contains(&format!("answers_total{{status=\"500\"}} {round}\n")), "{page}");
            assert!(page.contains("in_flight_bytes 0\n"), "{page}");
        }
    }

    #[tokio::test]
    async fn more_reviews_at_once_than_there_are_places_are_told_to_come_again() {
        // Nobody is answered, so every review stays where it is.
        let api_server = Router::new().fallback(std::future::pending::<StatusCode>);
        let metrics = Arc::new(Metrics::default());
        let routes = routes(api_server, &metrics);
        let mut places: Vec<_> = (0..ALL_REVIEWS).map(|_| Box::pin(ask(&routes, "slow"))).collect();
        for place in &mut places {
            assert!(futures::poll!(place).is_pending());
        }
        for shed in 1..=2 {
            let (status, head, text) = ask(&routes, "slow").await;
            assert_eq!((status.as_u16(), &*text), (503, &b"too many reviews are in flight, try again\n"[..]));
            assert_eq!((&head["retry-after"], &head["connection"]), (&"1".parse().unwrap(), &"close".parse().unwrap()));
            let page = metrics.page();
            assert!(page.contains(&format!("shed_total{{bound=\"reviews\"}} {shed}\n")), "{page}");
        }
        drop(places.pop());
        assert!(futures::poll!(Box::pin(ask(&routes, "slow"))).is_pending(), "a place is free again");
    }

    /// Asks about a worker in a namespace of this number, whose claim has that number.
    async fn ask_about(routes: &TowerToHyperService<Router>, namespace: usize, claim: usize) -> StatusCode {
        let body = r#"{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":{"uid":"u","namespace":"team-NAMESPACE",
            "kind":{"group":"","version":"v1","kind":"Pod"},"operation":"CREATE","object":{"metadata":{"annotations":
            {"dynamo-cache.io/model-claim":"models-CLAIM"}},"spec":{"containers":[{"name":"main","args":["-mdynamo.vllm"]}]}}}}"#;
        let body = body.replace("NAMESPACE", &namespace.to_string()).replace("CLAIM", &claim.to_string());
        let answer = routes.call(Request::post("/mutate").body(Body::from(body)).unwrap()).await;
        answer.unwrap().status()
    }

    /// Two thousand reviews that no API server sent, about as many claims, at an API server that answers so: reads of it, and
    /// lines of the log.
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
        // A hundred about pods that lack a cache, and one of each kind of failure.
        assert!(lines <= 110, "{lines} lines");
        assert!(metrics.page().contains("answers_total{status=\"200\"} 2000\n"), "{}", metrics.page());
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_or_failing_api_server_is_read_within_bounds_whatever_is_asked() {
        flood(Router::new().fallback(std::future::pending::<StatusCode>)).await;
        flood(Router::new().fallback(StatusCode::INTERNAL_SERVER_ERROR)).await;
        flood(Router::new().fallback(StatusCode::NOT_FOUND)).await;
    }

    /// What was logged.
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
