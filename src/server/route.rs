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
use tracing::{Level, debug, enabled, info, warn};

use super::limit::{Limits, Refusal};
use crate::admission::pod::Pod;
use crate::admission::reason::Reason;
use crate::admission::{Consideration, Outcome, review};
use crate::cluster::Facts;
use crate::cluster::events::Events;
use crate::config::Config;
use crate::metrics::Metrics;

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
        Ok(self.limits.keep(held, answer)?)
    }

    async fn answer(&self, body: &[u8]) -> Result<Vec<u8>, Failure> {
        let mut review = review::Request::read(body)?;
        let Some(pod) = pod(&mut review)? else {
            self.metrics.decided(None, review.dry_run);
            return Ok(review.answer(None));
        };
        let config = Arc::clone(&self.config.borrow());
        let namespace = self.facts.namespace(&review.namespace).await;
        let consideration = Consideration::of(&pod, &config.settings, &namespace);
        let claims = self.facts.claims(&review.namespace, consideration.claims().collect()).await;
        let outcome = consideration.decide(&claims);
        self.metrics.decided(Some(&outcome), review.dry_run);
        tell(&review, &pod, &outcome);
        if let Some(events) = self.events.as_ref().filter(|_| config.events && !review.dry_run) {
            events.tell(&review.namespace, &pod, &outcome);
        }
        Ok(review.answer(Some(&outcome)))
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

/// The pod of a review; none where there is none for us, or one so large that looking at it would cost others theirs.
fn pod<'a>(review: &mut review::Request<'a>) -> Result<Option<Pod<'a>>, review::Error> {
    match review.pod() {
        Err(error @ review::Error::TooManyParts) => {
            let (uid, namespace) = (short(&review.uid), short(&review.namespace));
            warn!(uid, namespace, %error, "a pod was not looked at");
            Ok(None)
        }
        read => read,
    }
}

/// One line about a review: at info where something was left out, else at debug, as on a dry run, of which no pod comes.
/// Nothing of a pod's content.
fn tell(review: &review::Request<'_>, pod: &Pod<'_>, outcome: &Outcome<'_>) {
    let has_no_status = outcome.left_alone.is_some_and(Reason::leaves_no_status);
    let left_out = !outcome.skipped.is_empty() || (outcome.left_alone.is_some() && !has_no_status);
    let notable = left_out || !outcome.warnings.is_empty();
    let at_info = notable && !review.dry_run;
    if !(if at_info { enabled!(Level::INFO) } else { enabled!(Level::DEBUG) }) {
        return;
    }
    let metadata = pod.metadata.as_ref();
    let name = metadata.and_then(|metadata| {
        let given = metadata.name.as_deref().filter(|name| !name.is_empty());
        given.or(metadata.generate_name.as_deref())
    });
    let (uid, namespace, name) = (short(&review.uid), short(&review.namespace), short(name.unwrap_or_default()));
    let (decision, dry_run) = (outcome.decision(), review.dry_run);
    // As text it is quoted, with what would begin a line escaped: its author is any tenant, and nothing has validated it.
    let owner = pod.controller().map(ToString::to_string);
    let owner = owner.as_deref().map(short);
    let reasons = outcome.reasons().into_iter().map(Reason::code).collect::<Vec<_>>();
    let reasons = reasons.join(",");
    if at_info {
        info!(uid, namespace, name, owner, decision, reasons, dry_run, "something was left out");
    } else if notable {
        debug!(uid, namespace, name, owner, decision, reasons, dry_run, "something was left out");
    } else {
        debug!(uid, namespace, name, owner, decision, reasons, dry_run, "reviewed");
    }
}

/// As much of a name as Kubernetes allows: nothing has validated it yet, and a line of the log is not to be of any length.
fn short(name: &str) -> &str {
    name.char_indices().nth(253).map_or(name, |(end, _)| &name[..end])
}

#[cfg(test)]
mod tests {
    use std::fs::{File, read_to_string};
    use std::path::PathBuf;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::{Arc, Mutex};

    use axum::Router;
    use axum::body::{Body, Bytes};
    use axum::http::{HeaderMap, StatusCode, Uri};
    use http_body_util::BodyExt as _;
    use hyper::Request;
    use hyper::service::Service as _;
    use hyper_util::service::TowerToHyperService;
    use tokio::sync::watch;

    use super::{Consideration, Webhook, review, tell};
    use crate::admission::claim::{BINDING_TIMEOUT, Claims};
    use crate::admission::settings::Settings;
    use crate::cluster::Facts;
    use crate::metrics::Metrics;
    use crate::server::limit::{ALL_REVIEWS, Limits};

    /// The routes of a webhook that has this for an API server.
    fn routes(api_server: Router, metrics: &Arc<Metrics>) -> TowerToHyperService<Router> {
        let facts = Facts::of(&kube::Client::new(api_server, "default"), "", BINDING_TIMEOUT, metrics);
        let (config, limits) = (watch::Sender::default().subscribe(), Limits::new(Arc::clone(metrics)));
        let webhook = Webhook { config, facts, events: None, limits, metrics: Arc::clone(metrics) };
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

    /// What the log says of a pod in which everything is called so, as it stands between quotes in JSON.
    fn logged(words: &str) -> String {
        let body = r#"{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":{"uid":"W","namespace":"W",
            "kind":{"group":"","version":"v1","kind":"Pod"},"operation":"CREATE","object":{"metadata":{"name":"W",
            "generateName":"W","annotations":{"dynamo-cache.io/inject":"W","dynamo-cache.io/W":"W"},
            "labels":{"nvidia.com/dynamo-component":"W"},
            "ownerReferences":[{"kind":"W","name":"W","controller":true}]},"spec":{"containers":[{"name":"W"}]}}}}"#;
        let body = body.replace('W', words);
        let mut review = review::Request::read(body.as_bytes()).unwrap();
        let pod = review.pod().unwrap().unwrap();
        let settings = Settings::default();
        let outcome = Consideration::of(&pod, &settings, &[]).decide(&Claims::new());

        let log = tempfile();
        let lines = tracing_subscriber::fmt().with_ansi(false).with_writer(Mutex::new(File::create(&log).unwrap()));
        tracing::subscriber::with_default(lines.finish(), || tell(&review, &pod, &outcome));
        let said = read_to_string(&log).unwrap();
        std::fs::remove_file(&log).unwrap();
        said
    }

    fn tempfile() -> PathBuf {
        static FILES: AtomicUsize = AtomicUsize::new(0);
        let number = FILES.fetch_add(1, Ordering::Relaxed);
        std::env::temp_dir().join(format!("dynamo-cache-words-{}-{number}", std::process::id()))
    }

    #[test]
    fn no_word_of_a_tenant_begins_a_line_of_the_log_or_colours_it() {
        let log = logged(r"x\n2026-01-01T00:00:00Z  INFO forged\r\u001b[31m");
        assert!(log.contains("owner=") && log.contains("forged"), "{log:?}");
        assert_eq!(log.lines().count(), 1, "{log:?}");
        assert!(!log.trim_end().contains(char::is_control), "{log:?}");
    }

    #[test]
    fn a_line_of_the_log_is_no_longer_for_long_names() {
        let log = logged(&"ü".repeat(100_000));
        assert!(log.contains("owner=") && log.len() < 4_000, "{} bytes", log.len());
    }
}
