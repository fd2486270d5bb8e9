//! Events on the owners of pods. A review never waits for one.
//!
//! A review may not come from the API server, so an event contains none of its text: it refers to an owner that a read
//! has confirmed, and has our own sentences and names. The events of one namespace take neither queue space nor turns
//! from another.
//!
//! Why not kube's `Recorder`: it names events by the clock, so two replicas would each write the same event, and its
//! memory is bounded in time only. Here the name of an event is derived from its content. The API server rejects a
//! second event of that name from any replica for as long as it keeps events (an hour by default), and permission to
//! create events is all that is needed.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use k8s_openapi::api::events::v1::Event;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use k8s_openapi::jiff::Timestamp;
use kube::api::PostParams;
use kube::{Api, Client};
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};
use tracing::warn;

use super::namespaces::Namespaces;
use crate::admission::Outcome;
use crate::admission::event::{EventNote, event_notes};
use crate::admission::pod::Pod;
use crate::cluster::webhook_configuration::ObservedConfiguration;
use crate::failure::{no_answer_within, root_cause};
use crate::log::Throttle;
use crate::metrics::{EventResult, Metrics};
use crate::rate::{ByNamespace, Rate};

mod owner;
mod queue;
mod dedup;

use dedup::{Deduplicator, Key};
use owner::{OwnerCache, OwnerReference};
use queue::Queue;

/// The reporting controller, as `kubectl describe` shows it.
const REPORTER: &str = "dynamo-cache";

/// The time between two events, and so between two reads of an owner: a thousand owners at once cost the API server a
/// minute and a half.
const PACE: Duration = Duration::from_millis(100);

/// The rate of events per namespace: as many at once as fit into the queue, then one a second.
const RATE: Rate = Rate { burst: 64, every: Duration::from_secs(1) };

/// The deadline for confirming and writing one event.
const DEADLINE: Duration = Duration::from_secs(10);

/// The queue of events that reviews fill.
#[derive(Debug)]
pub struct Events {
    namespaces: Arc<Namespaces>,
    pending: Mutex<Pending>,
    /// Wakes the writer when an event was queued.
    queued: Notify,
    metrics: Arc<Metrics>,
}

/// The queued events, and those that were written recently.
#[derive(Debug)]
struct Pending {
    queue: Queue<QueuedEvent>,
    rates: ByNamespace,
    written: Deduplicator,
}

/// Writes the queued events.
pub struct Writer {
    events: Arc<Events>,
    client: Client,
    owners: OwnerCache,
    /// The watched webhook configuration, if any.
    configuration: Option<watch::Receiver<ObservedConfiguration>>,
    failures: Throttle,
}

/// An event in the queue.
#[derive(Debug)]
struct QueuedEvent {
    key: Key,
    owner: OwnerReference,
    note: EventNote,
}

impl Events {
    /// A queue for the namespaces that opted in, and its writer. No event is written until the writer's `run` runs.
    pub fn new(
        client: &Client,
        namespaces: &Arc<Namespaces>,
        configuration: Option<watch::Receiver<ObservedConfiguration>>,
        metrics: &Arc<Metrics>,
    ) -> (Arc<Self>, Writer) {
        let pending =
            Pending { queue: Queue::default(), rates: ByNamespace::new(RATE), written: Deduplicator::default() };
        let (namespaces, metrics) = (Arc::clone(namespaces), Arc::clone(metrics));
        let events = Arc::new(Events { namespaces, pending: Mutex::new(pending), queued: Notify::new(), metrics });
        let (owners, failures) = (OwnerCache::default(), Throttle::default());
        let writer = Writer { events: Arc::clone(&events), client: client.clone(), owners, configuration, failures };
        (events, writer)
    }

    /// Queues the events of a decision about the owner of its pod, without waiting. A bare pod gets no event, because
    /// its creator sees the warnings. Neither does a namespace that is not known to have opted in.
    pub fn enqueue(&self, namespace: &str, pod: &Pod<'_>, outcome: &Outcome<'_>) {
        let Some(owner) = pod.controller() else { return };
        let notes = event_notes(outcome);
        if notes.is_empty() || !self.namespaces.contains(namespace) {
            return;
        }
        for note in notes {
            let Some(owner) = OwnerReference::new(namespace, owner) else {
                return self.metrics.record_event(EventResult::Unverified);
            };
            let key = owner.key(note.reason.code(), &note.text);
            self.push(namespace, QueuedEvent { key, owner, note });
        }
    }

