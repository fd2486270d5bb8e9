//! What an earlier pass has put in place, perhaps that of another dynamo-cache with other settings.
//!
//! A status that a pod brings along is believed only where the pod itself shows the same: a variable of the cache that lies on the whole
//! mount of a claim. So it says nothing that is not so, and gets a pod nothing.

use std::borrow::Cow;
use std::collections::HashMap;

use serde_json::value::RawValue;

use super::super::component::Runs;
use super::super::engine::{CacheVariable, Engine};
use super::super::path::Path;
use super::super::pod::Pod;
use super::super::told;
use super::draft::Draft;
use super::volumes::Volumes;
use super::{Cache, Scene, express};

/// What an earlier status lists, by container.
pub(super) struct Earlier<'p>(HashMap<Cow<'p, str>, &'p RawValue>);

impl<'p> Earlier<'p> {
    pub(super) fn of(pod: &'p Pod<'_>) -> Self {
        Earlier(told::listed_before(pod).into_iter().collect())
    }

    /// Whether a cache is in place in a container, as the earlier status says.
    pub(super) fn holds(&self, scene: &Scene<'_>, volumes: &Volumes<'_>, draft: &Draft<'_, '_>, cache: Cache) -> bool {
        if !self.lists(draft.container().name(), cache) {
            return false;
        }
        match cache {
            Cache::Model => {
                let hub = draft.literal_directory("HF_HUB_CACHE");
                let hub = hub.or_else(|| draft.literal_directory("HF_HOME").map(|home| home.join("hub")));
                hub.is_some_and(|hub| is_on_a_claim(scene, volumes, draft, &hub, false))
            }
            Cache::Compile => {
                let mut moved =
                    variables(draft.chosen.engine).filter_map(|variable| draft.literal_directory(variable.name));
                moved.any(|directory| is_on_a_claim(scene, volumes, draft, &directory, true))
            }
            Cache::ModelExpress => express::is_in_place(draft),
            Cache::LoadFormat => false,
        }
    }

    fn lists(&self, container: &str, cache: Cache) -> bool {
        let caches = self.0.get(container).and_then(|list| serde_json::from_str::<Vec<Cow<'_, str>>>(list.get()).ok());
        caches.is_some_and(|caches| caches.iter().any(|listed| listed == cache.word()))
    }
}

/// The variables that move an engine's compile cache; of an engine that is not known, those of all.
fn variables(engine: Runs) -> impl Iterator<Item = &'static CacheVariable> {
    let engines = match engine {
        Runs::Engine(engine) => vec![engine],
        Runs::None | Runs::Unknown => vec![Engine::Sglang, Engine::Trtllm, Engine::Vllm],
    };
    engines.into_iter().flat_map(Engine::compile_variables)
}

/// Whether a directory lies on the whole mount of a claim that the container can use.
fn is_on_a_claim(
    scene: &Scene<'_>,
    volumes: &Volumes<'_>,
    draft: &Draft<'_, '_>,
    directory: &Path<'_>,
    is_written: bool,
) -> bool {
    draft.cover(directory).is_some_and(|mount| {
        let claim = volumes.claim_of(&mount.volume).filter(|_| mount.sub_path.is_none());
        claim.is_some_and(|claim| !is_written || !(mount.read_only || scene.only_reads(claim)))
            && scene.user_can_enter(draft, &mount.path).is_ok()
    })
}
