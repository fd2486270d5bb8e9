//! Compares both entries of the webhook's configuration with those of the chart.

use serde_json::{Value, json};

use crate::command::check::catalog::CheckId;
use crate::command::check::report::Report;
use crate::inspect::installation::{ENTRY, Installed};
use crate::inspect::opt_in::NAME;

/// The entry that the API server calls only for the canary of `check`.
pub(super) const CANARY: &str = "canary.dynamo-cache.io";

/// The label that the canary's entry selects.
pub(super) const CANARY_LABEL: &str = "dynamo-cache.io/canary";

/// The longest acceptable timeout, in seconds: a person at kubectl would take a longer one for a hang.
const LONGEST_TIMEOUT: u64 = 10;

/// The cluster's own namespaces, which are never selected. Neither is the webhook's.
const EXCLUDED: [&str; 3] = ["kube-system", "kube-public", "kube-node-lease"];

/// Checks both entries.
pub(super) fn check(installed: &Installed, report: &mut Report) {
    let named = |name: &'static str| move |field: &'static str| format!("{name} {field}");
    let mut differs: Vec<_> = differences_of_pods(installed).into_iter().map(named(ENTRY)).collect();
    match entry(installed, CANARY) {
        None => differs.push(format!("entry {CANARY} is missing")),
        Some(canary) => {
            differs.extend(differences_of_canary(installed).into_iter().map(named(CANARY)));
            // With two Services, the canary's answer would not prove anything about pods. The check of the certificate
            // compares the bundles.
            let service = |entry: &Value| entry.pointer("/clientConfig/service").cloned();
            if service(canary) != service(&installed.entry) {
                differs.push(format!("{CANARY} and {ENTRY} name different Services"));
            }
        }
    }
    if !differs.is_empty() {
        let text = format!("configuration {} differs from the chart: {}", installed.name, differs.join("; "));
        report.fail(
            CheckId::Configuration,
            text,
            "helm upgrade restores it, or kubectl apply -f manifests/install.yaml",
        );
        return;
    }
    let timeout = installed.entry.get("timeoutSeconds").and_then(Value::as_u64).unwrap_or_default();
    if installed.entry.get("failurePolicy").is_some_and(|policy| policy == "Fail") {
        let text = "failurePolicy is Fail: while the webhook does not answer, no pods start";
        let hint = "Use guard.mode: Deny of the chart instead: it refuses only components, and cannot deadlock";
        report.warning(CheckId::Configuration, text, hint);
    } else if timeout > LONGEST_TIMEOUT {
        let text = format!("timeoutSeconds is {timeout}: each pod waits that long while the webhook does not answer");
        report.warning(CheckId::Configuration, text, "Set webhook.timeoutSeconds of the chart to 3");
    } else {
        report.ok(CheckId::Configuration, "rules, selectors, match conditions and timeout are those of the chart");
    }
}

/// The entry of the configuration with a name.
pub(super) fn entry<'i>(installed: &'i Installed, name: &str) -> Option<&'i Value> {
    let entries = installed.configuration.get("webhooks")?.as_array()?;
    entries.iter().find(|entry| entry.get("name").is_some_and(|found| found == name))
}

/// The fields of the canary's entry that differ from the chart; all of them if the entry is missing. If any differs, the API
/// server's answer to a canary proves nothing.
pub(super) fn differences_of_canary(installed: &Installed) -> Vec<&'static str> {
    let entry = entry(installed, CANARY).unwrap_or(&Value::Null);
    let mut expected = json!({
        "objectSelector": {"matchExpressions": [{"key": CANARY_LABEL, "operator": "Exists"}]},
        "matchConditions": null,
        "failurePolicy": "Fail",
        "reinvocationPolicy": "Never",
    });
    if let Some(service) = &installed.service {
        expected["namespaceSelector"] = json!({"matchLabels": {NAME: service.namespace}});
    }
    let mut differs = differences(entry, &expected);
    differs.extend(common_differences(entry));
    differs
}

