//! What keeps a live pod from using the volumes of its claims.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::admission::cache::Cache;
use crate::inspect::api::Api;
use crate::inspect::volume::{Finding, Findings};
use crate::inspect::volume_reader::{ClaimVolume, VolumeReader};
use crate::manifest::inject::Injected;

/// Looks at the volumes of the claims that have a cache in place. `claims` are those of the namespace, and `states` the pod
/// as it would be if it were recreated, and as it is.
///
/// # Errors
/// The API server was not reached.
pub(super) async fn find(
    api: &Api,
    namespace: &str,
    claims: &[Value],
    states: [&Injected; 2],
) -> anyhow::Result<Findings> {
    let reader = VolumeReader::new(api);
    let (mut all, mut done) = (Findings::default(), BTreeSet::new());
    for state in states {
        for name in claims_in_place(state) {
            let object = claims.iter().find(|object| object.pointer("/metadata/name").is_some_and(|own| own == name));
            let Some(object) = object.filter(|_| done.insert(name.to_owned())) else { continue };
            let found = match reader.read(object).await? {
                ClaimVolume::Known(volume) => volume.for_pod(namespace, &state.after),
                ClaimVolume::NotBound => continue,
                ClaimVolume::Hidden(why) => Findings { unknown: vec![why], ..Findings::default() },
            };
            let about = |text: String| format!("claim {name}: {text}");
            all.found.extend(found.found.into_iter().map(|one| Finding { text: about(one.text), fix: one.fix }));
            all.unknown
                .extend(found.unknown.into_iter().map(|why| format!("the volume was not checked: {}", about(why))));
        }
    }
    Ok(all)
}

/// The claims that a cache of the first pod is on, where the cache is in place.
fn claims_in_place(state: &Injected) -> impl Iterator<Item = &str> {
    let containers = state.explanations.first().into_iter().flat_map(|explanation| &explanation.containers);
    let caches = containers.flat_map(|container| &container.caches);
    let in_place =
        caches.filter(|cache| cache.in_place.is_some() && matches!(cache.cache, Cache::Model | Cache::Compile));
    in_place.filter_map(|cache| cache.claim.as_deref())
}
