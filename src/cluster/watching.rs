//! Watches that go on for ever, and after an error tell anew how everything is.

use std::fmt;
use std::pin::pin;
use std::time::Duration;

use futures::{Stream, StreamExt as _, stream};
use kube::runtime::watcher::{self, DefaultBackoff, watch_object};
use kube::{Api, Resource};
use serde::de::DeserializeOwned;
use tokio::time::sleep;
use tracing::warn;

use crate::metrics::{Kind, Metrics};

/// 410: what a watch was to go on from is gone.
const GONE: u16 = 410;

/// A watch that is started anew after an error, and after a pause: kube's own resumes, and says nothing until something
/// changes, so nobody would know that all is well again.
pub(super) fn relisting<T, S>(start: impl Fn() -> S) -> impl Stream<Item = watcher::Result<T>>
where
    S: Stream<Item = watcher::Result<T>>,
{
    let begun = (Box::pin(start()), DefaultBackoff::default(), start, None);
    stream::unfold(begun, async |(mut events, mut backoff, start, pause)| {
        if let Some(pause) = pause {
            sleep(pause).await;
            events = Box::pin(start());
        }
        let event = events.next().await?;
        let pause = match &event {
            Ok(_) => None,
            // What we knew is too old to go on from, as after every longer outage; a new listing will do.
            Err(watcher::Error::WatchError(status)) if status.code == GONE => Some(Duration::ZERO),
            Err(_) => Some(backoff.next()?),
        };
        Some((event, (events, backoff, start, pause)))
    })
}

/// How collections are listed: in smaller pages than kube's own of 500. What a page is read into is given back at once, but
/// leaves its holes among what is kept of it: ten thousand claims took three times the memory, and reviews longer
/// (`benches/README.md`).
pub(super) fn in_pages() -> watcher::Config {
    watcher::Config::default().page_size(100)
}

/// Watches the one object of a name. `tell` is told of it as it is and as it changes, of none where it is not there, and
/// why the watch fails for the moment, which is logged and counted.
pub(super) async fn follow<K>(
    api: &Api<K>,
    name: &str,
    (kind, metrics): (Kind, &Metrics),
    mut tell: impl FnMut(Result<Option<K>, String>),
) where
    K: Resource + Clone + DeserializeOwned + fmt::Debug + Send + 'static,
{
    let mut events = pin!(relisting(|| watch_object(api.clone(), name)));
    while let Some(event) = events.next().await {
        tell(event.map_err(|error| failed(kind, metrics, &error)));
    }
}

/// Logs and counts an error of a watch, which goes on; why it fails, in words.
pub(super) fn failed(kind: Kind, metrics: &Metrics, error: &watcher::Error) -> String {
    metrics.watch_failed(kind);
    let why = match error {
        watcher::Error::InitialListFailed(error)
        | watcher::Error::WatchStartFailed(error)
        | watcher::Error::WatchFailed(error) => super::in_words(error),
        watcher::Error::WatchError(status) => status.message.clone(),
        watcher::Error::NoResourceVersion => error.to_string(),
    };
    warn!(?kind, why, "failed to watch; trying again");
    format!("the watch fails: {why}")
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use futures::{StreamExt as _, stream};
    use kube::runtime::watcher::Error;

    use super::relisting;

    #[tokio::test]
    async fn after_an_error_everything_is_told_anew() {
        let starts = Cell::new(0);
        let events = relisting(|| {
            starts.set(starts.get() + 1);
            stream::iter([Ok(starts.get()), Err(Error::NoResourceVersion), Ok(99)])
        });
        let told: Vec<_> = events.take(3).map(Result::ok).collect().await;
        assert_eq!(told, [Some(1), None, Some(2)]);
    }
}
