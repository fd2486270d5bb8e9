//! The metrics, and the page that Prometheus scrapes. Labels are types, so no text from a request can become a label.

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

pub use labels::{
    CertificateFailure, CertificateKind, EventResult, EvictedPhase, HandshakeResult, Kind, Limit, Listener,
    LiveReadResult, PodCountResult, ReloadResult, SkipReason,
};
use labels::{
    Event, Evicted, Failure, Handshake, HttpResponse, LiveRead, PodCount, Renewal, Review, SettingsReload, Shed,
    Skipped, SkippedObject, WatchError,
};
use unreviewed::UnreviewedPods;

/// The media type that a scraper names in `Accept` to get `OpenMetrics`.
const OPEN_METRICS: &str = "application/openmetrics-text";

/// The media type of an `OpenMetrics` page.
const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Bucket bounds of a review's duration in seconds: from the 50 µs that a review takes to 1 s, well below the
/// `timeoutSeconds` of 3 in the chart.
const SECONDS: [f64; 13] = [50e-6, 100e-6, 200e-6, 500e-6, 1e-3, 2e-3, 5e-3, 10e-3, 25e-3, 50e-3, 0.1, 0.3, 1.0];

/// All metrics, and the registry that encodes them.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    reviews: Family<Review, Counter>,
    skipped: Family<Skipped, Counter>,
    http_responses: Family<HttpResponse, Counter>,
    duration: Histogram,
    shed: Family<Shed, Counter>,
    evicted: Family<Evicted, Counter>,
    live_reads: Family<LiveRead, Counter>,
    watch_errors: Family<WatchError, Counter>,
    objects_skipped: Family<SkippedObject, Counter>,
    settings_reloads: Family<SettingsReload, Counter>,
    certificate_expiration: Gauge,
    ca_expiration: Gauge,
    renewals: Family<Renewal, Counter>,
    failures: Family<Failure, Counter>,
    /// How often another client removed a CA that this replica had published.
    pub bundle_conflicts: Counter,
    /// 1 while `/readyz` reports ready, else 0.
    pub ready: Gauge,
    /// 1 while the API server trusts the serving certificate, or no configuration references the Service; else 0.
    pub trusted: Gauge,
    handshakes: Family<Handshake, Counter>,
    /// The number of component pods without a status annotation.
    pub unreviewed_pods: Arc<UnreviewedPods>,
    pod_counts: Family<PodCount, Counter>,
    events: Family<Event, Counter>,
    /// Bytes of the request bodies and responses that are buffered now.
    pub bytes_in_flight: Gauge,
    /// Open connections to the webhook, including those in the TLS handshake.
    pub connections: Gauge,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut metrics = Metrics {
            registry: Registry::default(),
            reviews: Family::default(),
            skipped: Family::default(),
            http_responses: Family::default(),
            duration: Histogram::new(SECONDS),
            shed: Family::default(),
            evicted: Family::default(),
            live_reads: Family::default(),
            watch_errors: Family::default(),
            objects_skipped: Family::default(),
            settings_reloads: Family::default(),
            certificate_expiration: Gauge::default(),
            ca_expiration: Gauge::default(),
            renewals: Family::default(),
            failures: Family::default(),
            bundle_conflicts: Counter::default(),
            ready: Gauge::default(),
            trusted: Gauge::default(),
            bytes_in_flight: Gauge::default(),
            connections: Gauge::default(),
            handshakes: Family::default(),
            unreviewed_pods: Arc::default(),
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
        ours.register("reviews", "Reviews answered, by decision and by dry run", self.reviews.clone());
        let help = "Pods for which something was skipped, by reason; dry runs are not counted";
        ours.register("skipped", help, self.skipped.clone());
        ours.register("http_responses", "HTTP responses of the webhook, by status code", self.http_responses.clone());
        let help = "Time from the head of a request to its response, including the reading of its body";
        ours.register_with_unit("review_duration", help, Unit::Seconds, self.duration.clone());
        ours.register("shed", "Reviews rejected for overload, by the limit that was reached", self.shed.clone());
        let help = "Connections closed to make room for others, by listener and phase";
        ours.register("connections_evicted", help, self.evicted.clone());
        let help = "Bytes of the buffered request bodies and large responses";
        ours.register("in_flight_bytes", help, self.bytes_in_flight.clone());
        ours.register("connections", "Open connections to the webhook", self.connections.clone());
        ours.register("handshakes", "TLS handshakes, by result", self.handshakes.clone());
        let help = "Reads of objects that no watch had delivered yet, by kind and result";
        ours.register("live_reads", help, self.live_reads.clone());
        ours.register("watch_errors", "Watch errors, by kind", self.watch_errors.clone());
        let help = "Objects whose facts are not stored, by kind and reason";
        ours.register("objects_skipped", help, self.objects_skipped.clone());
        let help = "Reloads of a changed settings file, by result";
        ours.register("settings_reloads", help, self.settings_reloads.clone());
        let help = "When the serving certificate expires, in Unix time";
        ours.register_with_unit(
            "certificate_expiration_timestamp",
            help,
            Unit::Seconds,
            self.certificate_expiration.clone(),
        );
        let help = "When the last published CA expires, in Unix time; 0 if the webhook publishes none";
        ours.register_with_unit("ca_expiration_timestamp", help, Unit::Seconds, self.ca_expiration.clone());
        let help = "Certificates issued or loaded, by kind";
        ours.register("certificate_renewals", help, self.renewals.clone());
        ours.register(
            "certificate_failures",
            "Failed steps of certificate management, by reason; each is retried",
            self.failures.clone(),
        );
        let help = "How often another client removed a published CA from caBundle";
        ours.register("bundle_conflicts", help, self.bundle_conflicts.clone());
        ours.register("ready", "1 while /readyz reports ready, else 0", self.ready.clone());
        let help = "1 if a call with the published caBundle succeeds or no caBundle is known, else 0";
        ours.register("trusted", help, self.trusted.clone());
        ours.register_collector(Box::new(Arc::clone(&self.unreviewed_pods)));
        ours.register(
            "pod_counts",
            "Counts of the pods without a status annotation, by result",
            self.pod_counts.clone(),
        );
        ours.register("events", "Events on the owners of pods, by result", self.events.clone());
        let version = Info::new([("version", env!("CARGO_PKG_VERSION"))]);
        ours.register("build", "The running version", version);
        ours.register_collector(Box::new(process::Log));
        self.registry.register_collector(Box::new(process::Process));
    }

    /// `rate` does not see the first event of a counter that appears with that event, so every counter starts at zero.
    fn start_at_zero(&self) {
        for decision in ["patched", "untouched"] {
            for dry_run in [false, true] {
                self.reviews.get_or_create(&Review { decision, dry_run }).inc_by(0);
            }
        }
        for reason in Reason::ALL {
            self.skipped.get_or_create(&Skipped { reason: reason.code() }).inc_by(0);
        }
        for limit in [Limit::Bytes, Limit::Reviews] {
            self.shed.get_or_create(&Shed { limit }).inc_by(0);
        }
        for listener in [Listener::Admin, Listener::Webhook] {
            for phase in [
                EvictedPhase::Response,
                EvictedPhase::Body,
                EvictedPhase::Head,
                EvictedPhase::Idle,
                EvictedPhase::Handshake,
            ] {
                self.evicted.get_or_create(&Evicted { listener, phase }).inc_by(0);
            }
        }
        for kind in [Kind::Claim, Kind::Configuration, Kind::Namespace, Kind::Secret, Kind::StorageClass] {
            self.watch_errors.get_or_create(&WatchError { kind }).inc_by(0);
        }
        for kind in [Kind::Claim, Kind::Namespace, Kind::Pod] {
            for reason in [SkipReason::Full, SkipReason::Unreadable] {
                self.objects_skipped.get_or_create(&SkippedObject { kind, reason }).inc_by(0);
            }
        }
        for certificate in [CertificateKind::Ca, CertificateKind::Leaf] {
            self.renewals.get_or_create(&Renewal { certificate }).inc_by(0);
        }
        for reason in [
            CertificateFailure::Files,
            CertificateFailure::Issue,
            CertificateFailure::SelfCall,
            CertificateFailure::Publish,
            CertificateFailure::Secret,
        ] {
            self.failures.get_or_create(&Failure { reason }).inc_by(0);
        }
        for kind in [Kind::Claim, Kind::Namespace] {
            for result in [
                LiveReadResult::Absent,
                LiveReadResult::Failed,
                LiveReadResult::Found,
                LiveReadResult::Timeout,
                LiveReadResult::Throttled,
            ] {
                self.live_reads.get_or_create(&LiveRead { kind, result }).inc_by(0);
            }
        }
        for result in [ReloadResult::Accepted, ReloadResult::Rejected] {
            self.settings_reloads.get_or_create(&SettingsReload { result }).inc_by(0);
        }
        for result in [PodCountResult::Completed, PodCountResult::Failed] {
            self.pod_counts.get_or_create(&PodCount { result }).inc_by(0);
        }
        for result in [
            EventResult::Created,
            EventResult::Dropped,
            EventResult::Failed,
            EventResult::Duplicate,
            EventResult::Unverified,
        ] {
            self.events.get_or_create(&Event { result }).inc_by(0);
        }
        for result in [HandshakeResult::Completed, HandshakeResult::Failed, HandshakeResult::Timeout] {
            self.handshakes.get_or_create(&Handshake { result }).inc_by(0);
        }
    }

    /// Counts a decision. Dry runs have a label of their own, and their reasons are not counted because no pod results.
    pub fn record_review(&self, outcome: Option<&Outcome<'_>>, dry_run: bool) {
        let decision = outcome.map_or("untouched", Outcome::decision);
        self.reviews.get_or_create(&Review { decision, dry_run }).inc();
        for reason in outcome.filter(|_| !dry_run).map(Outcome::reasons).unwrap_or_default() {
            self.skipped.get_or_create(&Skipped { reason: reason.code() }).inc();
        }
    }

    /// Counts an HTTP response of the webhook, and its duration.
    pub fn record_response(&self, status: StatusCode, took: Duration) {
        self.http_responses.get_or_create(&HttpResponse { code: status.as_u16().into() }).inc();
        self.duration.observe(took.as_secs_f64());
    }

    /// Counts a review that was rejected for overload.
    pub fn record_shed(&self, limit: Limit) {
        self.shed.get_or_create(&Shed { limit }).inc();
    }

    /// Counts a connection that was closed to make room for another.
    pub fn record_eviction(&self, listener: Listener, phase: EvictedPhase) {
        self.evicted.get_or_create(&Evicted { listener, phase }).inc();
    }

    /// Counts a TLS handshake by its result.
    pub fn record_handshake(&self, result: HandshakeResult) {
        self.handshakes.get_or_create(&Handshake { result }).inc();
    }

    /// Counts a count of the pods without a status annotation. `unreviewed_pods` has the number itself.
    pub fn record_pod_count(&self, result: PodCountResult) {
        self.pod_counts.get_or_create(&PodCount { result }).inc();
    }

    /// Counts an event by its result.
    pub fn record_event(&self, result: EventResult) {
        self.events.get_or_create(&Event { result }).inc();
    }

    /// Counts a live read by its result.
    pub fn record_live_read(&self, kind: Kind, result: LiveReadResult) {
        self.live_reads.get_or_create(&LiveRead { kind, result }).inc();
    }

    /// Counts a reload of a settings file whose content changed.
    pub fn record_reload(&self, result: ReloadResult) {
        self.settings_reloads.get_or_create(&SettingsReload { result }).inc();
    }

    /// Counts an error of a watch.
    pub fn record_watch_error(&self, kind: Kind) {
        self.watch_errors.get_or_create(&WatchError { kind }).inc();
    }

    /// Counts an object whose facts are not stored.
    pub fn record_skipped_object(&self, kind: Kind, reason: SkipReason) {
        self.objects_skipped.get_or_create(&SkippedObject { kind, reason }).inc();
    }

    /// Counts a certificate that replaces another or is the first, and sets its expiration.
    pub fn record_renewal(&self, certificate: CertificateKind, expiration: SystemTime) {
        self.renewals.get_or_create(&Renewal { certificate }).inc();
        self.set_expiration(certificate, expiration);
    }

    /// Sets the expiration of a certificate.
    pub fn set_expiration(&self, certificate: CertificateKind, expiration: SystemTime) {
        let since_epoch = expiration.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let gauge = match certificate {
            CertificateKind::Ca => &self.ca_expiration,
            CertificateKind::Leaf => &self.certificate_expiration,
        };
        gauge.set(i64::try_from(since_epoch.as_secs()).unwrap_or(i64::MAX));
    }

    /// Counts a failed step of certificate management.
    pub fn record_certificate_failure(&self, reason: CertificateFailure) {
        self.failures.get_or_create(&Failure { reason }).inc();
    }

    /// Encodes all metrics in a format.
    pub fn page_as(&self, format: Format) -> String {
        match format {
            Format::Classic => text_format::from_open_metrics(&self.page()),
            Format::OpenMetrics => self.page(),
        }
    }

    /// Encodes all metrics as `OpenMetrics` text.
    pub fn page(&self) -> String {
        let mut page = String::new();
        // Writing to a string does not fail, and every metric of ours can be encoded.
        let _ = text::encode(&mut page, &self.registry);
        page
    }
}

