//! When to try again what failed: soon, then ever later.

use std::time::Duration;

use tokio::time::Instant;

const FIRST: Duration = Duration::from_millis(500);
const LONGEST: Duration = Duration::from_secs(60);

/// A pause that doubles with each failure.
#[derive(Debug, Default)]
pub(super) struct Again {
    pause: Duration,
    until: Option<Instant>,
}

impl Again {
    /// It failed.
    pub(super) fn failed(&mut self) {
        self.pause = (self.pause * 2).clamp(FIRST, LONGEST);
        self.until = Some(Instant::now() + self.pause);
    }

    /// It went well.
    pub(super) fn went_well(&mut self) {
        *self = Again::default();
    }

    /// Whether it is too early to try.
    pub(super) fn is_early(&self) -> bool {
        self.until.is_some_and(|until| Instant::now() < until)
    }

    /// When to try again, where something failed.
    pub(super) fn when(&self) -> Option<Instant> {
        self.until
    }
}

/// Until the first of these, which are times to try again that have not come yet; for ever without one.
pub(super) async fn until_first(times: impl IntoIterator<Item = Option<Instant>>) {
    let now = Instant::now();
    match times.into_iter().flatten().filter(|time| now < *time).min() {
        Some(time) => tokio::time::sleep_until(time).await,
        None => std::future::pending().await,
    }
}
