//! Checks that the webhook's settings are known and have no mistakes.

use std::path::Path;

use crate::command::check::catalog::CheckId;
use crate::command::check::report::Report;
use crate::inspect;
use crate::inspect::api::Api;
use crate::inspect::installation::Webhook;
use crate::manifest::context::BaseSettings;

/// Checks the settings and returns them. If they are unknown, [`BaseSettings::unknown`] says why, and what depends on them
/// cannot be checked.
pub(super) async fn check(api: &Api, webhook: &Webhook, config: Option<&Path>, report: &mut Report) -> BaseSettings {
    const OFFER: &str = "pass the settings with --config FILE";
    let read = inspect::settings::in_force(api, webhook, config).await.map_err(|error| format!("{error:#}"));
    let base = match read.and_then(|base| base.mistakes.clone().map_or(Ok(base), Err)) {
        Ok(base) => base,
        Err(mistakes) => {
            let mistakes: Vec<_> = mistakes.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
            let hint = "dynamo-cache config check FILE; running replicas keep the last settings without mistakes";
            report.fail(CheckId::Settings, mistakes.join("; "), hint);
            return BaseSettings { unknown: Some("the settings have mistakes".to_owned()), ..BaseSettings::default() };
        }
    };
    match (&base.unknown, webhook) {
        (Some(_), Webhook::Absent) => report.depends_on(CheckId::Settings, CheckId::Installation),
        (Some(_), Webhook::Hidden(_)) => {
            report.not_checked(CheckId::Settings, format!("it depends on the installation; {OFFER}"));
        }
        (Some(why), Webhook::Installed(_)) => report.not_checked(CheckId::Settings, format!("{why}; {OFFER}")),
        (None, _) if base.notes.is_empty() => {
            report.ok(CheckId::Settings, format!("the settings of {} have no mistakes", base.source));
        }
        (None, _) => {
            report.warning(
                CheckId::Settings,
                base.notes.join("; "),
                "dynamo-cache config default prints every setting",
            );
        }
    }
    base
}
