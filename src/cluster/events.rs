//! Events on the owners of pods, beside the answers and never in their way.
//!
//! kube's own `Recorder` is not used: it names events by the clock, so that two replicas would each tell the same, and
//! what it remembers is bounded in time alone. Here the name of an event follows from what it says. The API server
//! refuses the second of a name, whoever sends it, for as long as it keeps events (an hour by default), and to create
//! is all that we have to be allowed.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::api::events::v1::Event;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use k8s_openapi::jiff::Timestamp;
use kube::api::PostParams;
use kube::{Api, Client};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};
use tracing::{debug, info, warn};

use super::namespaces::Namespaces;
use super::webhook::Seen;
use crate::admission::Outcome;
use crate::admission::notice::{Notice, notices};
use crate::admission::pod::Pod;
use crate::metrics::{Metrics, Told};

mod recent;

use recent::{Key, Newness, Recent};

/// Who tells, as `kubectl describe` shows it.
const REPORTER: &str = "dynamo-cache";

/// Events that wait to be written; each takes two kilobytes at most.
const MOST_WAITING: usize = 256;

/// Between two events: a thousand owners at once take the API server a minute and a half.
const PACE: Duration = Duration::from_millis(100);

/// For one event to be written.
const DEADLINE: Duration = Duration::from_secs(10);

/// Most bytes that name an owner; a longer one is none that the API server would have taken.
const MOST_NAMING: usize = 1024;

/// Where a review leaves what there is to tell.
#[derive(Debug)]
pub struct Events {
    namespaces: Arc<Namespaces>,
    waiting: mpsc::Sender<Waiting>,
    recent: Mutex<Recent>,
    metrics: Arc<Metrics>,
}

/// Writes what is left there.
pub struct Writer {
    events: Arc<Events>,
    waiting: mpsc::Receiver<Waiting>,
    client: Client,
    /// The configuration by which we are called, if it is watched.
    called: Option<watch::Receiver<Seen>>,
}

/// An event that waits to be written.
#[derive(Debug)]
struct Waiting {
    key: Key,
    owner: ObjectReference,
    notice: Notice,
}

impl Events {
    /// Events in those of `namespaces` that opted in, which are written as the writer's `follow` is run.
    pub fn of(
        client: &Client,
        namespaces: &Arc<Namespaces>,
        called: Option<watch::Receiver<Seen>>,
        metrics: &Arc<Metrics>,
    ) -> (Arc<Self>, Writer) {
        let (sender, waiting) = mpsc::channel(MOST_WAITING);
        let (namespaces, metrics) = (Arc::clone(namespaces), Arc::clone(metrics));
        let events = Arc::new(Events { namespaces, waiting: sender, recent: Mutex::default(), metrics });
        let writer = Writer { events: Arc::clone(&events), waiting, client: client.clone(), called };
        (events, writer)
    }

    /// Leaves what a decision has to tell the owner of its pod, and never waits. Of a bare pod nobody is told: whoever
    /// made it has seen the warnings. A review need not come from the API server, so nobody is told in a namespace that
    /// did not opt in either.
    pub fn tell(&self, namespace: &str, pod: &Pod<'_>, outcome: &Outcome<'_>) {
        let Some(owner) = pod.controller() else { return };
        let notices = notices(outcome);
        if notices.is_empty() || !self.namespaces.has(namespace) {
            return;
        }
        let parts = [&owner.api_version, &owner.kind, &owner.name, &owner.uid].map(Option::as_deref);
        let [Some(version), Some(kind), Some(name), Some(uid)] = parts.map(|part| part.filter(|part| !part.is_empty()))
        else {
            return;
        };
        if [version, kind, name, uid].iter().map(|part| part.len()).sum::<usize>() > MOST_NAMING {
            return self.metrics.told(Told::Dropped);
        }
        for notice in notices {
            let key = recent::key([namespace, uid, notice.reason.code(), &notice.text]);
            match self.recent().take(key, Instant::now()) {
                Newness::Known => continue,
                Newness::New => {}
                Newness::NoRoom => {
                    self.metrics.told(Told::Dropped);
                    continue;
                }
            }
            let owner = ObjectReference {
                api_version: Some(version.to_owned()),
                kind: Some(kind.to_owned()),
                name: Some(name.to_owned()),
                namespace: Some(namespace.to_owned()),
                uid: Some(uid.to_owned()),
                ..ObjectReference::default()
            };
            if self.waiting.try_send(Waiting { key, owner, notice }).is_err() {
                // The next pod of this owner may find room.
                self.recent().forget(&key);
                self.metrics.told(Told::Dropped);
            }
        }
    }

    fn recent(&self) -> MutexGuard<'_, Recent> {
        self.recent.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Writer {
    /// Writes for ever, one event after another. One that fails counts as told: where none may be written, a thousand
    /// pods shall not make a thousand calls.
    pub async fn follow(mut self) {
        let (mut pace, mut failing, mut was_pure) = (interval(PACE), false, false);
        pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
        // It never ends: we hold a sender ourselves.
        while let Some(waiting) = self.waiting.recv().await {
            pace.tick().await;
            let is_pure = self.is_called_pure();
            if is_pure && !was_pure {
                warn!("events are written, and the webhook's configuration says sideEffects: None, not NoneOnDryRun");
            }
            was_pure = is_pure;
            let namespace = waiting.owner.namespace.clone().unwrap_or_default();
            let failure = match self.write(&namespace, waiting).await {
                Ok(told) => {
                    self.events.metrics.told(told);
                    None
                }
                Err(failure) => {
                    self.events.metrics.told(Told::Failed);
                    Some(failure)
                }
            };
            match (&failure, failing) {
                (None, true) => info!("events can be written again"),
                (None, false) => {}
                (Some(why), true) => debug!(namespace, why, "failed to write an event"),
                (Some(why), false) => warn!(namespace, why, "failed to write an event; more such are logged at debug"),
            }
            failing = failure.is_some();
        }
    }

    /// Whether an entry that calls us says that nothing but the answer comes of it.
    fn is_called_pure(&self) -> bool {
        let Some(called) = &self.called else { return false };
        matches!(&*called.borrow(), Seen::Installed(entries) if entries.iter().any(|entry| entry.is_pure))
    }

    async fn write(&self, namespace: &str, waiting: Waiting) -> Result<Told, String> {
        let api: Api<Event> = Api::namespaced(self.client.clone(), namespace);
        let event = event(waiting);
        match timeout(DEADLINE, api.create(&PostParams::default(), &event)).await {
            Ok(Ok(_)) => Ok(Told::Created),
            // Another replica has told it, or we before we were started anew.
            Ok(Err(kube::Error::Api(status))) if status.reason == "AlreadyExists" => Ok(Told::Known),
            Ok(Err(kube::Error::Api(status))) => Err(status.message.clone()),
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => Err(format!("there was no answer within {} s", DEADLINE.as_secs())),
        }
    }
}

impl fmt::Debug for Writer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Writer").field("waiting", &self.waiting).finish_non_exhaustive()
    }
}

/// The event as it is written. Its reason is the code as events write theirs: `ClaimNotFound`.
fn event(Waiting { key, owner, notice }: Waiting) -> Event {
    let name = format!("{REPORTER}.{}", recent::written(&key));
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
