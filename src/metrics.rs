//! What is counted, and the page that shows it; labels are types, never text that came from outside.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use axum::http::StatusCode;
use prometheus_client::encoding::text;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};

use crate::admission::Outcome;
use crate::admission::reason::Reason;

mod text_format;
mod labels;
pub mod unreviewed;
mod process;

use labels::{
    Answer, Event, Evicted, Failure, Handshake, LeftOut, LiveRead, PodCount, Renewal, Review, SettingsFile, Shed,
    SkippedObject, WatchError,
};
pub use labels::{Bound, Counting, Eviction, Kind, Listener, Read, Reading, Renewed, Shake, Skip, Told, Trouble};
use unreviewed::Missed;

/// What a reader of `OpenMetrics` asks for.
const OPEN_METRICS: &str = "application/openmetrics-text";

/// The media type of the page in that form.
const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Bounds of the buckets of a review's duration in seconds: from the 50 µs that one costs to the second by which the
/// API server has all but lost its patience.
const SECONDS: [f64; 13] = [50e-6, 100e-6, 200e-6, 500e-6, 1e-3, 2e-3, 5e-3, 10e-3, 25e-3, 50e-3, 0.1, 0.3, 1.0];

/// Everything that is counted.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    reviews: Family<Review, Counter>,
    left_out: Family<LeftOut, Counter>,
    answers: Family<Answer, Counter>,
    duration: Histogram,
    shed: Family<Shed, Counter>,
    evicted: Family<Evicted, Counter>,
    live_reads: Family<LiveRead, Counter>,
    watch_errors: Family<WatchError, Counter>,
    objects_skipped: Family<SkippedObject, Counter>,
    settings_file: Family<SettingsFile, Counter>,
    certificate_ends: Gauge,
    authority_ends: Gauge,
    renewals: Family<Renewal, Counter>,
    failures: Family<Failure, Counter>,
    /// How often somebody else has taken what we had published.
    pub bundle_conflicts: Counter,
    /// Whether we are ready: 1 or 0, as `/readyz` says it.
    pub ready: Gauge,
    /// Whether the API server trusts what we serve, where it calls us at all: 1 or 0.
    pub trusted: Gauge,
    handshakes: Family<Handshake, Counter>,
    /// How many component pods have no status of ours.
    pub missed: Arc<Missed>,
    pod_counts: Family<PodCount, Counter>,
    events: Family<Event, Counter>,
    /// Bytes of the bodies that are held at this moment.
    pub bytes_in_flight: Gauge,
    /// Connections that are open at this moment, those of the handshake included.
    pub connections: Gauge,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut metrics = Metrics {
            registry: Registry::default(),
            reviews: Family::default(),
            left_out: Family::default(),
            answers: Family::default(),
            duration: Histogram::new(SECONDS),
            shed: Family::default(),
            evicted: Family::default(),
            live_reads: Family::default(),
            watch_errors: Family::default(),
            objects_skipped: Family::default(),
            settings_file: Family::default(),
            certificate_ends: Gauge::default(),
            authority_ends: Gauge::default(),
            renewals: Family::default(),
            failures: Family::default(),
            bundle_conflicts: Counter::default(),
            ready: Gauge::default(),
            trusted: Gauge::default(),
            bytes_in_flight: Gauge::default(),
            connections: Gauge::default(),
            handshakes: Family::default(),
            missed: Arc::default(),
            pod_counts: Family::default(),
            events: Family::default(),
        };
        metrics.register();
        metrics.start_at_zero();
        metrics
    }
}

