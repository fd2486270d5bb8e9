//! The publications of a stage, once the engine is ready.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::spawn_blocking;
use tokio::time::{sleep, sleep_until};

use super::{Life, figures};
use crate::stage::archive::{Inventory, inventory};
use crate::stage::handover::Handover;
use crate::stage::layout::Store;
use crate::stage::publish::{self, NotPublished, Origin};
use crate::stage::record::{Event, Reason, seconds};
use crate::stage::schedule::{Attempt, Quiet, Schedule};

impl Life<'_> {
    /// Publishes at each look that is due, as soon as the cache is quiet.
    pub(super) async fn publish(&mut self, handover: &Arc<Handover>) {
        let (timing, is_ready) = (self.options.timing, self.is_ready);
        let quiet_for = if is_ready { timing.quiet_for } else { timing.long_quiet_for };
        let mut schedule = Schedule::new(self.now(), &self.location.pod_uid, &timing);
        while let Some(due) = schedule.due() {
            sleep_until(self.begin + due).await;
            let attempt = if self.becomes_quiet(handover, quiet_for, schedule.ends()).await {
                self.try_to_publish(handover).await
            } else {
                let handover = handover.clone();
                let counted = spawn_blocking(move || inventory(&handover.local.folder)).await;
                let is_empty = matches!(counted, Ok(Ok(Inventory { files: 0, in_progress: None, .. })));
                let reason = if is_empty { Reason::NothingAdded } else { Reason::NeverQuiet };
                self.report_not_published(NotPublished { reason, detail: None });
                Attempt::Complete
            };
            schedule.finish(self.now(), attempt);
        }
    }

    /// Waits until the cache has files and does not change. Returns whether it did before `deadline`.
    async fn becomes_quiet(&self, handover: &Arc<Handover>, quiet_for: Duration, deadline: Duration) -> bool {
        let timing = &self.options.timing;
        let mut quiet = Quiet::default();
        while self.now() < deadline {
            // An engine that was killed has stopped writing too, perhaps in the middle of a file.
            if let Some(endpoint) = &self.endpoint
                && !endpoint.is_ready().await
            {
                quiet = Quiet::default();
                sleep(timing.count_interval).await;
                continue;
            }
            let handover = handover.clone();
            let counted = spawn_blocking(move || inventory(&handover.local.folder)).await;
            // What cannot be counted cannot be packed either, and the attempt says why.
            let Ok(Ok(counted)) = counted else { return true };
            quiet.observe(self.now(), counted);
            if quiet.is_quiet(self.now(), quiet_for, timing.leftover_age) && (self.is_ready || counted.files > 0) {
                return true;
            }
            sleep(timing.count_interval).await;
        }
        false
    }

    async fn try_to_publish(&self, handover: &Arc<Handover>) -> Attempt {
        let begin = self.now();
        let (location, handover, put_aside) = (self.location.clone(), handover.clone(), self.put_aside.clone());
        let restored_files = self.restored.as_ref().map_or(0, |restored| restored.files);
        let origin = Origin {
            key: self.location.key.clone(),
            engine: self.options.engine.clone(),
            image: self.options.image.clone(),
            node: self.node.words(),
            pod: self.pod(),
            seconds_to_ready: self.seconds_to_ready,
        };
        let published = spawn_blocking(move || {
            // The engine serves meanwhile. A system that allows no change of priority packs at the usual one.
            let _ = rustix::process::nice(10);
            let local = &handover.local.folder;
            let store = Store::create(&location).map_err(|error| publish::claim(&error))?;
            publish::publish(&store, local, restored_files, &put_aside, &origin)
        });
        match published.await {
            Ok(Ok(manifest)) => {
                let mut record = figures(Event::Published, &manifest);
                record.added = Some(manifest.files.saturating_sub(restored_files));
                record.seconds = Some(seconds(self.now().saturating_sub(begin)));
                self.journal.write(&record);
                Attempt::Complete
            }
            Ok(Err(not_published)) => {
                let has_changed = not_published.reason == Reason::Changed;
                self.report_not_published(not_published);
                if has_changed { Attempt::Changed } else { Attempt::Complete }
            }
            Err(error) => {
                self.report_not_published(NotPublished {
                    reason: Reason::ClaimFailed,
                    detail: Some(error.to_string()),
                });
                Attempt::Complete
            }
        }
    }

    fn report_not_published(&self, not_published: NotPublished) {
        let mut record = Event::NotPublished.record().because(not_published.reason);
        record.detail = not_published.detail;
        self.journal.write(&record);
    }
}
