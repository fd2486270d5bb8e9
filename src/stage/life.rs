//! The life of a stage: restore, wait for the engine, heal, publish, wait for the end.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::spawn_blocking;
use tokio::time::{Instant, timeout};

use crate::cli::Stage;
use crate::stage::digest::Digest;
use crate::stage::generation::Manifest;
use crate::stage::handover::{Handover, Restored};
use crate::stage::journal::Journal;
use crate::stage::layout::{Location, Store};
use crate::stage::node::Node;
use crate::stage::ready::Endpoint;
use crate::stage::record::{Event, Reason, Record};
use crate::stage::restore::NotRestored;

mod publication;
mod start;
mod watch;

const PROC: &str = "/proc";

/// What the end of the process waits for: a strike, and the removal of an unfinished archive.
const LAST_WRITES: Duration = Duration::from_millis(400);

/// Runs the stage until `stop`, or until it is clear that it is no sidecar.
pub async fn run(options: &Stage, stop: impl Future<Output = ()>) {
    let mut life = Life::new(options);
    life.announce();
    tokio::select! {
        () = life.live() => life.end(Reason::NoGate).await,
        () = stop => life.end(Reason::Signal).await,
    }
}

struct Life<'a> {
    options: &'a Stage,
    /// `None` also for a URL that cannot be asked. An error would restart the sidecar again and again.
    endpoint: Option<Endpoint>,
    begin: Instant,
    node: Node,
    location: Location,
    journal: Journal,
    restored: Option<Restored>,
    /// The generations that this pod takes for nothing: damaged, or its engine died on them.
    put_aside: BTreeSet<Digest>,
    is_ready: bool,
    seconds_to_ready: Option<u64>,
}

impl<'a> Life<'a> {
    fn new(options: &'a Stage) -> Self {
        let node = Node::read(Path::new(PROC));
        let location = Location {
            claim: options.claim.clone(),
            key: options.key.clone(),
            node: node.digits(),
            pod_uid: options.pod.uid.clone(),
        };
        Life {
            options,
            endpoint: options.ready.as_deref().and_then(Endpoint::parse),
            begin: Instant::now(),
            node,
            journal: Journal::start(location.clone()),
            location,
            restored: None,
            put_aside: BTreeSet::new(),
            is_ready: false,
            seconds_to_ready: None,
        }
    }

    fn now(&self) -> Duration {
        self.begin.elapsed()
    }

    fn pod(&self) -> String {
        format!("{}/{}", self.options.pod.namespace, self.options.pod.name)
    }

    fn announce(&self) {
        let mut record = Event::Started.record();
        record.pod = Some(self.pod());
        record.key = Some(self.location.key.clone());
        record.node = Some(format!("{} ({})", self.location.node, self.node.words().join(", ")));
        record.engine = Some(self.options.engine.clone());
        record.image = Some(self.options.image.clone());
        let url = self.options.ready.iter().filter(|_| self.endpoint.is_none()).map(OsString::from);
        let ignored: Vec<_> = url.chain(self.options.unknown.iter().cloned()).collect();
        record.detail = (!ignored.is_empty()).then(|| format!("ignored: {ignored:?}"));
        self.journal.write(&record);
    }

    /// Returns only if there is no gate.
    async fn live(&mut self) {
        let handover = match Handover::open(&self.options.local) {
            Ok(handover) => Arc::new(handover),
            Err(error) => {
                self.report_not_restored(NotRestored::new(Reason::DiskFailed, error));
                // Ending would only have the kubelet start it again.
                return std::future::pending().await;
            }
        };
        let is_first = self.restore(&handover).await;
        if !self.has_gate(&handover).await {
            return;
        }
        self.wait_until_ready(&handover, is_first).await;
        self.publish(&handover).await;
        std::future::pending::<()>().await;
    }

    /// The last writes, for which a claim without an answer has less than a second.
    async fn end(&self, reason: Reason) {
        let record = Event::Stopped.record().because(reason);
        let was_never_ready = self.options.host_network && self.endpoint.is_some() && !self.is_ready;
        if let Some(restored) = &self.restored
            && was_never_ready
            && self.now() >= self.options.timing.long_quiet_for
        {
            self.journal.strike(&restored.generation, &record);
        }
        self.journal.write(&record);
        let location = self.location.clone();
        let abandon = spawn_blocking(move || {
            let store = Store::open(&location);
            store.map(|store| store.abandon())
        });
        let _ = tokio::join!(timeout(LAST_WRITES, abandon), self.journal.flush(LAST_WRITES));
    }
}

/// A record with the figures of a generation.
fn figures(event: Event, manifest: &Manifest) -> Record {
    let mut record = event.record();
    record.generation = Some(manifest.digest.to_string());
    record.bytes = Some(manifest.bytes);
    record.archive_bytes = Some(manifest.archive_bytes);
    record.files = Some(manifest.files);
    record
}
