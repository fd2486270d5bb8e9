//! The gate: how long an engine waits for its cache.

use std::io;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::cli::{Gate, Patience};
use crate::stage::handover::{Handover, Phase, State};
use crate::stage::record::{Event, Reason, Record, seconds};

/// The bytes that a slow disk restores in a second.
const BYTES_PER_SECOND: u64 = 50_000_000;

/// How often the gate looks at the state.
const INTERVAL: Duration = Duration::from_millis(100);

/// How long the gate waits for a stage that has the lock, for some renames on a local disk at most, or for a disk that fails.
const LOCKED: Duration = Duration::from_secs(10);

/// How long the cache has been waited for, and since when it makes no progress.
#[derive(Debug)]
pub struct Wait {
    patience: Patience,
    written: u64,
    progressed: Duration,
}

impl Wait {
    /// A wait that begins now.
    pub fn new(patience: Patience) -> Self {
        Wait { patience, written: 0, progressed: Duration::ZERO }
    }

    /// Takes a look into account: `now` is the time since the wait began. Returns the reason to wait no longer.
    pub fn observe(&mut self, now: Duration, written: u64, total: u64) -> Option<Reason> {
        if written != self.written {
            (self.written, self.progressed) = (written, now);
        }
        let Patience { progress_timeout, restore_timeout, longest_restore } = self.patience;
        let deadline = restore_timeout + Duration::from_secs(total / BYTES_PER_SECOND);
        if now >= deadline.min(longest_restore) {
            Some(Reason::TooLate)
        } else if now.saturating_sub(self.progressed) >= progress_timeout {
            Some(Reason::NoProgress)
        } else {
            None
        }
    }
}

/// Waits until the engine may start, and returns why it may. A signal ends the wait.
pub async fn wait(options: &Gate, stop: impl Future<Output = ()>) -> Record {
    let begin = Instant::now();
    let released = tokio::select! {
        released = wait_for_stage(options, begin) => released,
        () = stop => Ok(Reason::Signal),
    };
    let mut record = Event::Released.record();
    record.seconds = Some(seconds(begin.elapsed()));
    match released {
        Ok(reason) => record.because(reason),
        Err(error) => {
            record.detail = Some(error.to_string());
            record.because(Reason::DiskFailed)
        }
    }
}

async fn wait_for_stage(options: &Gate, begin: Instant) -> io::Result<Reason> {
    let mut wait = Wait::new(options.patience);
    let (mut opened, mut state) = (None, State::default());
    let (reason, is_over) = loop {
        // A disk that fails may recover, and the stage with it, so a failure says no more than a stage without progress.
        state = look(&mut opened, options).unwrap_or(state);
        if matches!(state.phase, Phase::Done | Phase::Released) {
            break (outcome(&state), true);
        }
        if let Some(reason) = wait.observe(begin.elapsed(), state.written, state.total) {
            break (reason, false);
        }
        sleep(INTERVAL).await;
    };
    let handover = match opened {
        Some(handover) => handover,
        None => Handover::open(&options.local)?,
    };
    release(&handover, reason, is_over).await
}

/// Looks at the state, and leaves a note for the stage.
fn look(opened: &mut Option<Handover>, options: &Gate) -> io::Result<State> {
    let handover = match opened {
        Some(handover) => handover,
        None => opened.insert(Handover::open(&options.local)?),
    };
    // So that the stage knows early that it is a sidecar; while it has the lock, or the disk fails, this is noted later.
    drop(handover.note_gate());
    handover.read()
}

/// Ends the handover. A stage that is just putting the cache in place is waited for, and has its way; so is a disk that fails,
/// since a stage that does not know that the engine runs would put files below it, unless `is_over`: the stage has ended it.
async fn release(handover: &Handover, reason: Reason, is_over: bool) -> io::Result<Reason> {
    let begin = Instant::now();
    loop {
        let is_last = begin.elapsed() >= LOCKED;
        match handover.release() {
            Ok(Some(state)) if state.phase == Phase::Done => return Ok(outcome(&state)),
            Ok(Some(_)) => return Ok(reason),
            Ok(None) if is_last => return Ok(reason),
            // The stage only misses the note that there is a gate.
            Err(_) if is_over => return Ok(reason),
            Err(error) if is_last => return Err(error),
            Ok(None) | Err(_) => sleep(INTERVAL).await,
        }
    }
}

fn outcome(state: &State) -> Reason {
    if state.restored.is_some() { Reason::Restored } else { Reason::NotRestored }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::Wait;
    use crate::cli::Patience;
    use crate::stage::record::Reason;

    const GB: u64 = 1_000_000_000;

    fn wait() -> Wait {
        Wait::new(Patience {
            progress_timeout: Duration::from_secs(30),
            restore_timeout: Duration::from_secs(120),
            longest_restore: Duration::from_secs(600),
        })
    }

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn the_gate_waits_for_30_s_without_progress() {
        let mut wait = wait();
        assert_eq!(wait.observe(at(0), 0, 0), None);
        assert_eq!(wait.observe(at(29), 0, 0), None);
        assert_eq!(wait.observe(at(29), 1, GB), None);
        assert_eq!(wait.observe(at(58), 1, GB), None);
        assert_eq!(wait.observe(at(59), 1, GB), Some(Reason::NoProgress));
    }

    #[test]
    fn the_gate_waits_for_two_minutes_and_a_second_for_each_50_mb() {
        for (total, deadline) in [(0, 120), (GB, 140), (10 * GB, 320), (20 * GB, 520), (u64::MAX, 600)] {
            let mut wait = wait();
            for second in 0..deadline {
                assert_eq!(wait.observe(at(second), second, total), None, "{total} after {second} s");
            }
            assert_eq!(wait.observe(at(deadline), deadline, total), Some(Reason::TooLate), "{total}");
        }
    }
}
