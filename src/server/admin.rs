//! What a kubelet and a Prometheus ask: whether we live, whether we are ready and why not, and the metrics.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use axum::Router;
use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;

use crate::metrics::{Form, Metrics};
use crate::server::metrics_page::MetricsPage;

/// What has to be so before we are ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Condition {
    /// The API server trusts what is served, or calls nobody.
    Bundle,
    /// A certificate is served.
    Certificate,
    /// The claims of the cluster are known.
    Claims,
    /// The settings of the namespaces are known.
    Namespaces,
    /// A call of ourselves, as the API server would make it, came through.
    Probe,
    /// The StorageClasses of the cluster are known.
    StorageClasses,
}

impl Condition {
    /// All that a replica needs to be ready. Without the StorageClasses a claim that waits for its volume is used: no reason to
    /// wait for a right that an older role does not give.
    pub const ALL: [Condition; 5] =
        [Condition::Bundle, Condition::Certificate, Condition::Claims, Condition::Namespaces, Condition::Probe];
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Condition::Bundle => "bundle",
            Condition::Certificate => "certificate",
            Condition::Claims => "claims",
            Condition::Namespaces => "namespaces",
            Condition::Probe => "probe",
            Condition::StorageClasses => "storage-classes",
        })
    }
}

/// Where the settings come from, and whether a newer file was refused.
#[derive(Debug)]
pub struct Source {
    /// The file, or that they are built in.
    pub name: String,
    /// When it was last read and good.
    pub since: Instant,
    /// What is wrong with what the file says now, where it is.
    pub refused: Option<String>,
}

/// How things stand, for whoever asks.
///
/// What was once met stays met: a cluster that cannot be reached for a while makes no replica unready.
#[derive(Debug)]
pub struct Conditions(Mutex<Standing>);

#[derive(Debug)]
struct Standing {
    conditions: BTreeMap<Condition, Stand>,
    stopping: bool,
    settings: Source,
}

/// How a condition stands.
#[derive(Debug)]
struct Stand {
    /// Whether it was ever met.
    met: bool,
    /// What there is to say of it now; an error where it is not met at this moment.
    now: Result<String, String>,
}

impl Conditions {
    /// Nothing is met yet.
    pub fn new(needed: &[Condition], settings: Source) -> Self {
        let state = || Stand { met: false, now: Err("not yet".to_owned()) };
        let conditions = needed.iter().map(|&condition| (condition, state())).collect();
        Conditions(Mutex::new(Standing { conditions, stopping: false, settings }))
    }

    /// A condition is met from now on.
    pub fn meet(&self, condition: Condition) {
        self.meet_as(condition, "ok".to_owned());
    }

    /// A condition is met from now on, with more to say of it.
    pub fn meet_as(&self, condition: Condition, how: String) {
        self.change(|standing| _ = standing.conditions.insert(condition, Stand { met: true, now: Ok(how) }));
    }

    /// A condition is not met at this moment. Once it was, this tells and makes nobody unready.
    pub fn lack(&self, condition: Condition, why: String) {
        self.change(|standing| {
            let met = standing.conditions.get(&condition).is_some_and(|state| state.met);
            standing.conditions.insert(condition, Stand { met, now: Err(why) });
        });
    }

    /// We are not ready from now on, whatever else is so.
    pub fn stop(&self) {
        self.change(|standing| standing.stopping = true);
    }

    /// The settings are what the file says now.
    pub fn settings_accepted(&self) {
        self.change(|standing| (standing.settings.since, standing.settings.refused) = (Instant::now(), None));
    }

    /// The settings stay what they are, although the file says something else now.
    pub fn settings_refused(&self, why: String) {
        self.change(|standing| standing.settings.refused = Some(why));
    }

    fn change(&self, change: impl FnOnce(&mut Standing)) {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// Whether we are ready, and how each thing stands, a line each.
    fn report(&self) -> (bool, String) {
        let standing = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut lines = String::new();
        let mut line = |good: bool, text: fmt::Arguments<'_>| {
            // Writing to a string does not fail.
            let _ = writeln!(lines, "[{}]{text}", if good { '+' } else { '-' });
        };
        for (condition, Stand { met, now }) in &standing.conditions {
            match now {
                Ok(how) => line(true, format_args!("{condition}: {how}")),
                Err(why) if *met => line(false, format_args!("{condition}: {why}; it was good, so we stay ready")),
                Err(why) => line(false, format_args!("{condition}: {why}")),
            }
        }
        line(
            !standing.stopping,
            format_args!("stop: {}", if standing.stopping { "stopping" } else { "not asked for" }),
        );
        let Source { name, since, refused } = &standing.settings;
        match refused {
            None => line(true, format_args!("settings: {name}")),
            // It tells, and makes nobody unready: the last good ones are good.
            Some(why) => {
                let age = since.elapsed().as_secs();
                line(false, format_args!("settings: last good from {name}, read {age} s ago; new file refused: {why}"));
            }
        }
        (!standing.stopping && standing.conditions.values().all(|state| state.met), lines)
    }
}

/// `/livez`, `/readyz`, `/readyz?verbose` and `/metrics`.
pub fn routes(conditions: Arc<Conditions>, metrics: Arc<Metrics>) -> Router {
    let standing = Arc::clone(&conditions);
    let ready = |State(conditions): State<Arc<Conditions>>, RawQuery(query): RawQuery| async move {
        let (ready, lines) = conditions.report();
        let verbose = query.is_some_and(|query| query.split('&').any(|word| word.split('=').next() == Some("verbose")));
        match (ready, verbose) {
            (true, false) => (StatusCode::OK, "ok\n".to_owned()),
            (true, true) => (StatusCode::OK, lines + "ready\n"),
            (false, _) => (StatusCode::SERVICE_UNAVAILABLE, lines + "not ready\n"),
        }
    };
    let pages = Arc::new(MetricsPage::new(Arc::clone(&metrics)));
    let page = move |head: HeaderMap| async move {
        metrics.ready.set(standing.report().0.into());
        let accepted = head.get_all(header::ACCEPT).iter().filter_map(|accepted| accepted.to_str().ok());
        let form = Form::accepted(accepted);
        ([(header::CONTENT_TYPE, form.content_type())], pages.page(form)).into_response()
    };
    Router::new()
        .route("/livez", get(async || "ok\n"))
        .route("/readyz", get(ready))
        .with_state(conditions)
        .route("/metrics", get(page))
}
