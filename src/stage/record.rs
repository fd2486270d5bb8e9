//! What stage and gate report: one type for the line in the log and in `starts/`, written and read.

use std::fmt;

use serde::{Deserialize, Serialize};
use tracing::{info, warn};

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Event {
    /// The stage runs; the line has the cache's key in words.
    Started,
    /// The cache is in place.
    Restored,
    /// The engine starts cold.
    NotRestored,
    /// The gate let the engine start.
    Released,
    /// The engine is ready.
    Ready,
    /// The engine ended before it was ready.
    Died,
    /// The restored cache was removed, so that the next start of the engine is cold.
    Emptied,
    /// It could not be removed.
    NotEmptied,
    /// The cache was published.
    Published,
    /// It was not.
    NotPublished,
    /// The stage ends.
    Stopped,
}

/// Why, as a word for machines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reason {
    /// Nothing is published for this key and node that this version of the stage and this pod may take.
    NoneUsable,
    /// The pointer, a manifest or an archive is not what it should be.
    Damaged,
    /// More files or bytes than an archive may have.
    TooLarge,
    /// The local disk, or the container's limit of ephemeral storage, has no room.
    NoSpace,
    /// The local disk failed.
    DiskFailed,
    /// The claim failed, or does not answer.
    ClaimFailed,
    /// The claim has no space.
    ClaimFull,
    /// The claim is mounted read-only, or belongs to another user.
    ClaimNotWritable,
    /// The gate let the engine start before the cache was in place.
    TooLate,
    /// There was no progress.
    NoProgress,
    /// The stage of this pod was started again.
    SecondStart,
    /// There are files already.
    NotEmpty,
    /// The stage has restored the cache.
    Restored,
    /// The stage has said why it restored nothing.
    NotRestored,
    /// The engine has written no file that was not restored.
    NothingAdded,
    /// As much is published already, by another pod or by this one.
    AlreadyPublished,
    /// The engine wrote while the cache was packed.
    Changed,
    /// The engine never stopped writing, or was no longer ready.
    NeverQuiet,
    /// The gate did not appear: another webhook made an ordinary init container of the stage.
    NoGate,
    /// The pod is deleted.
    Signal,
}

/// One event with its figures.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// What happened.
    pub event: Event,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Reason>,
    /// Why, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// The pod, as NAMESPACE/NAME.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod: Option<String>,
    /// Image, GPU and command line, as parts of the cache's key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// What the node has that compiled code depends on: its digits in the key, and the words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
    /// The engine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub engine: Option<String>,
    /// The engine's image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// The SHA-256 of the archive.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generation: Option<String>,
    /// The bytes of all files together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
    /// The size of the archive.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub archive_bytes: Option<u64>,
    /// The number of files.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub files: Option<u64>,
    /// How many more files there are than were restored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub added: Option<u64>,
    /// How long it took.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seconds: Option<f64>,
    /// How often the engine has ended before it was ready.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deaths: Option<u64>,
}

impl Event {
    /// An event without figures.
    pub fn record(self) -> Record {
        Record {
            event: self,
            reason: None,
            detail: None,
            pod: None,
            key: None,
            node: None,
            engine: None,
            image: None,
            generation: None,
            bytes: None,
            archive_bytes: None,
            files: None,
            added: None,
            seconds: None,
            deaths: None,
        }
    }

    fn sentence(self) -> &'static str {
        match self {
            Event::Started => "the stage runs",
            Event::Restored => "the compile cache is restored",
            Event::NotRestored => "the engine starts without a restored compile cache",
            Event::Released => "the engine may start",
            Event::Ready => "the engine is ready",
            Event::Died => "the engine ended before it was ready",
            Event::NotEmptied => "the restored compile cache cannot be removed",
            Event::Emptied => "the restored compile cache is removed; the engine's next start is cold",
            Event::Published => "the compile cache is published",
            Event::NotPublished => "the compile cache is not published",
            Event::Stopped => "the stage ends",
        }
    }
}

impl Reason {
    /// Whether it comes from a fault of the cache, a disk or the claim. A claim that is mounted read-only is none.
    fn is_trouble(self) -> bool {
        use Reason::{ClaimFailed, ClaimFull, Damaged, DiskFailed, NoProgress, NoSpace, TooLarge, TooLate};
        matches!(self, Damaged | TooLarge | NoSpace | DiskFailed | ClaimFailed | ClaimFull | TooLate | NoProgress)
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.serialize(formatter)
    }
}

impl Record {
    /// The record with a reason.
    #[must_use]
    pub fn because(mut self, reason: Reason) -> Self {
        self.reason = Some(reason);
        self
    }

    /// Parses a line of the log or of a file in `starts/`; `None` if it is another line.
    pub fn parse(line: &str) -> Option<Self> {
        serde_json::from_str(line).ok()
    }

    /// Writes the record to the log: at level WARN what somebody should look at, the rest at INFO.
    pub fn log(&self) {
        macro_rules! log {
            ($level:ident) => {
                $level!(
                    event = word(&self.event),
                    reason = self.reason.as_ref().and_then(word),
                    detail = self.detail,
                    pod = self.pod,
                    key = self.key,
                    node = self.node,
                    engine = self.engine,
                    image = self.image,
                    generation = self.generation,
                    bytes = self.bytes,
                    archive_bytes = self.archive_bytes,
                    files = self.files,
                    added = self.added,
                    seconds = self.seconds,
                    deaths = self.deaths,
                    "{}",
                    self.event.sentence()
                )
            };
        }
        if self.is_trouble() { log!(warn) } else { log!(info) }
    }

    /// Whether somebody should look at it.
    fn is_trouble(&self) -> bool {
        match self.event {
            Event::Died | Event::Emptied | Event::NotEmptied => true,
            Event::NotRestored | Event::NotPublished => self.reason.is_some_and(Reason::is_trouble),
            _ => false,
        }
    }
}

/// The word for an event or a reason, as in JSON.
fn word(value: &impl Serialize) -> Option<String> {
    serde_json::to_value(value).ok()?.as_str().map(str::to_owned)
}

/// Seconds for a record, to a hundredth.
#[expect(clippy::cast_precision_loss, reason = "no start takes so long that a hundredth of a second is lost")]
pub fn seconds(time: std::time::Duration) -> f64 {
    (time.as_millis() / 10) as f64 / 100.0
}

#[cfg(test)]
mod tests;
