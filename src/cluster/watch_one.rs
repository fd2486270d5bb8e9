//! The watch of one object, for ever.

use kube::{Api, Resource};
use serde::de::DeserializeOwned;
use tracing::warn;

use crate::cluster::collection::Collection;
use crate::cluster::projection::Fields;
use crate::cluster::reflector;
use crate::cluster::reflector::Change;
use crate::metrics::{Kind, Metrics};

/// Bytes of one whole object as JSON. The API server takes requests of 3 MiB, and writes some characters as six.
const OBJECT: usize = 20 << 20;

/// Watches the one object of a name. `tell` is told of it as it is and as it changes, of none where it is not there, and
/// why the watch fails for the moment, which is logged and counted. An object that cannot be read is such a failure.
pub(super) async fn follow<K>(
    api: &Api<K>,
    name: &str,
    (kind, metrics): (Kind, &Metrics),
    mut tell: impl FnMut(Result<Option<K>, String>),
) where
    K: Resource + Clone + DeserializeOwned,
{
    let path = api.resource_url().to_owned();
    let collection =
        Collection::new(&api.clone().into_client(), path, K::metadata_api(), Fields::Any(OBJECT)).named(name);
    let mut is_there = false;
    let change = |change: Change<K>| match change {
        Change::Begun => is_there = false,
        Change::Complete if is_there => {}
        Change::Complete | Change::Deleted(_) => tell(Ok(None)),
        Change::Applied(object) => {
            is_there = true;
            tell(object.value.map(Some).map_err(|why| failed(kind, metrics, &why.to_string())));
        }
        Change::Failed(why) => tell(Err(failed(kind, metrics, &why))),
    };
    reflector::follow(&collection, |text| serde_json::from_slice(text), change).await;
}

/// Logs and counts an error of a watch, which goes on; why it fails, in words.
pub(super) fn failed(kind: Kind, metrics: &Metrics, why: &str) -> String {
    metrics.watch_failed(kind);
    warn!(?kind, why, "failed to watch; trying again");
    format!("the watch fails: {why}")
}