/// The fields of the entry for pods that differ from the chart.
fn differences_of_pods(installed: &Installed) -> Vec<&'static str> {
    let entry = &installed.entry;
    let mut conditions = Vec::new();
    for (name, expression) in [
        ("not-a-mirror-pod", "!object.metadata.?annotations[?'kubernetes.io/config.mirror'].hasValue()"),
        ("not-opted-out", "object.metadata.?annotations[?'dynamo-cache.io/inject'].orValue('').trim() != 'false'"),
    ] {
        conditions.push(json!({"name": name, "expression": expression}));
    }
    let expected = json!({
        "objectSelector": {},
        "matchConditions": conditions,
        "reinvocationPolicy": "IfNeeded",
    });
    let mut differs = differences(entry, &expected);
    let own_namespace = installed.service.as_ref().map(|service| service.namespace.as_str());
    if !is_selective(entry.get("namespaceSelector").unwrap_or(&Value::Null), own_namespace) {
        differs.push("namespaceSelector");
    }
    if !is_one_of(entry, "failurePolicy", &["Ignore", "Fail"]) {
        differs.push("failurePolicy");
    }
    differs.extend(common_differences(entry));
    differs
}

/// The fields that differ from `expected`; null, missing and empty are equal.
fn differences(entry: &Value, expected: &Value) -> Vec<&'static str> {
    const FIELDS: [&str; 5] =
        ["namespaceSelector", "objectSelector", "matchConditions", "failurePolicy", "reinvocationPolicy"];
    let is_empty = |value: &Value| match value {
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        other => other.is_null(),
    };
    let differs = |field: &&str| {
        let found = entry.get(field).unwrap_or(&Value::Null);
        expected.get(field).is_some_and(|expected| found != expected && !(is_empty(found) && is_empty(expected)))
    };
    FIELDS.into_iter().filter(differs).collect()
}

/// The fields that differ among those that are equal in both entries.
fn common_differences(entry: &Value) -> Vec<&'static str> {
    let rules = json!([{
        "apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"], "scope": "Namespaced",
    }]);
    let text = |pointer: &str| entry.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    let is_service = text("/clientConfig/service/path") == "/mutate"
        && !text("/clientConfig/service/name").is_empty()
        && entry.pointer("/clientConfig/url").is_none();
    let timeout = entry.get("timeoutSeconds").and_then(Value::as_u64);
    [
        ("rules", entry.get("rules") == Some(&rules)),
        ("matchPolicy", is_one_of(entry, "matchPolicy", &["Equivalent"])),
        ("admissionReviewVersions", entry.get("admissionReviewVersions") == Some(&json!(["v1"]))),
        ("sideEffects", is_one_of(entry, "sideEffects", &["None", "NoneOnDryRun"])),
        // The range that the chart and the API server accept.
        ("timeoutSeconds", timeout.is_some_and(|seconds| (1..=30).contains(&seconds))),
        ("clientConfig", is_service),
    ]
    .into_iter()
    .filter_map(|(field, is_right)| (!is_right).then_some(field))
    .collect()
}

fn is_one_of(entry: &Value, field: &str, words: &[&str]) -> bool {
    entry.get(field).and_then(Value::as_str).is_some_and(|found| words.contains(&found))
}

