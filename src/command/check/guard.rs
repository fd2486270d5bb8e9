//! Checks the guard, an admission policy that reports components which the webhook did not review.

use serde_json::Value;

use crate::command::check::catalog::CheckId;
use crate::command::check::report::Report;
use crate::inspect::api::{Api, Error};
use crate::inspect::installation::{Installed, guard_objects};

/// The check.
const CHECK: CheckId = CheckId::Guard;

/// Checks that the policy and the binding both exist, or neither.
///
/// # Errors
/// The API server was not reached.
pub(super) async fn check(api: &Api, installed: &Installed, report: &mut Report) -> Result<(), Error> {
    let [(_, binding), (_, policy)] = guard_objects(&installed.name);
    match (api.get(&binding).await, api.get(&policy).await) {
        (Err(error), _) | (_, Err(error)) if error.is_forbidden() => report.not_checked(CHECK, error.to_string()),
        (binding, policy) => compare(binding?.as_ref(), policy?.is_some(), &installed.name, report),
    }
    Ok(())
}

fn compare(binding: Option<&Value>, has_policy: bool, name: &str, report: &mut Report) {
    let [(kind_of_binding, _), (kind_of_policy, _)] = guard_objects(name);
    let half = |there: &str, missing: &str| {
        let text = format!("{there} {name}-guard exists without a {missing} of that name, so the guard does nothing");
        let hint = format!("helm upgrade restores what guard.mode requires; or kubectl delete {there} {name}-guard");
        (text, hint)
    };
    match (binding, has_policy) {
        (None, false) => report.ok(CHECK, "there is no guard, as with guard.mode: Off of the chart"),
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
                (true, _) => "refuses components that the webhook did not review",
                (false, true) => "warns of components that the webhook did not review",
                (false, false) => "only records components that the webhook did not review, in the audit log",
            };
            report.ok(CHECK, format!("the guard {does}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::compare;
    use crate::command::check::report::Report;

    #[test]
    fn half_a_guard_is_a_warning_and_no_guard_is_ok() {
        let binding = |actions: &[&str]| Some(json!({"spec": {"validationActions": actions}}));
        for (binding, is_policy, state, says) in [
            (None, false, "ok", "guard.mode: Off"),
            (binding(&["Warn", "Audit"]), true, "ok", "the guard warns of"),
            (binding(&["Deny", "Audit"]), true, "ok", "the guard refuses"),
            (binding(&["Audit"]), true, "ok", "in the audit log"),
            (None, true, "warning", "ValidatingAdmissionPolicy mine-guard exists without a ValidatingAdmissionPolicyB"),
            (
                binding(&["Warn"]),
                false,
                "warning",
                "ValidatingAdmissionPolicyBinding mine-guard exists without a ValidatingAdmissionPolicy of",
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
