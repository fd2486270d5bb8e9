//! Reports a second dynamo-cache, and the other webhooks and policies that change new pods.

use serde_json::Value;

use crate::command::check::catalog::CheckId;
use crate::command::check::report::Report;
use crate::inspect::api::{Api, Error};
use crate::inspect::installation::{Installed, release};

/// The API versions of `MutatingAdmissionPolicy`, newest first.
const VERSIONS: [&str; 3] = ["v1", "v1beta1", "v1alpha1"];

/// Reports what changes new pods beside this webhook; `configurations` has every other MutatingWebhookConfiguration.
///
/// # Errors
/// The API server was not reached.
pub(super) async fn check(api: &Api, configurations: &[Value], report: &mut Report) -> Result<(), Error> {
    let is_ours = |other: &&Value| Installed::from_configuration((*other).clone()).is_ok();
    let (ours, webhooks): (Vec<_>, Vec<_>) = configurations.iter().partition(is_ours);
    for second in ours {
        report_duplicate(second, report);
    }
    let webhooks: Vec<_> = webhooks.into_iter().filter(|other| changes_pods(other)).filter_map(name).collect();
    let webhooks = match webhooks.as_slice() {
        [] => "no other webhook changes pods".to_owned(),
        names => format!("other webhooks may change the same pods: {}", names.join(", ")),
    };
    let (policies, hidden) = match policies(api).await {
        Err(error) if error.is_forbidden() => (Vec::new(), Some(error)),
        policies => (policies?, None),
    };
    let policies: Vec<_> = policies.iter().filter(|policy| mutates_pods(policy)).filter_map(name).collect();
    let policies = match (policies.as_slice(), hidden) {
        (_, Some(error)) => format!("; MutatingAdmissionPolicies were not checked: {error}"),
        ([], None) => String::new(),
        (names, None) => format!("; MutatingAdmissionPolicies may change them too: {}", names.join(", ")),
    };
    report.ok(CheckId::OtherWebhooks, webhooks + &policies);
    Ok(())
}

/// Warns of a second dynamo-cache, with the command that removes it.
fn report_duplicate(configuration: &Value, report: &mut Report) {
    let name = name(configuration).unwrap_or_default();
    let text = format!("a second dynamo-cache is installed, and both may change the same pods: configuration {name}");
    let remove = match release(configuration) {
        Some(release) => release.uninstall_command(),
        None => format!("kubectl delete mutatingwebhookconfiguration {name}"),
    };
    report.warning(CheckId::Duplicate, text, format!("Keep one of them; to remove the second: {remove}"));
}

async fn policies(api: &Api) -> Result<Vec<Value>, Error> {
    for version in VERSIONS {
        let found =
            api.list(&format!("/apis/admissionregistration.k8s.io/{version}/mutatingadmissionpolicies")).await?;
        if !found.is_empty() {
            return Ok(found);
        }
    }
    Ok(Vec::new())
}

fn name(object: &Value) -> Option<&str> {
    object.pointer("/metadata/name")?.as_str()
}

fn changes_pods(configuration: &Value) -> bool {
    let entries = configuration.get("webhooks").and_then(Value::as_array).into_iter().flatten();
    let mut rules = entries.flat_map(|entry| entry.get("rules").and_then(Value::as_array).into_iter().flatten());
    rules.any(is_about_new_pods)
}

fn mutates_pods(policy: &Value) -> bool {
    let rules = policy.pointer("/spec/matchConstraints/resourceRules").and_then(Value::as_array);
    rules.into_iter().flatten().any(is_about_new_pods)
}

/// Whether a rule matches the creation of pods.
fn is_about_new_pods(rule: &Value) -> bool {
    let has = |key: &str, words: &[&str]| {
        let found = rule.get(key).and_then(Value::as_array).into_iter().flatten();
        found.filter_map(Value::as_str).any(|word| words.contains(&word))
    };
    has("resources", &["pods", "*", "*/*"]) && has("apiGroups", &["", "*"]) && has("operations", &["CREATE", "*"])
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{changes_pods, mutates_pods, report_duplicate};
    use crate::command::check::report::Report;

    #[test]
    fn a_second_dynamo_cache_is_reported_with_the_command_that_removes_it() {
        let annotations = json!({"meta.helm.sh/release-name": "second", "meta.helm.sh/release-namespace": "elsewhere"});
        for (annotations, remove) in [
            (annotations, "helm uninstall second --namespace elsewhere"),
            (json!(null), "kubectl delete mutatingwebhookconfiguration other"),
        ] {
            let mut report = Report::default();
            report_duplicate(&json!({"metadata": {"name": "other", "annotations": annotations}}), &mut report);
            let said = report.json();
            assert!(
                said.contains("warning") && said.contains("configuration other") && said.contains(remove),
                "{said}"
            );
        }
    }

    #[test]
    fn only_rules_about_new_pods_count() {
        for (groups, operations, resources, counts) in [
            (json!([""]), json!(["CREATE", "UPDATE"]), json!(["pods"]), true),
            (json!(["*"]), json!(["*"]), json!(["*/*"]), true),
            (json!(["", "apps"]), json!(["CREATE"]), json!(["services", "*"]), true),
            (json!(["apps"]), json!(["CREATE"]), json!(["*"]), false),
            (json!([""]), json!(["UPDATE"]), json!(["pods"]), false),
            (json!([""]), json!(["CREATE"]), json!(["pods/exec", "services"]), false),
        ] {
            let rules = json!([{"apiGroups": groups, "operations": operations, "resources": resources}]);
            let configuration = json!({"webhooks": [{"rules": []}, {"rules": rules}]});
            assert_eq!(changes_pods(&configuration), counts, "{rules}");
            let policy = json!({"spec": {"matchConstraints": {"resourceRules": rules}}});
            assert_eq!(mutates_pods(&policy), counts, "{rules}");
        }
        assert!(!changes_pods(&json!({})) && !mutates_pods(&json!({})));
    }
}
