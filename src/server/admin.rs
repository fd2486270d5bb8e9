//! The admin listener for kubelets and Prometheus: liveness, readiness and metrics.

use std::sync::Arc;

use axum::Router;
use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;

use crate::metrics::{Format, Metrics};
use crate::readiness::Readiness;
use crate::server::metrics_page::MetricsPage;

/// The routes `/livez`, `/readyz`, `/readyz?verbose` and `/metrics`.
pub fn routes(readiness: Arc<Readiness>, metrics: Arc<Metrics>) -> Router {
    let state = Arc::clone(&readiness);
    let ready = |State(readiness): State<Arc<Readiness>>, RawQuery(query): RawQuery| async move {
        let (ready, lines) = readiness.report();
        let verbose = query.is_some_and(|query| query.split('&').any(|word| word.split('=').next() == Some("verbose")));
        match (ready, verbose) {
            (true, false) => (StatusCode::OK, "ok\n".to_owned()),
            (true, true) => (StatusCode::OK, lines + "ready\n"),
            (false, _) => (StatusCode::SERVICE_UNAVAILABLE, lines + "not ready\n"),
        }
    };
    let pages = Arc::new(MetricsPage::new(Arc::clone(&metrics)));
    let page = move |head: HeaderMap| async move {
        metrics.ready.set(state.report().0.into());
        let accepted = head.get_all(header::ACCEPT).iter().filter_map(|accepted| accepted.to_str().ok());
        let format = Format::negotiate(accepted);
        ([(header::CONTENT_TYPE, format.content_type())], pages.page(format)).into_response()
    };
    Router::new()
        .route("/livez", get(async || "ok\n"))
        .route("/readyz", get(ready))
        .with_state(readiness)
        .route("/metrics", get(page))
}
