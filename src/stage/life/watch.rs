//! The wait for the engine: until it is ready, or has died on its cache.

use std::path::Path;
use std::sync::Arc;

use tokio::task::spawn_blocking;
use tokio::time::sleep;

use super::{Life, PROC};
use crate::stage::handover::Handover;
use crate::stage::listen::{Change, Deaths, sockets};
use crate::stage::record::{Event, seconds};

/// The deaths of an engine after which its cache is to blame.
const DEATHS: u64 = 2;

impl Life<'_> {
    /// Waits until the engine is ready, and heals a cache on which it dies.
    pub(super) async fn wait_until_ready(&mut self, handover: &Arc<Handover>, is_first: bool) {
        let Some(endpoint) = self.endpoint.clone() else { return };
        let timing = self.options.timing;
        let mut deaths = Deaths::default();
        let mut ready_since = None;
        loop {
            let is_ready = endpoint.is_ready().await;
            let since = *ready_since.get_or_insert_with(|| self.now());
            if !is_ready {
                ready_since = None;
            } else if self.now().saturating_sub(since) >= timing.ready_for {
                self.seconds_to_ready = is_first.then_some(since.as_secs());
                break;
            }
            if !self.options.host_network {
                let change = deaths.observe(sockets(Path::new(PROC), endpoint.port()));
                if let Some(change) = change {
                    self.heal(handover, deaths.count, change).await;
                }
            }
            sleep(timing.poll_interval).await;
        }
        self.is_ready = true;
        let mut record = Event::Ready.record();
        record.seconds = is_first.then(|| ready_since.map(seconds)).flatten();
        self.journal.write(&record);
        if let Some(restored) = &self.restored {
            self.journal.clear_strikes(&restored.generation);
        }
    }

    /// Notes a death of the engine. After the second on a restored cache, that is removed while no engine uses it.
    async fn heal(&mut self, handover: &Arc<Handover>, deaths: u64, change: Change) {
        let mut record = Event::Died.record();
        record.deaths = Some(deaths);
        record.generation = self.restored.as_ref().map(|restored| restored.generation.to_string());
        self.journal.write(&record);
        if deaths < DEATHS || change != Change::Ended {
            return;
        }
        let Some(restored) = self.restored.clone() else { return };
        self.journal.strike(&restored.generation, &record);
        self.put_aside.insert(restored.generation);
        let handover = handover.clone();
        let emptied = spawn_blocking(move || {
            handover.local.remove_files()?;
            handover.forget_restored()
        });
        let emptied = emptied.await.map_err(|error| error.to_string());
        match emptied.and_then(|emptied| emptied.map_err(|error| error.to_string())) {
            Ok(()) => {
                self.restored = None;
                record.event = Event::Emptied;
            }
            // The next death is the next attempt.
            Err(error) => {
                record.event = Event::NotEmptied;
                record.detail = Some(error);
            }
        }
        self.journal.write(&record);
    }
}
