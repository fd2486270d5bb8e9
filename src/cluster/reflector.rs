//! Lists a collection and watches it from there for ever, as a reflector of client-go does.
//!
//! No single object fails a list or a watch. An object that cannot be parsed is reported as such, so that old facts
//! about it are not used.

use std::time::Duration;

use kube::api::ListParams;
use tokio::time::sleep;

use super::backoff::{Backoff, End};
use super::collection::{Collection, Error, EventKind, parse_identity};

/// The number of items per page. Our memory does not depend on it, but the API server holds a whole page, and an item
/// there may have megabytes.
const PAGE_SIZE: u32 = 100;

/// A change that a reflector reports.
#[derive(Debug)]
pub(super) enum Change<V> {
    /// A list starts. An object that is not in it is gone once the list is complete.
    ListStarted,
    /// The list is complete, and the watch starts.
    ListComplete,
    /// The list or the watch failed. Both start over.
    Failed(String),
    /// The current state of an object, from a list or an event.
    Applied(Object<V>),
    /// An object was deleted.
    Deleted(Object<()>),
}

/// An object, reduced to the value that is used.
#[derive(Debug)]
pub(super) struct Object<V> {
    /// The namespace; empty for cluster-scoped objects.
    pub(super) namespace: String,
    pub(super) name: String,
    /// The value, or why it is not known.
    pub(super) value: Result<V, Unreadable>,
}

/// The reason why an object has no value.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unreadable {
    /// A field exceeds its limit.
    #[error("a field that is used exceeds its size limit")]
    TooLarge,
    /// A field has an unexpected type.
    #[error("{0}")]
    Json(#[from] serde_json::Error),
}

/// For callers whose errors are `kube::Error`.
impl From<Unreadable> for kube::Error {
    fn from(why: Unreadable) -> Self {
        kube::Error::Service(Box::new(why))
    }
}

impl<V> Object<V> {
    /// Parses the extracted fields of an object.
    pub(super) fn parse(text: &[u8], truncated: bool, read: impl Fn(&[u8]) -> Result<V, serde_json::Error>) -> Self {
        let identity = parse_identity(text);
        Object {
            namespace: identity.namespace.unwrap_or_default().into_owned(),
            name: identity.name.unwrap_or_default().into_owned(),
            value: if truncated { Err(Unreadable::TooLarge) } else { read(text).map_err(Unreadable::Json) },
        }
    }
}

/// Lists and watches a collection for ever. `read` reduces the extracted text of an object to its value.
pub(super) async fn run<V>(
    collection: &Collection,
    read: impl Fn(&[u8]) -> Result<V, serde_json::Error>,
    mut change: impl FnMut(Change<V>),
) {
    let mut backoff = Backoff::default();
    loop {
        let (lasted, error) = list_and_watch(collection, &read, &mut change, &mut backoff).await;
        change(Change::Failed(error.root_cause()));
        // The version is too old to continue, as after a longer outage. A new list is all it takes.
        let end = if error.is_gone() { End::Expected } else { End::Failed };
        sleep(backoff.pause(end, lasted)).await;
    }
}

/// Runs until an error. Returns the error, and how long the last watch lasted.
async fn list_and_watch<V>(
    collection: &Collection,
    read: &impl Fn(&[u8]) -> Result<V, serde_json::Error>,
    change: &mut impl FnMut(Change<V>),
    backoff: &mut Backoff,
) -> (Duration, Error) {
    change(Change::ListStarted);
    let mut version = match list(collection, read, change).await {
        Ok(version) => version,
        Err(error) => return (Duration::ZERO, error),
    };
    change(Change::ListComplete);
    loop {
        let on_event = |kind: EventKind, text: &[u8], truncated: bool| {
            change(match kind {
                EventKind::Applied => Change::Applied(Object::parse(text, truncated, read)),
                EventKind::Deleted => Change::Deleted(Object::parse(text, false, |_| Ok(()))),
            });
        };
        match collection.watch(&mut version, on_event).await {
            (lasted, Ok(())) => sleep(backoff.pause(End::Expected, lasted)).await,
            (lasted, Err(error)) => return (lasted, error),
        }
    }
}

/// Reports every item of the list, and returns its version.
async fn list<V>(
    collection: &Collection,
    read: &impl Fn(&[u8]) -> Result<V, serde_json::Error>,
    change: &mut impl FnMut(Change<V>),
) -> Result<String, Error> {
    let mut parameters = ListParams { limit: Some(PAGE_SIZE), ..collection.parameters() };
    loop {
        let item = |kept: &super::projection::Projected| {
            change(Change::Applied(Object::parse(&kept.text, kept.truncated, read)));
        };
        let page = collection.page(&parameters, item).await?;
        match page.next.filter(|token| !token.is_empty()) {
            Some(token) => parameters.continue_token = Some(token),
            None => return page.version.filter(|version| !version.is_empty()).ok_or(Error::Unversioned),
        }
    }
}

#[cfg(test)]
mod tests;