/// A text format of the page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// The older text format of Prometheus.
    Classic,
    /// The text format of `OpenMetrics`.
    OpenMetrics,
}

impl Format {
    /// `OpenMetrics` if an `Accept` header names it, else the older format.
    pub fn negotiate<'a>(accepted: impl IntoIterator<Item = &'a str>) -> Format {
        let mut ranges = accepted.into_iter().flat_map(|list| list.split(','));
        if ranges.any(asks_for_open_metrics) { Format::OpenMetrics } else { Format::Classic }
    }

    /// The media type, for `Content-Type`.
    pub fn content_type(self) -> &'static str {
        match self {
            Format::Classic => text_format::CONTENT_TYPE,
            Format::OpenMetrics => CONTENT_TYPE,
        }
    }
}

/// Whether a media range names `OpenMetrics` with a weight above zero.
fn asks_for_open_metrics(range: &str) -> bool {
    let mut parts = range.split(';').map(str::trim);
    let is_named = parts.next().is_some_and(|name| name.eq_ignore_ascii_case(OPEN_METRICS));
    let is_zero = |weight: &str| weight.parse().is_ok_and(|weight: f64| weight == 0.0);
    is_named && !parts.any(|part| part.strip_prefix("q=").is_some_and(is_zero))
}

#[cfg(test)]
mod tests {
    use super::{CONTENT_TYPE, Format, Metrics, text_format};

    #[test]
    fn open_metrics_is_served_only_to_scrapers_that_name_it() {
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
            let format = Format::negotiate(accepted.iter().copied());
            let (served, page) = (format.content_type(), metrics.page_as(format));
            assert_eq!(served, media_type, "{accepted:?}");
            assert_eq!(page.ends_with("# EOF\n"), media_type == CONTENT_TYPE, "{page}");
        }
    }
}
