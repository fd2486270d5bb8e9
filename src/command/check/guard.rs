//! Whether the guard is there with all that it takes: it tells of components that the webhook did not see.

use serde_json::Value;

use super::report::Report;
use crate::inspect::api::{Api, Error};
use crate::inspect::installation::{Installed, guard};

/// The name of its line.
const CHECK: &str = "guard";

/// Checks that its policy and its binding are both there, or neither.
///
/// # Errors
/// The API server was not reached.
pub(super) async fn check(api: &Api, installed: &Installed, report: &mut Report) -> Result<(), Error> {
    let [(_, binding), (_, policy)] = guard(&installed.name);
    match (api.get(&binding).await, api.get(&policy).await) {
        (Err(error), _) | (_, Err(error)) if error.is_forbidden() => report.not_checked(CHECK, error.to_string()),
        (binding, policy) => compare(binding?.as_ref(), policy?.is_some(), &installed.name, report),
    }
    Ok(())
}

fn compare(binding: Option<&Value>, is_policy: bool, name: &str, report: &mut Report) {
    let [(kind_of_binding, _), (kind_of_policy, _)] = guard(name);
    let half = |there: &str, missing: &str| {
        let text = format!("{there} {name}-guard is there, and no {missing} of that name: the guard does nothing");
        let hint = format!("helm upgrade brings back what guard.mode asks for; or kubectl delete {there} {name}-guard");
        (text, hint)
    };
    match (binding, is_policy) {
        (None, false) => report.good(CHECK, "there is no guard, as guard.mode Off of the chart wants it"),
        (None, true) => {
            let (text, hint) = half(kind_of_policy, kind_of_binding);
            report.warning(CHECK, text, hint);
        }
        (Some(_), false) => {
            let (text, hint) = half(kind_of_binding, kind_of_policy);
            report.warning(CHECK, text, hint);
        }
        (Some(binding), true) => {
            let actions = binding.pointer("/spec/validationActions").and_then(Value::as_array);
            let has = |action: &str| actions.is_some_and(|actions| actions.iter().any(|one| one == action));
            let does = match (has("Deny"), has("Warn")) {
                (true, _) => "refuses components that the webhook did not see",
                (false, true) => "warns of components that the webhook did not see",
                (false, false) => "writes components that the webhook did not see into the audit log alone",
            };
            report.good(CHECK, format!("the guard {does}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::compare;
    use crate::command::check::report::Report;

    #[test]
    fn half_a_guard_is_told_with_what_to_do_and_none_is_well() {
        let binding = |actions: &[&str]| Some(json!({"spec": {"validationActions": actions}}));
        for (binding, is_policy, state, says) in [
            (None, false, "ok", "guard.mode Off"),
            (binding(&["Warn", "Audit"]), true, "ok", "the guard warns of"),
            (binding(&["Deny", "Audit"]), true, "ok", "the guard refuses"),
            (binding(&["Audit"]), true, "ok", "audit log alone"),
            (None, true, "warning", "ValidatingAdmissionPolicy mine-guard is there, and no ValidatingAdmissionPolicyB"),
            (
                binding(&["Warn"]),
                false,
                "warning",
                "ValidatingAdmissionPolicyBinding mine-guard is there, and no ValidatingAdmissionPolicy of",
            ),
        ] {
            let mut report = Report::default();
            compare(binding.as_ref(), is_policy, "mine", &mut report);
            let line = &serde_json::from_str::<Value>(&report.json()).unwrap()[0];
            assert!(line["state"] == state && line["text"].as_str().unwrap().contains(says), "{line:#}");
            assert_eq!(line["hint"].is_string(), state == "warning", "{line:#}");
        }
    }
}
