//! Caches that an earlier pass put in place, perhaps that of another dynamo-cache with other settings.
//!
//! A status that a pod brings along counts only where the pod itself shows the same: a variable of the cache that points into a whole
//! mount of a claim. So a forged status gains nothing.

use super::super::classification::DetectedEngine;
use super::super::engine::Engine;
use super::super::path::Path;
use super::super::pod::Pod;
use super::super::status::Status;
use super::container::ContainerPlan;
use super::volumes::Volumes;
use super::{Cache, PlanContext, express};

/// What an earlier status says is in place.
pub(super) struct Earlier<'p>(Option<Status<'p>>);

impl<'p> Earlier<'p> {
    pub(super) fn new(pod: &'p Pod<'_>) -> Self {
        Earlier(Status::of_pod(pod))
    }

    /// Whether a cache is in place in a container, as the earlier status says.
    pub(super) fn holds(
        &self,
        context: &PlanContext<'_>,
        volumes: &Volumes<'_>,
        planned: &ContainerPlan<'_, '_>,
        cache: Cache,
    ) -> bool {
        if !self.0.as_ref().is_some_and(|status| status.has(planned.container().name(), cache)) {
            return false;
        }
        match cache {
            Cache::Model => {
                let hub = planned.literal_directory("HF_HUB_CACHE");
                let hub = hub.or_else(|| planned.literal_directory("HF_HOME").map(|home| home.join("hub")));
                hub.is_some_and(|hub| is_on_a_claim(context, volumes, planned, &hub, false))
            }
            Cache::Compile => {
                let known = match planned.selected.engine {
                    DetectedEngine::Engine(engine) => engine.compile_variable(),
                    DetectedEngine::None | DetectedEngine::Unknown => None,
                };
                let any = Engine::compile_variables().filter(|_| known.is_none());
                let mut moved = known.into_iter().chain(any).filter_map(|name| planned.literal_directory(name));
                moved.any(|directory| is_on_a_claim(context, volumes, planned, &directory, true))
            }
            Cache::ModelExpress => express::is_in_place(planned),
            Cache::LoadFormat => false,
        }
    }
}

/// Whether a directory lies on the whole mount of a claim that the container can use.
fn is_on_a_claim(
    context: &PlanContext<'_>,
    volumes: &Volumes<'_>,
    planned: &ContainerPlan<'_, '_>,
    directory: &Path<'_>,
    is_written: bool,
) -> bool {
    planned.cover(directory).is_some_and(|mount| {
        let claim = volumes.claim_of(&mount.volume).filter(|_| mount.sub_path.is_none());
        claim.is_some_and(|claim| !is_written || !(mount.read_only || context.only_reads(claim)))
            && context.check_enterable(planned, &mount.path).is_ok()
    })
}
