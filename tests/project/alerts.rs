//! Promises about the alerts: when each fires, and what the documents say to do then.

use std::fs;
use std::process::{Command, Output};

use serde_json::{Value, json};

use crate::harness::ROOT;
use crate::harness::program::file;
use crate::harness::prometheus;

/// A file of the repository, as YAML.
fn read(path: &str) -> Value {
    serde_saphyr::from_str(&fs::read_to_string(format!("{ROOT}/{path}")).unwrap()).unwrap()
}

/// The rules, as the chart has them.
fn rules() -> Value {
    read("manifests/chart/files/alerts.yaml")
}

/// The rules' names, in the file's order.
fn names(rules: &Value) -> Vec<&str> {
    rules["groups"][0]["rules"].as_array().unwrap().iter().map(|rule| rule["alert"].as_str().unwrap()).collect()
}

/// Puts rules to `tests/alerts.yaml`.
fn put_to_the_test(name: &str, rules: &Value) -> Output {
    let mut tests = read("tests/alerts.yaml");
    tests["rule_files"] = json!([file(&format!("{name}-rules.yaml"), &rules.to_string())]);
    let tests = file(&format!("{name}.yaml"), &tests.to_string());
    Command::new(prometheus::program("promtool")).args(["test", "rules", &tests]).output().unwrap()
}

#[test]
fn every_alert_fires_when_it_should_and_is_silent_when_it_should() {
    let rules = rules();
    let said = put_to_the_test("alerts", &rules);
    let [out, err] = [&said.stdout, &said.stderr].map(|text| String::from_utf8_lossy(text));
    assert!(said.status.success(), "{out}{err}");
    let tests = read("tests/alerts.yaml");
    let tests = tests["tests"].as_array().unwrap().iter();
    let moments: Vec<_> = tests.flat_map(|test| test["alert_rule_test"].as_array().unwrap()).collect();
    let expected = |moment: &Value| moment["exp_alerts"].as_array().unwrap().len();
    for name in names(&rules) {
        let of_it = || moments.iter().filter(|moment| moment["alertname"] == name);
        assert!(of_it().any(|moment| expected(moment) > 0), "tests/alerts.yaml has no moment at which {name} fires");
        assert!(of_it().any(|moment| expected(moment) == 0), "tests/alerts.yaml has no moment without {name}");
    }
    let known = names(&rules);
    for moment in moments {
        let name = moment["alertname"].as_str().unwrap();
        assert!(known.contains(&name), "tests/alerts.yaml: there is no alert {name}");
    }
}

#[test]
fn an_alert_on_a_misspelt_metric_does_not_pass() {
    let rules = rules();
    for (index, name) in names(&rules).into_iter().enumerate() {
        let mut wrong = rules.clone();
        let expression = &mut wrong["groups"][0]["rules"][index]["expr"];
        let good = expression.as_str().unwrap();
        let bad = good.replace("dynamo_cache_", "dynamo_cash_").replace("fail_open_count", "fails_open_count");
        let bad = bad.replace("volume_stats_available", "volume_stat_available");
        assert_ne!(good, bad, "{name} is about a metric");
        *expression = bad.into();
        let said = put_to_the_test(&format!("misspelt-{name}"), &wrong);
        let [out, err] = [said.stdout, said.stderr].map(|text| String::from_utf8(text).unwrap());
        assert!(!said.status.success() && format!("{out}{err}").contains(name), "{name}: {out}{err}");
    }
}

#[test]
fn the_documents_table_has_every_alert_in_its_order_with_something_to_do() {
    let document = fs::read_to_string(format!("{ROOT}/docs/observability.md")).unwrap();
    let rows =
        document.lines().filter_map(|line| line.strip_prefix("| `DynamoCache")?.strip_suffix(" |")?.split_once("` | "));
    let (written, advice): (Vec<_>, Vec<_>) = rows.map(|(name, advice)| (format!("DynamoCache{name}"), advice)).unzip();
    assert_eq!(written, names(&rules()), "docs/observability.md lists the alerts of manifests/chart/files/alerts.yaml");
    assert!(advice.iter().all(|advice| !advice.trim().is_empty()), "{advice:?}");
}