impl Metrics {
    fn register(&mut self) {
        let ours = self.registry.sub_registry_with_prefix("dynamo_cache");
        ours.register("reviews", "Reviews answered, by decision; dry runs apart", self.reviews.clone());
        let help = "Pods of which something was left out, by reason; dry runs are not counted";
        ours.register("left_out", help, self.left_out.clone());
        ours.register("answers", "HTTP answers of the webhook, by status", self.answers.clone());
        let help = "From the head of a request to its answer, the reading of its body included";
        ours.register_with_unit("review_duration", help, Unit::Seconds, self.duration.clone());
        ours.register("shed", "Reviews that were turned away for overload, by the bound", self.shed.clone());
        let help = "Connections closed for others, by listener and by what they were doing";
        ours.register("connections_evicted", help, self.evicted.clone());
        let help = "Bytes of the request bodies, and of large answers, that are held at this moment";
        ours.register("in_flight_bytes", help, self.bytes_in_flight.clone());
        ours.register("connections", "Connections to the webhook that are open", self.connections.clone());
        ours.register("handshakes", "TLS handshakes, by result", self.handshakes.clone());
        let help = "Reads of what a watch did not have yet, by kind and result";
        ours.register("live_reads", help, self.live_reads.clone());
        ours.register("watch_errors", "Errors of the watches, by kind", self.watch_errors.clone());
        let help = "Objects whose facts are not known, by kind and reason";
        ours.register("objects_skipped", help, self.objects_skipped.clone());
        let help = "Readings of a settings file whose content was new, by result";
        ours.register("settings_file", help, self.settings_file.clone());
        let help = "When the served certificate ends, in Unix time";
        ours.register_with_unit("certificate_end", help, Unit::Seconds, self.certificate_ends.clone());
        let help = "When the last CA of those that we publish ends, in Unix time; 0: we publish none";
        ours.register_with_unit("authority_end", help, Unit::Seconds, self.authority_ends.clone());
        let help = "Certificates that came in place of others or of none, by what they are";
        ours.register("certificate_renewals", help, self.renewals.clone());
        ours.register("certificate_failures", "Failures that are tried again, by reason", self.failures.clone());
        let help = "How often somebody else took what we had published in caBundle";
        ours.register("bundle_conflicts", help, self.bundle_conflicts.clone());
        ours.register("ready", "1: /readyz says that we are ready; 0: it does not", self.ready.clone());
        let help = "1: a call with the published caBundle reaches us, or no caBundle is known; 0: it does not";
        ours.register("trusted", help, self.trusted.clone());
        ours.register_collector(Box::new(Arc::clone(&self.missed)));
        ours.register("pod_counts", "Counts of the pods without our status, by result", self.pod_counts.clone());
        ours.register("events", "Events on the owners of pods, by result", self.events.clone());
        let version = Info::new([("version", env!("CARGO_PKG_VERSION"))]);
        ours.register("build", "What is running", version);
        ours.register_collector(Box::new(process::Log));
        self.registry.register_collector(Box::new(process::Process));
    }

