//! Names the models that workloads want and that no download has brought.

use crate::admission::settings::Settings;
use crate::command::check::catalog::CheckId;
use crate::command::check::report::Report;
use crate::inspect::api::{Api, Error};
use crate::inspect::download_job::Hub;
use crate::inspect::{download_job, wanted_models};

/// Warns of models that the workloads of the namespace name and that no finished download Job has brought to the model claim. Without
/// any download Job, the claim may have been filled in another way: then the models are named, and no more. Kinds that the user may
/// not list are not read.
///
/// # Errors
/// The API server was not reached.
pub(super) async fn check(api: &Api, name: &str, settings: &Settings, report: &mut Report) -> Result<(), Error> {
    let jobs = match download_job::list(api, name).await {
        // The checks of pods and of offline mode have named the permission.
        Err(error) if error.is_forbidden() => return Ok(()),
        jobs => jobs?,
    };
    let wanted = match wanted_models::read(api, name).await {
        Err(error) if error.is_forbidden() => return Ok(()),
        wanted => wanted?,
    };
    let hub = Hub { claim: &settings.model.claim, layout: settings.model.layout };
    let missing = wanted_models::missing(&wanted.objects, &jobs, hub);
    if !missing.is_empty() {
        let models = wanted_models::in_words(&missing);
        if jobs.is_empty() {
            let text = format!(
                "model cache, claim {}: no download Job has run here, and the workloads name {models}",
                hub.claim
            );
            report.ok(CheckId::Models, text);
            return Ok(());
        }
        let text = format!("model cache, claim {}: no finished download has brought {models}", hub.claim);
        report.warning(CheckId::Models, text, format!("dynamo-cache download --from -n {name} --apply --wait"));
    }
    Ok(())
}
