//! Watches a single object by name.

use kube::{Api, Resource};
use serde::de::DeserializeOwned;
use tracing::warn;

use crate::cluster::collection::Collection;
use crate::cluster::projection::Fields;
use crate::cluster::reflector;
use crate::cluster::reflector::Change;
use crate::metrics::{Kind, Metrics};

/// The most bytes of an object as JSON. The API server accepts requests of 3 MiB, and escapes some characters as six.
const MAX_OBJECT: usize = 20 << 20;

/// Watches the object of this name for ever. `on_change` gets the object now and whenever it changes, `None` if it does
/// not exist, and the reason while the watch fails. Each failure is logged and counted, also that of an object that
/// cannot be parsed.
pub(super) async fn watch<K>(
    api: &Api<K>,
    name: &str,
    kind: Kind,
    metrics: &Metrics,
    mut on_change: impl FnMut(Result<Option<K>, String>),
) where
    K: Resource + Clone + DeserializeOwned,
{
    let path = api.resource_url().to_owned();
    let collection =
        Collection::new(&api.clone().into_client(), path, K::metadata_api(), Fields::Any(MAX_OBJECT)).with_name(name);
    let mut is_there = false;
    let change = |change: Change<K>| match change {
        Change::ListStarted => is_there = false,
        Change::ListComplete if is_there => {}
        Change::ListComplete | Change::Deleted(_) => on_change(Ok(None)),
        Change::Applied(object) => {
            is_there = true;
            on_change(object.value.map(Some).map_err(|why| record_error(kind, metrics, &why.to_string())));
        }
        Change::Failed(why) => on_change(Err(record_error(kind, metrics, &why))),
    };
    reflector::run(&collection, |text| serde_json::from_slice(text), change).await;
}

/// Logs and counts an error of a watch that is being retried. Returns it as a sentence.
pub(super) fn record_error(kind: Kind, metrics: &Metrics, why: &str) -> String {
    metrics.record_watch_error(kind);
    warn!(?kind, why, "watch failed; retrying");
    format!("the watch fails: {why}")
}
