//! The labels of the metrics, each a type, so that nothing that came from outside can become one.

use std::fmt::{self, Debug, Write as _};

use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder};

/// The labels of `reviews`.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub(super) struct Review {
    pub(super) decision: &'static str,
    pub(super) dry_run: bool,
}

/// The label of `left_out`.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub(super) struct LeftOut {
    pub(super) reason: &'static str,
}

/// The label of `answers`.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub(super) struct Answer {
    pub(super) status: u32,
}

/// The label of `shed`.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub(super) struct Shed {
    pub(super) bound: Bound,
}

/// The labels of `live_reads`.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub(super) struct LiveRead {
    pub(super) kind: Kind,
    pub(super) result: Read,
}

/// The label of `watch_errors`.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub(super) struct WatchError {
    pub(super) kind: Kind,
}

/// The labels of `objects_skipped`.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub(super) struct SkippedObject {
    pub(super) kind: Kind,
    pub(super) reason: Skip,
}

/// The label of `settings_file`.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub(super) struct SettingsFile {
    pub(super) result: Reading,
}

/// The label of `handshakes`.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub(super) struct Handshake {
    pub(super) result: Shake,
}

/// The labels of `connections_evicted`.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub(super) struct Evicted {
    pub(super) listener: Listener,
    pub(super) phase: Eviction,
}

/// The label of `certificate_renewals`.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub(super) struct Renewal {
    pub(super) what: Renewed,
}

/// The label of `certificate_failures`.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub(super) struct Failure {
    pub(super) reason: Trouble,
}

/// The label of `pod_counts`.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub(super) struct PodCount {
    pub(super) result: Counting,
}

/// The label of `events`.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub(super) struct Event {
    pub(super) result: Told,
}

/// Which bound an overload went over.
#[derive(Clone, Copy, Debug, Hash, PartialEq, Eq)]
pub enum Bound {
    /// That of all bodies together.
    Bytes,
    /// The number of reviews.
    Reviews,
}

/// What an evicted connection was doing.
#[derive(Clone, Copy, Debug, Hash, PartialEq, Eq)]
pub enum Eviction {
    /// Its answer was not taken.
    Answer,
    /// Its body was not whole.
    Body,
    /// Its head was not whole.
    Head,
    /// It waited for the next request.
    Idle,
    /// Nothing of a request had come.
    Silent,
}

/// Where we listen.
#[derive(Clone, Copy, Debug, Hash, PartialEq, Eq)]
pub enum Listener {
    /// For probes and metrics.
    Admin,
    /// For reviews.
    Webhook,
}

impl Listener {
    /// The name, as in the log.
    pub fn name(self) -> &'static str {
        match self {
            Listener::Admin => "admin",
            Listener::Webhook => "webhook",
        }
    }
}

/// How a count of the pods without our status went.
#[derive(Clone, Copy, Debug, Hash, PartialEq, Eq)]
pub enum Counting {
    /// There is a new number.
    Done,
    /// A list failed, and the last number stands.
    Failed,
}

/// What is watched.
#[derive(Clone, Copy, Debug, Hash, PartialEq, Eq)]
pub enum Kind {
    /// `PersistentVolumeClaim`s.
    Claim,
    /// Our `MutatingWebhookConfiguration`.
    Configuration,
    /// Namespaces that opted in.
    Namespace,
    /// Pods of those; they are listed, and not watched.
    Pod,
    /// The Secret that the replicas share.
    Secret,
    /// `StorageClass`es.
    StorageClass,
}

/// Why nothing is known of an object.
#[derive(Clone, Copy, Debug, Hash, PartialEq, Eq)]
pub enum Skip {
    /// So much is stored already.
    Full,
    /// What is used of it is not what we expect, or more than is taken.
    Unreadable,
}

/// What was renewed.
#[derive(Clone, Copy, Debug, Hash, PartialEq, Eq)]
pub enum Renewed {
    /// The certificate authority.
    Authority,
    /// The certificate that is served.
    Leaf,
}

/// What failed about our certificate, and is tried again.
#[derive(Clone, Copy, Debug, Hash, PartialEq, Eq)]
pub enum Trouble {
    /// The files that were brought.
    Files,
    /// Making a certificate.
    Mint,
    /// A call of ourselves as the API server would make it.
    Probe,
    /// Writing `caBundle`.
    Publish,
    /// Reading or writing the Secret.
    Secret,
}

/// How a live read went.
#[derive(Clone, Copy, Debug, Hash, PartialEq, Eq)]
pub enum Read {
    /// The object is not there.
    Absent,
    /// The API server refused or could not be reached.
    Failed,
    /// The object is there.
    Found,
    /// The deadline came first.
    Late,
    /// There were so many reads that this one was not made.
    Refused,
}

/// What became of a changed settings file.
#[derive(Clone, Copy, Debug, Hash, PartialEq, Eq)]
pub enum Reading {
    /// It applies.
    Accepted,
    /// The last good one applies.
    Refused,
}

/// How a TLS handshake went.
#[derive(Clone, Copy, Debug, Hash, PartialEq, Eq)]
pub enum Shake {
    /// Well.
    Done,
    /// The two did not agree, or the connection broke.
    Failed,
    /// The deadline came first.
    Late,
}

/// What became of an event.
#[derive(Clone, Copy, Debug, Hash, PartialEq, Eq)]
pub enum Told {
    /// It was written.
    Created,
    /// So many wait, or are remembered, that this one was not kept.
    Dropped,
    /// The API server refused it, or was not reached in time.
    Failed,
    /// It was there already: another replica has told the same.
    Known,
    /// No read of the owner confirmed it, or its kind is none that is read.
    Unconfirmed,
}

/// The name of a variant in lower case; each is one word.
fn word(variant: &impl Debug, encoder: &mut LabelValueEncoder<'_>) -> Result<(), fmt::Error> {
    encoder.write_str(&format!("{variant:?}").to_lowercase())
}

impl EncodeLabelValue for Bound {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> Result<(), fmt::Error> {
        word(self, encoder)
    }
}

impl EncodeLabelValue for Eviction {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> Result<(), fmt::Error> {
        word(self, encoder)
    }
}

impl EncodeLabelValue for Listener {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> Result<(), fmt::Error> {
        word(self, encoder)
    }
}

impl EncodeLabelValue for Counting {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> Result<(), fmt::Error> {
        word(self, encoder)
    }
}

impl EncodeLabelValue for Kind {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> Result<(), fmt::Error> {
        word(self, encoder)
    }
}

impl EncodeLabelValue for Read {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> Result<(), fmt::Error> {
        word(self, encoder)
    }
}

impl EncodeLabelValue for Reading {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> Result<(), fmt::Error> {
        word(self, encoder)
    }
}

impl EncodeLabelValue for Shake {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> Result<(), fmt::Error> {
        word(self, encoder)
    }
}

impl EncodeLabelValue for Skip {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> Result<(), fmt::Error> {
        word(self, encoder)
    }
}

impl EncodeLabelValue for Renewed {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> Result<(), fmt::Error> {
        word(self, encoder)
    }
}

impl EncodeLabelValue for Told {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> Result<(), fmt::Error> {
        word(self, encoder)
    }
}

impl EncodeLabelValue for Trouble {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> Result<(), fmt::Error> {
        word(self, encoder)
    }
}