    /// A counter that appears only with its first event hides that event from `rate`.
    fn start_at_zero(&self) {
        for decision in ["patched", "untouched"] {
            for dry_run in [false, true] {
                self.reviews.get_or_create(&Review { decision, dry_run }).inc_by(0);
            }
        }
        for reason in Reason::ALL {
            self.left_out.get_or_create(&LeftOut { reason: reason.code() }).inc_by(0);
        }
        for bound in [Bound::Bytes, Bound::Reviews] {
            self.shed.get_or_create(&Shed { bound }).inc_by(0);
        }
        for listener in [Listener::Admin, Listener::Webhook] {
            for phase in [Eviction::Answer, Eviction::Body, Eviction::Head, Eviction::Idle, Eviction::Silent] {
                self.evicted.get_or_create(&Evicted { listener, phase }).inc_by(0);
            }
        }
        for kind in [Kind::Claim, Kind::Configuration, Kind::Namespace, Kind::Secret, Kind::StorageClass] {
            self.watch_errors.get_or_create(&WatchError { kind }).inc_by(0);
        }
        for kind in [Kind::Claim, Kind::Namespace, Kind::Pod] {
            for reason in [Skip::Full, Skip::Unreadable] {
                self.objects_skipped.get_or_create(&SkippedObject { kind, reason }).inc_by(0);
            }
        }
        for what in [Renewed::Authority, Renewed::Leaf] {
            self.renewals.get_or_create(&Renewal { what }).inc_by(0);
        }
        for reason in [Trouble::Files, Trouble::Mint, Trouble::Probe, Trouble::Publish, Trouble::Secret] {
            self.failures.get_or_create(&Failure { reason }).inc_by(0);
        }
        for kind in [Kind::Claim, Kind::Namespace] {
            for result in [Read::Absent, Read::Failed, Read::Found, Read::Late, Read::Refused] {
                self.live_reads.get_or_create(&LiveRead { kind, result }).inc_by(0);
            }
        }
        for result in [Reading::Accepted, Reading::Refused] {
            self.settings_file.get_or_create(&SettingsFile { result }).inc_by(0);
        }
        for result in [Counting::Done, Counting::Failed] {
            self.pod_counts.get_or_create(&PodCount { result }).inc_by(0);
        }
        for result in [Told::Created, Told::Dropped, Told::Failed, Told::Known, Told::Unconfirmed] {
            self.events.get_or_create(&Event { result }).inc_by(0);
        }
        for result in [Shake::Done, Shake::Failed, Shake::Late] {
            self.handshakes.get_or_create(&Handshake { result }).inc_by(0);
        }
    }

    /// Counts a decision. A dry run stands apart, and its reasons are not counted: nothing came of it.
    pub fn decided(&self, outcome: Option<&Outcome<'_>>, dry_run: bool) {
        let decision = outcome.map_or("untouched", Outcome::decision);
        self.reviews.get_or_create(&Review { decision, dry_run }).inc();
        for reason in outcome.filter(|_| !dry_run).map(Outcome::reasons).unwrap_or_default() {
            self.left_out.get_or_create(&LeftOut { reason: reason.code() }).inc();
        }
    }

    /// Counts an answer of the webhook.
    pub fn answered(&self, status: StatusCode, took: Duration) {
        self.answers.get_or_create(&Answer { status: status.as_u16().into() }).inc();
        self.duration.observe(took.as_secs_f64());
    }

    /// Counts a review that was turned away.
    pub fn shed(&self, bound: Bound) {
        self.shed.get_or_create(&Shed { bound }).inc();
    }

    /// Counts a connection that was closed for another.
    pub fn evicted(&self, listener: Listener, phase: Eviction) {
        self.evicted.get_or_create(&Evicted { listener, phase }).inc();
    }

    /// Counts a TLS handshake that came to an end.
    pub fn shook_hands(&self, result: Shake) {
        self.handshakes.get_or_create(&Handshake { result }).inc();
    }

    /// Counts a count of the pods without our status; the number itself stands in `missed`.
    pub fn counted_pods(&self, result: Counting) {
        self.pod_counts.get_or_create(&PodCount { result }).inc();
    }

    /// Counts what became of an event.
    pub fn told(&self, result: Told) {
        self.events.get_or_create(&Event { result }).inc();
    }

    /// Counts a live read.
    pub fn read_live(&self, kind: Kind, result: Read) {
        self.live_reads.get_or_create(&LiveRead { kind, result }).inc();
    }

    /// Counts a settings file whose content was new.
    pub fn read_settings(&self, result: Reading) {
        self.settings_file.get_or_create(&SettingsFile { result }).inc();
    }

    /// Counts an error of a watch.
    pub fn watch_failed(&self, kind: Kind) {
        self.watch_errors.get_or_create(&WatchError { kind }).inc();
    }

    /// Counts an object whose facts are not known.
    pub fn skipped(&self, kind: Kind, reason: Skip) {
        self.objects_skipped.get_or_create(&SkippedObject { kind, reason }).inc();
    }

