//! Whether the settings are known by which the webhook decides, and have no mistakes.

use std::path::Path;

use super::report::Report;
use crate::inspect::api::Api;
use crate::inspect::installation::Webhook;
use crate::manifest::context::Base;

/// Checks the settings; the answer says itself where they are not known, and what depends on them is not checked then.
pub(super) async fn check(api: &Api, webhook: &Webhook, config: Option<&Path>, report: &mut Report) -> Base {
    const CHECK: &str = "settings";
    const OFFER: &str = "--config FILE tells them";
    report.group("Settings");
    let read = crate::inspect::settings::in_force(api, webhook, config).await.map_err(|error| format!("{error:#}"));
    let base = match read.and_then(|base| base.mistakes.clone().map_or(Ok(base), Err)) {
        Ok(base) => base,
        Err(mistakes) => {
            let mistakes: Vec<_> = mistakes.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
            let hint = "dynamo-cache config check FILE; a server that runs keeps the last settings without mistakes";
            report.bad(CHECK, mistakes.join("; "), hint);
            return Base { unknown: Some("they have mistakes".to_owned()), ..Base::default() };
        }
    };
    match (&base.unknown, webhook) {
        (Some(_), Webhook::Absent) => report.not_checked(CHECK, "it depends on the configuration"),
        (Some(_), Webhook::Hidden(_)) => report.not_checked(CHECK, format!("it depends on the configuration; {OFFER}")),
        (Some(why), Webhook::Installed(_)) => report.not_checked(CHECK, format!("{why}; {OFFER}")),
        (None, _) if base.notes.is_empty() => report.good(CHECK, format!("the settings of {} are read", base.source)),
        (None, _) => report.warning(CHECK, base.notes.join("; "), "dynamo-cache config default has each setting"),
    }
    base
}
