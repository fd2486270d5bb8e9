//! Label types of the metrics. Labels are types, so no text from a request can become a label.

use std::fmt::{self, Debug, Write as _};

use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder};

/// Labels of `reviews_total`.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub(super) struct Review {
    pub(super) decision: &'static str,
    pub(super) dry_run: bool,
}

/// Label of `skipped_total`.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub(super) struct Skipped {
    pub(super) reason: &'static str,
}

/// Label of `http_responses_total`.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub(super) struct HttpResponse {
    pub(super) code: u32,
}

/// Label of `shed_total`.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub(super) struct Shed {
    pub(super) limit: Limit,
}

/// Labels of `live_reads_total`.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub(super) struct LiveRead {
    pub(super) kind: Kind,
    pub(super) result: LiveReadResult,
}

/// Label of `watch_errors_total`.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub(super) struct WatchError {
    pub(super) kind: Kind,
}

/// Labels of `objects_skipped_total`.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub(super) struct SkippedObject {
    pub(super) kind: Kind,
    pub(super) reason: SkipReason,
}

/// Label of `settings_reloads_total`.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub(super) struct SettingsReload {
    pub(super) result: ReloadResult,
}

/// Label of `handshakes_total`.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub(super) struct Handshake {
    pub(super) result: HandshakeResult,
}

/// Labels of `connections_evicted_total`.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub(super) struct Evicted {
    pub(super) listener: Listener,
    pub(super) phase: EvictedPhase,
}

/// Label of `certificate_renewals_total`.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub(super) struct Renewal {
    pub(super) certificate: CertificateKind,
}

/// Label of `certificate_failures_total`.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub(super) struct Failure {
    pub(super) reason: CertificateFailure,
}

/// Label of `pod_counts_total`.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub(super) struct PodCount {
    pub(super) result: PodCountResult,
}

/// Label of `events_total`.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub(super) struct Event {
    pub(super) result: EventResult,
}

/// The limit that an overload reached.
#[derive(Clone, Copy, Debug, Hash, PartialEq, Eq)]
pub enum Limit {
    /// The total size of all buffered bodies and responses.
    Bytes,
    /// The number of concurrent reviews.
    Reviews,
}

/// The phase that a connection was in when it was evicted.
#[derive(Clone, Copy, Debug, Hash, PartialEq, Eq)]
pub enum EvictedPhase {
    /// The client had not read the response.
    Response,
    /// The request body was incomplete.
    Body,
    /// The request head was incomplete.
    Head,
    /// The connection was idle between two requests.
    Idle,
    /// The TLS handshake was incomplete, or no byte of a request had arrived.
    Handshake,
}

/// One of the two listeners of `serve`.
#[derive(Clone, Copy, Debug, Hash, PartialEq, Eq)]
pub enum Listener {
    /// Serves probes and metrics.
    Admin,
    /// Serves reviews.
    Webhook,
}

impl Listener {
    /// The name in log lines.
    pub fn name(self) -> &'static str {
        match self {
            Listener::Admin => "admin",
            Listener::Webhook => "webhook",
        }
    }
}

/// The result of counting the pods without a status annotation.
#[derive(Clone, Copy, Debug, Hash, PartialEq, Eq)]
pub enum PodCountResult {
    /// The count is complete, and the gauge has a new value.
    Completed,
    /// A list request failed; the gauge keeps its last value.
    Failed,
}

/// A kind of object that the webhook watches or lists.
#[derive(Clone, Copy, Debug, Hash, PartialEq, Eq)]
pub enum Kind {
    /// A `PersistentVolumeClaim`.
    Claim,
    /// The `MutatingWebhookConfiguration` that references the Service.
    Configuration,
    /// A namespace that opted in.
    Namespace,
    /// A pod of such a namespace. Pods are listed, not watched.
    Pod,
    /// The Secret that holds the CA of all replicas.
    Secret,
    /// A `StorageClass`.
    StorageClass,
}

/// The reason why the store has no facts about an object.
#[derive(Clone, Copy, Debug, Hash, PartialEq, Eq)]
pub enum SkipReason {
    /// The store is full.
    Full,
    /// A field that the webhook uses has an unexpected type or exceeds its size limit.
    Unreadable,
}