    /// Counts a certificate that came in place of another or of none, and remembers when it ends.
    pub fn renewed(&self, what: Renewed, ends: SystemTime) {
        self.renewals.get_or_create(&Renewal { what }).inc();
        self.ends(what, ends);
    }

    /// Remembers when a certificate ends.
    pub fn ends(&self, what: Renewed, when: SystemTime) {
        let since_epoch = when.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let gauge = match what {
            Renewed::Authority => &self.authority_ends,
            Renewed::Leaf => &self.certificate_ends,
        };
        gauge.set(i64::try_from(since_epoch.as_secs()).unwrap_or(i64::MAX));
    }

    /// Counts what failed about our certificate.
    pub fn certificate_failed(&self, reason: Trouble) {
        self.failures.get_or_create(&Failure { reason }).inc();
    }

    /// The page in a form.
    pub fn page_in(&self, form: Form) -> String {
        match form {
            Form::Classic => text_format::of(&self.page()),
            Form::OpenMetrics => self.page(),
        }
    }

    /// The page, in the text form of `OpenMetrics`.
    pub fn page(&self) -> String {
        let mut page = String::new();
        // Writing to a string does not fail, and no metric of ours refuses to be written.
        let _ = text::encode(&mut page, &self.registry);
        page
    }
}

/// How the page is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// The text form of Prometheus that is older than `OpenMetrics`.
    Classic,
    /// The text form of `OpenMetrics`.
    OpenMetrics,
}

impl Form {
    /// `OpenMetrics` for who names it in an `Accept` header, else the older one.
    pub fn accepted<'a>(accepted: impl IntoIterator<Item = &'a str>) -> Form {
        let mut ranges = accepted.into_iter().flat_map(|list| list.split(','));
        if ranges.any(asks_for_open_metrics) { Form::OpenMetrics } else { Form::Classic }
    }

    /// Its media type.
    pub fn content_type(self) -> &'static str {
        match self {
            Form::Classic => text_format::CONTENT_TYPE,
            Form::OpenMetrics => CONTENT_TYPE,
        }
    }
}

/// Whether a range of media types names `OpenMetrics`; a weight of zero says that it is not wanted.
fn asks_for_open_metrics(range: &str) -> bool {
    let mut parts = range.split(';').map(str::trim);
    let is_named = parts.next().is_some_and(|name| name.eq_ignore_ascii_case(OPEN_METRICS));
    let is_zero = |weight: &str| weight.parse().is_ok_and(|weight: f64| weight == 0.0);
    is_named && !parts.any(|part| part.strip_prefix("q=").is_some_and(is_zero))
}

#[cfg(test)]
mod tests {
    use super::{CONTENT_TYPE, Form, Metrics, text_format};

    #[test]
    fn open_metrics_is_for_who_names_it() {
        let metrics = Metrics::default();
        let prometheus = "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,\
                          application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=0.0.4;q=0.3,*/*;q=0.2";
        let older = "text/plain;version=0.0.4;q=0.6,*/*;q=0.2";
        for (accepted, media_type) in [
            (vec![prometheus], CONTENT_TYPE),
            (vec![older, "Application/OpenMetrics-Text"], CONTENT_TYPE),
            (vec![older], text_format::CONTENT_TYPE),
            (vec!["*/*"], text_format::CONTENT_TYPE),
            (vec!["application/openmetrics-text; q=0.0, */*"], text_format::CONTENT_TYPE),
            (vec!["application/openmetrics-texts,;;,"], text_format::CONTENT_TYPE),
            (vec![], text_format::CONTENT_TYPE),
        ] {
            let form = Form::accepted(accepted.iter().copied());
            let (served, page) = (form.content_type(), metrics.page_in(form));
            assert_eq!(served, media_type, "{accepted:?}");
            assert_eq!(page.ends_with("# EOF\n"), media_type == CONTENT_TYPE, "{page}");
        }
    }
}
