//! The start of a stage: the cache is restored, as long as the engine waits for it.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::task::spawn_blocking;
use tokio::time::sleep;

use super::{Life, figures};
use crate::stage::archive::Progress;
use crate::stage::gate::Wait;
use crate::stage::handover::{Handover, Phase, Start};
use crate::stage::layout::Store;
use crate::stage::record::{Event, Reason, seconds};
use crate::stage::restore::{self, InPlace, NotRestored, restore};

/// How often progress is noted for the gate, and the gate is looked for.
const INTERVAL: Duration = Duration::from_millis(250);

impl Life<'_> {
    /// Restores the cache, as long as the engine waits for it. Returns whether this is the pod's first stage.
    pub(super) async fn restore(&mut self, handover: &Arc<Handover>) -> bool {
        // A thread of its own, since there may be much to remove, and a signal is answered meanwhile.
        let started = {
            let (handover, pod_uid) = (handover.clone(), self.location.pod_uid.clone());
            spawn_blocking(move || {
                restore::clean(&handover, &pod_uid);
                handover.start()
            })
        };
        match started.await.unwrap_or_else(|error| Err(error.into())) {
            Ok(Start::First) => {}
            Ok(Start::Again(restored)) => {
                self.put_aside = handover.state().put_aside;
                let event = if restored.is_some() { Event::Restored } else { Event::NotRestored };
                let mut record = event.record().because(Reason::SecondStart);
                record.detail = Some("a stage of this pod has run before".to_owned());
                record.generation = restored.as_ref().map(|restored| restored.generation.to_string());
                record.files = restored.as_ref().map(|restored| restored.files);
                self.journal.write(&record);
                self.restored = restored;
                return false;
            }
            Err(error) => {
                self.report_not_restored(NotRestored::new(Reason::DiskFailed, error));
                return true;
            }
        }
        match self.restore_while_waited_for(handover).await {
            Ok(InPlace { restored, manifest, newer }) => {
                let mut record = figures(Event::Restored, &manifest);
                record.seconds = Some(seconds(self.now()));
                record.detail = newer.map(|newer| format!("a newer generation is not taken: {}", newer.detail));
                self.journal.write(&record);
                self.restored = Some(restored);
            }
            Err(not_restored) => {
                // The gate sees the end of the restore, or has seen its own deadline.
                drop(handover.give_up(not_restored.reason));
                self.report_not_restored(not_restored);
            }
        }
        self.put_aside = handover.state().put_aside;
        true
    }

    async fn restore_while_waited_for(&self, handover: &Arc<Handover>) -> Result<InPlace, NotRestored> {
        let progress = Arc::new(Progress::default());
        let mut task = {
            let (location, handover, progress) = (self.location.clone(), handover.clone(), progress.clone());
            let limit = self.options.ephemeral_storage_limit;
            spawn_blocking(move || {
                let store = match Store::open(&location) {
                    Ok(store) => store,
                    Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                        return Err(NotRestored::new(Reason::NoneUsable, "nothing is published yet"));
                    }
                    Err(error) => return Err(NotRestored::new(Reason::ClaimFailed, error)),
                };
                restore(&store, &handover, &location.pod_uid, limit, &progress)
            })
        };
        let mut wait = Wait::new(self.options.patience);
        let reason = loop {
            tokio::select! {
                restored = &mut task => {
                    return restored.unwrap_or_else(|error| Err(NotRestored::new(Reason::DiskFailed, error)));
                }
                () = sleep(INTERVAL) => {}
            }
            let (written, total) = (progress.written.load(Ordering::Relaxed), progress.total.load(Ordering::Relaxed));
            let reason = match handover.note_progress(written, total) {
                Ok(Phase::Released) => Some(Reason::TooLate),
                _ => wait.observe(self.now(), written, total),
            };
            // A cache that has just been put in place stays, and its thread ends at once.
            if let Some(reason) = reason
                && handover.give_up(reason).unwrap_or(true)
            {
                break reason;
            }
        };
        // A thread that waits for the claim stays behind; when it wakes up, it finds that it is cancelled.
        progress.cancel();
        let (handover, pod_uid) = (handover.clone(), self.location.pod_uid.clone());
        drop(spawn_blocking(move || restore::clean(&handover, &pod_uid)));
        Err(NotRestored::new(reason, "the engine does not wait longer"))
    }

    pub(super) fn report_not_restored(&self, not_restored: NotRestored) {
        let mut record = Event::NotRestored.record().because(not_restored.reason);
        record.detail = Some(not_restored.detail);
        record.generation = not_restored.to_blame.map(String::from);
        record.seconds = Some(seconds(self.now()));
        self.journal.write(&record);
    }

    /// Whether the gate appears, which starts beside a sidecar and only after an ordinary init container.
    pub(super) async fn has_gate(&self, handover: &Handover) -> bool {
        let deadline = self.now() + self.options.timing.gate_timeout;
        while !handover.state().has_gate {
            if self.now() >= deadline {
                return false;
            }
            sleep(INTERVAL).await;
        }
        true
    }
}