/// The kind of a certificate.
#[derive(Clone, Copy, Debug, Hash, PartialEq, Eq)]
pub enum CertificateKind {
    /// The certificate authority.
    Ca,
    /// The serving certificate.
    Leaf,
}

/// A failed step of certificate management. Every step is retried.
#[derive(Clone, Copy, Debug, Hash, PartialEq, Eq)]
pub enum CertificateFailure {
    /// Reading the certificate files.
    Files,
    /// Issuing a certificate.
    Issue,
    /// The webhook's call to itself, made as the API server would make it.
    SelfCall,
    /// Publishing `caBundle`.
    Publish,
    /// Reading or writing the Secret.
    Secret,
}

/// The result of reading an object that no watch has delivered yet.
#[derive(Clone, Copy, Debug, Hash, PartialEq, Eq)]
pub enum LiveReadResult {
    /// The object does not exist.
    Absent,
    /// The API server rejected the request, or the connection failed.
    Failed,
    /// The object exists.
    Found,
    /// The deadline passed first.
    Timeout,
    /// The read was not attempted because of the limit on reads.
    Throttled,
}

/// The result of reloading a changed settings file.
#[derive(Clone, Copy, Debug, Hash, PartialEq, Eq)]
pub enum ReloadResult {
    /// The new settings apply.
    Accepted,
    /// The file is invalid; the last valid settings still apply.
    Rejected,
}

/// The result of a TLS handshake.
#[derive(Clone, Copy, Debug, Hash, PartialEq, Eq)]
pub enum HandshakeResult {
    /// The handshake succeeded.
    Completed,
    /// The peers did not agree, or the connection broke.
    Failed,
    /// The deadline passed first.
    Timeout,
}

/// The result of writing an event.
#[derive(Clone, Copy, Debug, Hash, PartialEq, Eq)]
pub enum EventResult {
    /// The API server stored the event.
    Created,
    /// The rate limit or the full queue dropped the event.
    Dropped,
    /// The API server rejected the event, or did not answer in time.
    Failed,
    /// The event exists already: another replica wrote it, or this one did before a restart.
    Duplicate,
    /// The owner does not exist, or its kind is not one that the webhook may read.
    Unverified,
}

/// Encodes the name of a variant in kebab case: `SelfCall` as `self-call`.
fn encode_name(variant: &impl Debug, encoder: &mut LabelValueEncoder<'_>) -> Result<(), fmt::Error> {
    let mut text = String::new();
    for letter in format!("{variant:?}").chars() {
        if letter.is_ascii_uppercase() && !text.is_empty() {
            text.push('-');
        }
        text.push(letter.to_ascii_lowercase());
    }
    encoder.write_str(&text)
}

impl EncodeLabelValue for Limit {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> Result<(), fmt::Error> {
        encode_name(self, encoder)
    }
}

impl EncodeLabelValue for EvictedPhase {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> Result<(), fmt::Error> {
        encode_name(self, encoder)
    }
}

impl EncodeLabelValue for Listener {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> Result<(), fmt::Error> {
        encode_name(self, encoder)
    }
}

impl EncodeLabelValue for PodCountResult {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> Result<(), fmt::Error> {
        encode_name(self, encoder)
    }
}

impl EncodeLabelValue for Kind {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> Result<(), fmt::Error> {
        encode_name(self, encoder)
    }
}

impl EncodeLabelValue for LiveReadResult {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> Result<(), fmt::Error> {
        encode_name(self, encoder)
    }
}

impl EncodeLabelValue for ReloadResult {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> Result<(), fmt::Error> {
        encode_name(self, encoder)
    }
}

impl EncodeLabelValue for HandshakeResult {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> Result<(), fmt::Error> {
        encode_name(self, encoder)
    }
}

impl EncodeLabelValue for SkipReason {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> Result<(), fmt::Error> {
        encode_name(self, encoder)
    }
}

impl EncodeLabelValue for CertificateKind {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> Result<(), fmt::Error> {
        encode_name(self, encoder)
    }
}

impl EncodeLabelValue for EventResult {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> Result<(), fmt::Error> {
        encode_name(self, encoder)
    }
}

impl EncodeLabelValue for CertificateFailure {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> Result<(), fmt::Error> {
        encode_name(self, encoder)
    }
}