/// Whether a selector requires a label, the default one or that of `webhook.namespaceSelector`, and excludes at least the
/// namespaces that the chart always excludes. `own` is the webhook's namespace, if it is known.
fn is_selective(selector: &Value, own: Option<&str>) -> bool {
    let requires_label =
        selector.get("matchLabels").and_then(Value::as_object).is_some_and(|labels| !labels.is_empty());
    let expressions = selector.get("matchExpressions").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let excludes = |expression: &&Value| {
        let is = |field: &str, word: &str| expression.get(field).is_some_and(|found| found == word);
        let names = expression.get("values").and_then(Value::as_array);
        let excludes = |name: &&str| names.is_some_and(|names| names.iter().any(|found| found == name));
        is("key", NAME) && is("operator", "NotIn") && EXCLUDED.iter().chain(&own).all(excludes)
    };
    let excluding = expressions.iter().filter(excludes).count();
    excluding > 0 && (requires_label || expressions.len() > excluding)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{CANARY, check, differences_of_canary, differences_of_pods};
    use crate::command::check::report::Report;
    use crate::inspect::installation::{ENTRY, Installed};

    /// The configuration as `manifests/install.yaml` has it.
    fn configuration() -> Value {
        let manifests = concat!(env!("CARGO_MANIFEST_DIR"), "/manifests/install.yaml");
        let manifests = std::fs::read_to_string(manifests).unwrap();
        let is_ours = |document: &&str| document.contains("\nkind: MutatingWebhookConfiguration\n");
        let document = manifests.split("\n---\n").find(is_ours).unwrap();
        crate::yaml::nodes(document).next().unwrap().unwrap().into_value().unwrap()
    }

    fn installed(configuration: Value) -> Installed {
        Installed::from_configuration(configuration).unwrap()
    }

    fn failures(installed: &Installed) -> usize {
        let mut report = Report::default();
        check(installed, &mut report);
        report.failures()
    }

    #[test]
    fn the_charts_own_configuration_passes_and_each_mutation_fails() {
        let shipped = configuration();
        let none: [&str; 0] = [];
        assert_eq!(differences_of_pods(&installed(shipped.clone())), none);
        assert_eq!(differences_of_canary(&installed(shipped.clone())), none);
        assert_eq!(failures(&installed(shipped.clone())), 0);

        let never = json!({"matchLabels": {"no-pod": "has-it"}});
        for (pointer, value) in [
            ("/rules/0/operations", json!(["UPDATE"])),
            ("/rules/0/resources", json!(["deployments"])),
            ("/rules/0/apiGroups", json!(["apps"])),
            ("/rules/0/scope", json!("Cluster")),
            ("/rules", json!([])),
            ("/matchPolicy", json!("Exact")),
            ("/admissionReviewVersions", json!(["v1beta1"])),
            ("/namespaceSelector", json!({})),
            ("/namespaceSelector/matchLabels", json!({})),
            ("/objectSelector", never),
            ("/matchConditions", json!([{"name": "never", "expression": "false"}])),
            ("/reinvocationPolicy", json!("Sometimes")),
            ("/failurePolicy", json!("Perhaps")),
            ("/sideEffects", json!("Some")),
            ("/timeoutSeconds", json!(0)),
            ("/timeoutSeconds", json!(31)),
            ("/clientConfig/service/path", json!("/wrong")),
            ("/clientConfig/service/name", json!("another")),
            ("/clientConfig/service/port", json!(8443)),
            ("/clientConfig/service", Value::Null),
            ("/clientConfig/url", json!("https://elsewhere")),
        ] {
            for index in 0..2 {
                let configuration = mutated(&shipped, index, pointer, &value);
                let found = installed(configuration);
                assert_eq!(failures(&found), 1, "{index} {pointer} {value}");
            }
        }
        let excluded = "/namespaceSelector/matchExpressions/0";
        for (pointer, value) in [
            ("/matchConditions/0/expression".to_owned(), json!("false")),
            ("/matchConditions/1/name".to_owned(), json!("another")),
            ("/matchConditions/1".to_owned(), json!({"name": "not-opted-out", "expression": "true"})),
            ("/namespaceSelector/matchExpressions".to_owned(), json!([])),
            (format!("{excluded}/operator"), json!("In")),
            (format!("{excluded}/key"), json!("another")),
            (format!("{excluded}/values"), json!(["kube-system", "kube-public", "kube-node-lease"])),
        ] {
            let found = installed(mutated(&shipped, 0, &pointer, &value));
            assert_eq!((failures(&found), differences_of_canary(&found)), (1, vec![]), "{pointer} {value}");
        }
        let more = json!(["dynamo-cache", "kube-system", "kube-public", "kube-node-lease", "mine"]);
        assert_eq!(differences_of_pods(&installed(mutated(&shipped, 0, &format!("{excluded}/values"), &more))), none);
        let selector = mutated(&shipped, 0, "/namespaceSelector/matchLabels", &json!({"team": "serving"}));
        assert_eq!(failures(&installed(selector)), 0, "webhook.namespaceSelector of the chart");
        let also = mutated(&shipped, 0, "/sideEffects", &json!("NoneOnDryRun"));
        assert_eq!(failures(&installed(also)), 0);
        let fails = mutated(&shipped, 0, "/failurePolicy", &json!("Fail"));
        assert_eq!(failures(&installed(fails)), 0);

        let mut without = shipped;
        without["webhooks"].as_array_mut().unwrap().retain(|entry| entry["name"] != CANARY);
        assert_eq!(failures(&installed(without)), 1);
    }

    /// The configuration with a value in an entry replaced.
    fn mutated(shipped: &Value, index: usize, pointer: &str, value: &Value) -> Value {
        let mut configuration = shipped.clone();
        let names = [ENTRY, CANARY];
        let entry = &mut configuration["webhooks"][index];
        assert_eq!(entry["name"], names[index]);
        let (parent, key) = pointer.rsplit_once('/').unwrap();
        let parent = entry.pointer_mut(parent).unwrap();
        match key.parse::<usize>() {
            Ok(position) if parent.is_array() => parent[position] = value.clone(),
            _ => parent[key] = value.clone(),
        }
        configuration
    }
}
