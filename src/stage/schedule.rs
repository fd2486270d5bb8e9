//! When a cache is published: once the engine has stopped writing, and again after its first traffic.

use std::collections::VecDeque;
use std::time::Duration;

use crate::cli::StageTiming;
use crate::stage::archive::Inventory;

/// Since when a cache is unchanged. Times are those since the stage started.
#[derive(Debug, Default)]
pub struct Quiet {
    last: Option<Inventory>,
    since: Duration,
    in_progress_since: Duration,
}

impl Quiet {
    /// Takes a look at the cache into account.
    pub fn observe(&mut self, now: Duration, inventory: Inventory) {
        let without_progress = |inventory: Inventory| Inventory { in_progress: None, ..inventory };
        if self.last.map(without_progress) != Some(without_progress(inventory)) {
            self.since = now;
        }
        if self.last.map(|last| last.in_progress) != Some(inventory.in_progress) {
            self.in_progress_since = now;
        }
        self.last = Some(inventory);
    }

    /// Whether the cache has been unchanged for a time, without a name in progress but those that a killed process left.
    pub fn is_quiet(&self, now: Duration, time: Duration, leftover_age: Duration) -> bool {
        let is_idle =
            |last: Inventory| last.in_progress.is_none() || now.saturating_sub(self.in_progress_since) >= leftover_age;
        self.last.is_some_and(is_idle) && now.saturating_sub(self.since) >= time
    }
}

/// What came of an attempt to publish.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attempt {
    /// It succeeded, or failed in a way that the next look may find changed.
    Complete,
    /// The engine wrote meanwhile.
    Changed,
}

/// The looks at a cache of which each may publish a generation. Times are those since the stage started.
#[derive(Debug)]
pub struct Schedule {
    looks: VecDeque<Duration>,
    retry: Option<Duration>,
    retries: u32,
    first_retry: Duration,
    last_look_ends: Duration,
}

impl Schedule {
    /// The looks of an engine that is ready since `ready`. The pod's UID spreads the pods of a Deployment.
    pub fn new(ready: Duration, pod_uid: &str, timing: &StageTiming) -> Self {
        let offsets = [Duration::ZERO, timing.second_look, timing.third_look];
        let looks =
            offsets.iter().zip(0..).map(|(offset, index)| ready + *offset + jitter(pod_uid, index, timing.jitter));
        let looks: VecDeque<_> = looks.collect();
        let last_look_ends = looks.back().copied().unwrap_or_default() + timing.third_look;
        Schedule { looks, retry: None, retries: 0, first_retry: timing.first_retry, last_look_ends }
    }

    /// When to publish; `None` after the last look.
    pub fn due(&self) -> Option<Duration> {
        self.retry.or_else(|| self.looks.front().copied())
    }

    /// Until when the cache may become quiet for this look.
    pub fn ends(&self) -> Duration {
        self.looks.get(1).copied().unwrap_or(self.last_look_ends)
    }

    /// Takes an attempt into account. One that the engine disturbed is repeated after 1, 2, 4 … minutes, until the next look.
    pub fn finish(&mut self, now: Duration, attempt: Attempt) {
        let pause = self.first_retry.saturating_mul(2_u32.saturating_pow(self.retries));
        let retry = now + pause;
        if attempt == Attempt::Changed && retry < self.ends() {
            (self.retry, self.retries) = (Some(retry), self.retries + 1);
        } else {
            self.looks.pop_front();
            (self.retry, self.retries) = (None, 0);
        }
    }
}

/// A time up to `longest` that differs from pod to pod and from look to look.
fn jitter(pod_uid: &str, look: u8, longest: Duration) -> Duration {
    let seed = pod_uid
        .bytes()
        .chain([look])
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    longest.mul_f64(f64::from(u16::try_from(seed >> 48).unwrap_or_default()) / f64::from(u16::MAX))
}

#[cfg(test)]
mod tests;
