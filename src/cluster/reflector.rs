//! Lists a collection and watches it from there, for ever: what client-go calls a reflector.
//!
//! No object fails a list or a watch. One that cannot be read is handed on as such, so that nothing old is taken for its facts.

use std::time::Duration;

use kube::api::ListParams;
use tokio::time::sleep;

use super::backoff::{Backoff, End};
use super::collection::{Collection, Error, Happened, identity};

/// Items in a page. What we hold does not depend on it, but the API server holds a page as a whole, and an item may be megabytes
/// there.
const PAGE: u32 = 100;

/// What a reflector hands on.
#[derive(Debug)]
pub(super) enum Change<V> {
    /// A list begins: what is not in it is gone when it is complete.
    Begun,
    /// The list is complete, and is watched from now on.
    Complete,
    /// There is no list, or no watch; both begin again.
    Failed(String),
    /// An object is as this says, in a list or since.
    Applied(Object<V>),
    /// An object is gone.
    Deleted(Object<()>),
}

/// An object, reduced to what is used of it.
#[derive(Debug)]
pub(super) struct Object<V> {
    /// Its namespace; empty where it has none.
    pub(super) namespace: String,
    pub(super) name: String,
    /// What is used of it.
    pub(super) value: Result<V, Unreadable>,
}

/// Why the facts of an object are not known.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unreadable {
    /// Something that we use has more bytes than are taken of it.
    #[error("what is used of it is larger than what is taken")]
    Cut,
    /// It is not what we expect.
    #[error("{0}")]
    Json(#[from] serde_json::Error),
}

/// For whom a `kube::Error` is one.
impl From<Unreadable> for kube::Error {
    fn from(why: Unreadable) -> Self {
        kube::Error::Service(Box::new(why))
    }
}

impl<V> Object<V> {
    /// Reads what was kept of an object.
    pub(super) fn read(text: &[u8], cut: bool, read: impl Fn(&[u8]) -> Result<V, serde_json::Error>) -> Self {
        let identity = identity(text);
        Object {
            namespace: identity.namespace.unwrap_or_default().into_owned(),
            name: identity.name.unwrap_or_default().into_owned(),
            value: if cut { Err(Unreadable::Cut) } else { read(text).map_err(Unreadable::Json) },
        }
    }
}

/// Follows a collection for ever. `read` reduces the text that is kept of an object.
pub(super) async fn follow<V>(
    collection: &Collection,
    read: impl Fn(&[u8]) -> Result<V, serde_json::Error>,
    mut change: impl FnMut(Change<V>),
) {
    let mut backoff = Backoff::default();
    loop {
        let (lasted, error) = list_and_watch(collection, &read, &mut change, &mut backoff).await;
        change(Change::Failed(error.root_cause()));
        // What we knew is too old to go on from, as after every longer outage: a new list is all it takes.
        let end = if error.is_gone() { End::Expected } else { End::Failed };
        sleep(backoff.pause(end, lasted)).await;
    }
}

/// Until it fails; and how long the last watch had lasted.
async fn list_and_watch<V>(
    collection: &Collection,
    read: &impl Fn(&[u8]) -> Result<V, serde_json::Error>,
    change: &mut impl FnMut(Change<V>),
    backoff: &mut Backoff,
) -> (Duration, Error) {
    change(Change::Begun);
    let mut version = match list(collection, read, change).await {
        Ok(version) => version,
        Err(error) => return (Duration::ZERO, error),
    };
    change(Change::Complete);
    loop {
        let happened = |what: Happened, text: &[u8], cut: bool| {
            change(match what {
                Happened::Applied => Change::Applied(Object::read(text, cut, read)),
                Happened::Deleted => Change::Deleted(Object::read(text, false, |_| Ok(()))),
            });
        };
        match collection.watch(&mut version, happened).await {
            (lasted, Ok(())) => sleep(backoff.pause(End::Expected, lasted)).await,
            (lasted, Err(error)) => return (lasted, error),
        }
    }
}

/// Hands on the whole list, and says at which version it is.
async fn list<V>(
    collection: &Collection,
    read: &impl Fn(&[u8]) -> Result<V, serde_json::Error>,
    change: &mut impl FnMut(Change<V>),
) -> Result<String, Error> {
    let mut parameters = ListParams { limit: Some(PAGE), ..collection.parameters() };
    loop {
        let item = |kept: &super::projection::Kept| {
            change(Change::Applied(Object::read(&kept.text, kept.cut, read)));
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
