//! Remove compile caches that no workload of a namespace would get, or a model by name.

mod caches;
mod model;

use crate::cli::Prune;
use crate::inspect::api;

/// Runs `prune`.
///
/// # Errors
/// Something cannot be removed, or it is not known whether it may be; a claim cannot be measured; or the cluster does not answer.
pub(super) fn run(options: &Prune) -> anyhow::Result<()> {
    api::with_cluster(&options.cluster, async |api| match &options.model {
        Some(model) => model::run(&api, model, options).await,
        None => caches::run(&api, options).await,
    })
}
