//! Both entries of the configuration, held against what the chart ships.

use serde_json::{Value, json};

use crate::command::check::report::Report;
use crate::inspect::installation::{ENTRY, Installed};

/// The entry that `check` alone makes the API server call.
pub(super) const CANARY: &str = "canary.dynamo-cache.io";

/// The label of the pods that it selects.
pub(super) const CANARY_LABEL: &str = "dynamo-cache.io/canary";

/// The longest time-out that no person at kubectl would take for a hang.
const LONGEST_TIMEOUT: u64 = 10;

/// Namespaces of the cluster's own that are never selected, nor is that of the webhook.
const EXCLUDED: [&str; 3] = ["kube-system", "kube-public", "kube-node-lease"];

/// Checks both entries.
pub(super) fn check(installed: &Installed, report: &mut Report) {
    let named = |name: &'static str| move |field: &'static str| format!("{name} {field}");
    let mut differs: Vec<_> = of_pods(installed).into_iter().map(named(ENTRY)).collect();
    match entry(installed, CANARY) {
        None => differs.push(format!("entry {CANARY} is missing")),
        Some(canary) => {
            differs.extend(of_canary(installed).into_iter().map(named(CANARY)));
            // An answer to the canary says nothing of pods where they are sent elsewhere; the certificate's line compares
            // the bundles.
            let service = |entry: &Value| entry.pointer("/clientConfig/service").cloned();
            if service(canary) != service(&installed.entry) {
                differs.push(format!("the Service of {CANARY} is another one than that of {ENTRY}"));
            }
        }
    }
    if !differs.is_empty() {
        let text = format!("configuration {} is not as shipped: {}", installed.name, differs.join("; "));
        report.bad("shipped", text, "manifests/chart has it as shipped; helm upgrade brings it back");
        return;
    }
    let timeout = installed.entry.get("timeoutSeconds").and_then(Value::as_u64).unwrap_or_default();
    if installed.entry.get("failurePolicy").is_some_and(|policy| policy == "Fail") {
        let text = "failurePolicy is Fail: pods do not start where the webhook does not answer";
        report.warning("shipped", text, "guard.mode: Deny of the chart refuses only components, and cannot deadlock");
    } else if timeout > LONGEST_TIMEOUT {
        let text = format!("timeoutSeconds is {timeout}: so long may a pod wait for a webhook that does not answer");
        report.warning("shipped", text, "Set webhook.timeoutSeconds of the chart to 3");
    } else {
        report.good("shipped", "rules, selectors, match conditions and time-out are as shipped");
    }
}

/// An entry of the configuration by its name.
pub(super) fn entry<'i>(installed: &'i Installed, name: &str) -> Option<&'i Value> {
    let entries = installed.configuration.get("webhooks")?.as_array()?;
    entries.iter().find(|entry| entry.get("name").is_some_and(|found| found == name))
}

/// What differs in the canary's entry, all of it where there is none: what the API server says of a canary depends on it.
pub(super) fn of_canary(installed: &Installed) -> Vec<&'static str> {
    let entry = entry(installed, CANARY).unwrap_or(&Value::Null);
    let expected = json!({
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": installed.namespace}},
        "objectSelector": {"matchExpressions": [{"key": CANARY_LABEL, "operator": "Exists"}]},
        "matchConditions": null,
        "failurePolicy": "Fail",
        "reinvocationPolicy": "Never",
    });
    let mut differs = differences(entry, &expected);
    differs.extend(in_common(entry));
    differs
}

fn of_pods(installed: &Installed) -> Vec<&'static str> {
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
    if !selects_some(entry.get("namespaceSelector").unwrap_or(&Value::Null), &installed.namespace) {
        differs.push("namespaceSelector");
    }
    if !is_one_of(entry, "failurePolicy", &["Ignore", "Fail"]) {
        differs.push("failurePolicy");
    }
    differs.extend(in_common(entry));
    differs
}

/// The fields that differ; what is null may as well be missing or empty.
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

/// What differs of that which the entries have in common.
fn in_common(entry: &Value) -> Vec<&'static str> {
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
        // What the chart takes, and the API server.
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

/// Whether a selector asks for something, the label or what `webhook.namespaceSelector` of the chart says, and excludes at
/// least the namespaces that the chart always excludes.
fn selects_some(selector: &Value, own: &str) -> bool {
    let asks_for_labels =
        selector.get("matchLabels").and_then(Value::as_object).is_some_and(|labels| !labels.is_empty());
    let expressions = selector.get("matchExpressions").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let excludes = |expression: &&Value| {
        let is = |field: &str, word: &str| expression.get(field).is_some_and(|found| found == word);
        let names = expression.get("values").and_then(Value::as_array);
        let excludes = |name: &&str| names.is_some_and(|names| names.iter().any(|found| found == name));
        is("key", "kubernetes.io/metadata.name")
            && is("operator", "NotIn")
            && EXCLUDED.iter().chain([&own]).all(excludes)
    };
    let excluding = expressions.iter().filter(excludes).count();
    excluding > 0 && (asks_for_labels || expressions.len() > excluding)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{CANARY, check, of_canary, of_pods};
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
        Installed::of(configuration).unwrap()
    }

    fn failures(installed: &Installed) -> usize {
        let mut report = Report::default();
        check(installed, &mut report);
        report.failures()
    }

    #[test]
    fn what_the_chart_ships_is_as_shipped_and_each_mutation_turns() {
        let shipped = configuration();
        let none: [&str; 0] = [];
        assert_eq!(of_pods(&installed(shipped.clone())), none);
        assert_eq!(of_canary(&installed(shipped.clone())), none);
        assert_eq!(failures(&installed(shipped.clone())), 0);

        let never = json!({"matchLabels": {"nobody": "has"}});
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
            assert_eq!((failures(&found), of_canary(&found)), (1, vec![]), "{pointer} {value}");
        }
        let more = json!(["dynamo-cache", "kube-system", "kube-public", "kube-node-lease", "mine"]);
        assert_eq!(of_pods(&installed(mutated(&shipped, 0, &format!("{excluded}/values"), &more))), none);
        let chosen = mutated(&shipped, 0, "/namespaceSelector/matchLabels", &json!({"team": "serving"}));
        assert_eq!(failures(&installed(chosen)), 0, "webhook.namespaceSelector of the chart");
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
