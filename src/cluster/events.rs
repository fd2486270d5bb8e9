//! Events on the owners of pods, beside the answers and never in their way.
//!
//! A review need not come from an API server, and nothing is written in its words: an event is about an owner that a read has
//! confirmed, and says what the notice says, in our sentences and in names. What is left for one namespace takes neither
//! room nor turn of another's.
//!
//! kube's own `Recorder` is not used: it names events by the clock, so that two replicas would each tell the same, and
//! what it remembers is bounded in time alone. Here the name of an event follows from what it says. The API server
//! refuses the second of a name, whoever sends it, for as long as it keeps events (an hour by default), and to create
//! is all that we have to be allowed.

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
use crate::cluster::webhook_configuration::Seen;
use crate::failure::{no_answer_within, root_cause};
use crate::log::Throttle;
use crate::metrics::{Metrics, Told};
use crate::rate::{ByNamespace, Rate};

mod owner;
mod queue;
mod dedup;

use dedup::{Key, Recent};
use owner::{Confirmed, Named};
use queue::Queue;

/// Who tells, as `kubectl describe` shows it.
const REPORTER: &str = "dynamo-cache";

/// Between two events, and so between two reads of an owner: a thousand owners at once take the API server a minute and a half.
const PACE: Duration = Duration::from_millis(100);

/// How many events there are about the owners in one namespace: as many at once as wait for it, then one a second.
const RATE: Rate = Rate { burst: 64, every: Duration::from_secs(1) };

/// For one event to be confirmed and written.
const DEADLINE: Duration = Duration::from_secs(10);

/// Where a review leaves what there is to tell.
#[derive(Debug)]
pub struct Events {
    namespaces: Arc<Namespaces>,
    left: Mutex<Left>,
    /// Something was left.
    more: Notify,
    metrics: Arc<Metrics>,
}

/// What was left, and what was told.
#[derive(Debug)]
struct Left {
    queue: Queue<Waiting>,
    rates: ByNamespace,
    recent: Recent,
}

/// Writes what is left there.
pub struct Writer {
    events: Arc<Events>,
    client: Client,
    confirmed: Confirmed,
    /// The configuration by which we are called, if it is watched.
    called: Option<watch::Receiver<Seen>>,
    failures: Throttle,
}

/// An event that waits to be written.
#[derive(Debug)]
struct Waiting {
    key: Key,
    owner: Named,
    notice: EventNote,
}

impl Events {
    /// Events in those of `namespaces` that opted in, which are written as the writer's `follow` is run.
    pub fn of(
        client: &Client,
        namespaces: &Arc<Namespaces>,
        called: Option<watch::Receiver<Seen>>,
        metrics: &Arc<Metrics>,
    ) -> (Arc<Self>, Writer) {
        let left = Left { queue: Queue::default(), rates: ByNamespace::new(RATE), recent: Recent::default() };
        let (namespaces, metrics) = (Arc::clone(namespaces), Arc::clone(metrics));
        let events = Arc::new(Events { namespaces, left: Mutex::new(left), more: Notify::new(), metrics });
        let (confirmed, failures) = (Confirmed::default(), Throttle::default());
        let writer = Writer { events: Arc::clone(&events), client: client.clone(), confirmed, called, failures };
        (events, writer)
    }

    /// Leaves what a decision has to tell the owner of its pod, and never waits. Of a bare pod nobody is told: whoever
    /// made it has seen the warnings. Nor is anybody in a namespace that is not known to have opted in.
    pub fn tell(&self, namespace: &str, pod: &Pod<'_>, outcome: &Outcome<'_>) {
        let Some(owner) = pod.controller() else { return };
        let event_notes = event_notes(outcome);
        if event_notes.is_empty() || !self.namespaces.has(namespace) {
            return;
        }
        for notice in event_notes {
            let Some(owner) = Named::of(namespace, owner) else { return self.metrics.told(Told::Unconfirmed) };
            let key = owner.key(notice.reason.code(), &notice.text);
            self.leave(namespace, Waiting { key, owner, notice });
        }
    }