    fn push(&self, namespace: &str, event: QueuedEvent) {
        let (now, key) = (Instant::now(), event.key);
        let mut pending = self.pending();
        if pending.written.contains(&key, now) {
            return;
        }
        if pending.rates.take(Some(namespace), now).is_none() {
            return self.metrics.record_event(EventResult::Dropped);
        }
        pending.written.insert(key, now);
        if let Some(dropped) = pending.queue.push(namespace, event) {
            // The event of the owner's next pod may fit.
            pending.written.remove(&dropped.key);
            self.metrics.record_event(EventResult::Dropped);
        }
        drop(pending);
        self.queued.notify_one();
    }

    async fn next(&self) -> QueuedEvent {
        loop {
            // A notification between the two calls is stored until the next wait.
            if let Some(event) = self.pending().queue.pop() {
                return event;
            }
            self.queued.notified().await;
        }
    }

    fn pending(&self) -> MutexGuard<'_, Pending> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Writer {
    /// Writes events for ever, one after another. A failed event is not retried with every pod: without the permission,
    /// a thousand pods must not cause a thousand calls.
    pub async fn run(mut self) {
        let (mut pace, mut had_declared_none) = (interval(PACE), false);
        pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let event = self.events.next().await;
            pace.tick().await;
            let declares_none = self.is_declared_without_side_effects();
            if declares_none && !had_declared_none {
                warn!("events are on, but the webhook configuration says sideEffects: None instead of NoneOnDryRun");
            }
            had_declared_none = declares_none;
            let namespace = event.owner.reference.namespace.clone().unwrap_or_default();
            let timed_out = || Err(no_answer_within(DEADLINE));
            let written = timeout(DEADLINE, self.write(&namespace, event)).await;
            let result = written.unwrap_or_else(|_| timed_out()).unwrap_or_else(|why| {
                if let Some(not_logged) = self.failures.pass() {
                    warn!(namespace, why, not_logged, "failed to write an event");
                }
                EventResult::Failed
            });
            self.events.metrics.record_event(result);
        }
    }

    /// Whether an entry that references the Service says `sideEffects: None`.
    fn is_declared_without_side_effects(&self) -> bool {
        let Some(configuration) = &self.configuration else { return false };
        matches!(&*configuration.borrow(), ObservedConfiguration::Installed(entries) if entries.iter().any(|entry| entry.declares_no_side_effects))
    }

    /// Writes an event if its owner exists.
    async fn write(&mut self, namespace: &str, event: QueuedEvent) -> Result<EventResult, String> {
        let owner = event.owner.key("", "");
        let exists = if let Some(exists) = self.owners.get(&owner, Instant::now()) {
            exists
        } else {
            let read = event.owner.exists(&self.client).await;
            let exists = read.map_err(|error| format!("its owner: {}", root_cause(&error)))?;
            self.owners.insert(owner, exists, Instant::now());
            exists
        };
        if !exists {
            return Ok(EventResult::Unverified);
        }
        let api: Api<Event> = Api::namespaced(self.client.clone(), namespace);
        match api.create(&PostParams::default(), &event_object(event)).await {
            Ok(_) => Ok(EventResult::Created),
            // Another replica wrote it, or this one did before a restart.
            Err(kube::Error::Api(status)) if status.reason == "AlreadyExists" => Ok(EventResult::Duplicate),
            Err(error) => Err(root_cause(&error)),
        }
    }
}

impl fmt::Debug for Writer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Writer").field("events", &self.events).finish_non_exhaustive()
    }
}

/// The event object. Its reason is the code in the usual form of events: `ClaimNotFound`.
fn event_object(QueuedEvent { key, owner, note }: QueuedEvent) -> Event {
    let (name, owner) = (format!("{REPORTER}.{}", key.to_hex()), owner.reference);
    let metadata = ObjectMeta { name: Some(name), namespace: owner.namespace.clone(), ..ObjectMeta::default() };
    Event {
        metadata,
        action: Some("Inject".to_owned()),
        event_time: Some(MicroTime(Timestamp::now())),
        note: Some(note.text),
        reason: Some(format!("{:?}", note.reason)),
        regarding: Some(owner),
        reporting_controller: Some(REPORTER.to_owned()),
        // All replicas write the same event, so none is named.
        reporting_instance: Some(REPORTER.to_owned()),
        type_: Some(if note.is_warning { "Warning" } else { "Normal" }.to_owned()),
        ..Event::default()
    }
}
