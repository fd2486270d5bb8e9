//! Recommends offline mode where a download has filled the model claim.

use serde_json::Value;

use crate::admission::settings::Settings;
use crate::command::check::catalog::CheckId;
use crate::command::check::report::Report;
use crate::inspect::api::{Api, Error};
use crate::inspect::download_job;
use crate::inspect::download_job::MODEL_VOLUME;
use crate::inspect::job_status::condition;

/// Warns if a finished download Job has filled the model claim, and workers still ask the hub. The check needs the permission to
/// list Jobs.
///
/// # Errors
/// The API server was not reached.
pub(super) async fn check(api: &Api, name: &str, settings: &Settings, report: &mut Report) -> Result<(), Error> {
    let claim = &settings.model.claim;
    if settings.model.offline {
        return Ok(());
    }
    let jobs = match api.list(&format!("/apis/batch/v1/namespaces/{name}/jobs")).await {
        Err(error) if error.is_forbidden() => {
            report.not_checked(CheckId::ModelOffline, error.to_string());
            return Ok(());
        }
        jobs => jobs?,
    };
    let has_filled =
        |job: &&Value| download_job::claim(job, MODEL_VOLUME) == Some(claim) && condition(job, "Complete").is_some();
    if let Some(model) = jobs.iter().filter(has_filled).find_map(download_job::model) {
        let text = format!(
            "model cache, claim {claim}: it has {model}, but workers still ask the hub, and fail while it cannot be reached"
        );
        let command = format!("kubectl annotate namespace {name} dynamo-cache.io/model-offline=true");
        report.warning(CheckId::ModelOffline, text, format!("When all models are on the claim: {command}"));
    }
    Ok(())
}