    fn leave(&self, namespace: &str, waiting: Waiting) {
        let (now, key) = (Instant::now(), waiting.key);
        let mut left = self.left();
        if left.recent.has(&key, now) {
            return;
        }
        if left.rates.take(Some(namespace), now).is_none() {
            return self.metrics.told(Told::Dropped);
        }
        left.recent.remember(key, now);
        if let Some(dropped) = left.queue.push(namespace, waiting) {
            // The next pod of its owner may find room.
            left.recent.forget(&dropped.key);
            self.metrics.told(Told::Dropped);
        }
        drop(left);
        self.more.notify_one();
    }

    async fn next(&self) -> Waiting {
        loop {
            // A word that comes between the two is kept until somebody waits for it.
            if let Some(waiting) = self.left().queue.pop() {
                return waiting;
            }
            self.more.notified().await;
        }
    }

    fn left(&self) -> MutexGuard<'_, Left> {
        self.left.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Writer {
    /// Writes for ever, one event after another. One that fails counts as told: where none may be written, a thousand
    /// pods shall not make a thousand calls.
    pub async fn follow(mut self) {
        let (mut pace, mut was_pure) = (interval(PACE), false);
        pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let waiting = self.events.next().await;
            pace.tick().await;
            let is_pure = self.is_called_pure();
            if is_pure && !was_pure {
                warn!("events are written, and the webhook's configuration says sideEffects: None, not NoneOnDryRun");
            }
            was_pure = is_pure;
            let namespace = waiting.owner.reference.namespace.clone().unwrap_or_default();
            let late = || Err(no_answer_within(DEADLINE));
            let written = timeout(DEADLINE, self.write(&namespace, waiting)).await;
            let told = written.unwrap_or_else(|_| late()).unwrap_or_else(|why| {
                if let Some(not_logged) = self.failures.pass() {
                    warn!(namespace, why, not_logged, "failed to write an event");
                }
                Told::Failed
            });
            self.events.metrics.told(told);
        }
    }

    /// Whether an entry that calls us says that nothing but the answer comes of it.
    fn is_called_pure(&self) -> bool {
        let Some(called) = &self.called else { return false };
        matches!(&*called.borrow(), Seen::Installed(entries) if entries.iter().any(|entry| entry.is_pure))
    }

    /// Writes an event whose owner is there.
    async fn write(&mut self, namespace: &str, waiting: Waiting) -> Result<Told, String> {
        let owner = waiting.owner.key("", "");
        let is_there = if let Some(is_there) = self.confirmed.find(&owner, Instant::now()) {
            is_there
        } else {
            let read = waiting.owner.is_there(&self.client).await;
            let is_there = read.map_err(|error| format!("its owner: {}", root_cause(&error)))?;
            self.confirmed.remember(owner, is_there, Instant::now());
            is_there
        };
        if !is_there {
            return Ok(Told::Unconfirmed);
        }
        let api: Api<Event> = Api::namespaced(self.client.clone(), namespace);
        match api.create(&PostParams::default(), &event(waiting)).await {
            Ok(_) => Ok(Told::Created),
            // Another replica has told it, or we before we were started anew.
            Err(kube::Error::Api(status)) if status.reason == "AlreadyExists" => Ok(Told::Known),
            Err(error) => Err(root_cause(&error)),
        }
    }
}

impl fmt::Debug for Writer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Writer").field("events", &self.events).finish_non_exhaustive()
    }
}

/// The event as it is written. Its reason is the code as events write theirs: `ClaimNotFound`.
fn event(Waiting { key, owner, notice }: Waiting) -> Event {
    let (name, owner) = (format!("{REPORTER}.{}", dedup::written(&key)), owner.reference);
    let metadata = ObjectMeta { name: Some(name), namespace: owner.namespace.clone(), ..ObjectMeta::default() };
    Event {
        metadata,
        action: Some("Inject".to_owned()),
        event_time: Some(MicroTime(Timestamp::now())),
        note: Some(notice.text),
        reason: Some(format!("{:?}", notice.reason)),
        regarding: Some(owner),
        reporting_controller: Some(REPORTER.to_owned()),
        // Whichever replica it was: they all say the same.
        reporting_instance: Some(REPORTER.to_owned()),
        type_: Some(if notice.is_warning { "Warning" } else { "Normal" }.to_owned()),
        ..Event::default()
    }
}
