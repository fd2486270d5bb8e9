//! Values of the chart: each is described, validated, and has an effect on what Helm renders.

use std::fmt::Write as _;
use std::fs;

use dynamo_cache::config::Config;
use serde_json::{Value, json};

use crate::harness::ROOT;
use crate::harness::control_plane::shared;
use crate::harness::program::updates;

const CHART: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/manifests/chart");

/// What the chart renders to with more values, by the newest and the oldest Helm alike: its objects, or why Helm refuses them.
pub(super) fn template(values: &str) -> Result<Vec<Value>, String> {
    template_as("dynamo-cache", values)
}

/// The same for a release of another name.
pub(super) fn template_as(release: &str, values: &str) -> Result<Vec<Value>, String> {
    let file = shared().file(values);
    let arguments = [release, CHART, "--namespace=dynamo-cache", "--api-versions=monitoring.coreos.com/v1"];
    let arguments = [&["template"], arguments.as_slice(), &["--values", &file]].concat();
    let rendered = shared().helm(&arguments).map(|said| documents(&said.out));
    let of_the_oldest = shared().oldest_helm(&arguments).map(|said| documents(&said.out));
    match (&rendered, &of_the_oldest) {
        (Ok(newest), Ok(oldest)) => assert_eq!(newest, oldest, "{values}"),
        (Err(_), Err(_)) => {}
        _ => panic!("{values}: one Helm takes it, the other does not: {rendered:?} {of_the_oldest:?}"),
    }
    rendered
}

fn documents(rendered: &str) -> Vec<Value> {
    let documents = rendered.split("\n---\n").filter(|document| document.contains("kind: "));
    documents.map(|document| serde_saphyr::from_str(document).unwrap()).collect()
}

/// The value at a JSON pointer of the first object of a kind.
pub(super) fn at(objects: &[Value], kind: &str, place: &str) -> Value {
    let object = objects.iter().find(|object| object["kind"] == kind);
    object.and_then(|object| object.pointer(place)).cloned().unwrap_or_default()
}

pub(super) const POD: &str = "/spec/template/spec";

/// Lints and renders the chart with each of some values, and looks for what they bring.
fn each_is_there(switches: &[(&str, (&str, String), Value)]) {
    for (values, (kind, place), expected) in switches {
        let objects = template(values).unwrap_or_else(|why| panic!("{values}: {why}"));
        assert_eq!(at(&objects, kind, place), *expected, "{values}: {kind} {place}");
        let file = shared().file(values);
        shared().helm(&["lint", "--strict", CHART, "--values", &file]).unwrap_or_else(|why| panic!("{values}: {why}"));
    }
}

#[test]
fn helm_lints_and_renders_the_chart_with_every_switch_of_how_it_runs() {
    let pod = |place: &str| ("Deployment", format!("{POD}{place}"));
    let container = |place: &str| pod(&format!("/containers/0{place}"));
    let spread =
        json!([{"topologyKey": "topology.kubernetes.io/zone", "maxSkew": 1, "whenUnsatisfiable": "ScheduleAnyway"}]);
    let toleration = json!([{"key": "gpu", "operator": "Exists"}]);
    let affinity = json!({"nodeAffinity": {}});
    let user = json!({"runAsUser": 1000});
    let resources = json!({"requests": {"cpu": "1"}, "limits": {"memory": "1Gi"}});
    let digest = format!("sha256:{}", "0".repeat(64));
    let switches = [
        ("{replicas: 3}", ("Deployment", "/spec/replicas".to_owned()), json!(3)),
        ("{hostNetwork: true, ports: {webhook: 10260}}", pod("/hostNetwork"), json!(true)),
        ("{hostNetwork: true, ports: {webhook: 10260}}", pod("/dnsPolicy"), json!("ClusterFirstWithHostNet")),
        ("{hostNetwork: true, dnsPolicy: Default, ports: {webhook: 10260}}", pod("/dnsPolicy"), json!("Default")),
        ("{dnsPolicy: None, dnsConfig: {nameservers: [10.0.0.1]}}", pod("/dnsConfig/nameservers/0"), json!("10.0.0.1")),
        ("{}", pod("/dnsPolicy"), Value::Null),
        ("{priorityClassName: high}", pod("/priorityClassName"), json!("high")),
        ("{nodeSelector: {disk: fast}}", pod("/nodeSelector/disk"), json!("fast")),
        ("{tolerations: [{key: gpu, operator: Exists}]}", pod("/tolerations"), toleration),
        ("{affinity: {nodeAffinity: {}}}", pod("/affinity"), affinity),
        ("{}", pod("/topologySpreadConstraints/0/topologyKey"), json!("kubernetes.io/hostname")),
        (
            "{topologySpreadConstraints: [{topologyKey: topology.kubernetes.io/zone, maxSkew: 1, whenUnsatisfiable: ScheduleAnyway}]}",
            pod("/topologySpreadConstraints"),
            spread,
        ),
        ("{podSecurityContext: {runAsUser: 1000}}", pod("/securityContext/runAsUser"), user["runAsUser"].clone()),
        ("{imagePullSecrets: [{name: key}]}", pod("/imagePullSecrets"), json!([{"name": "key"}])),
        ("{serviceAccount: {create: false, name: mine}}", pod("/serviceAccountName"), json!("mine")),
        ("{serviceAccount: {create: false, name: mine}}", ("ServiceAccount", String::new()), Value::Null),
        (
            "{serviceAccount: {annotations: {a: b}}}",
            ("ServiceAccount", "/metadata/annotations/a".to_owned()),
            json!("b"),
        ),
        ("{podLabels: {a: b}}", ("Deployment", "/spec/template/metadata/labels/a".to_owned()), json!("b")),
        ("{podAnnotations: {a: b}}", ("Deployment", "/spec/template/metadata/annotations/a".to_owned()), json!("b")),
        (
            "{podAnnotations: {prometheus.io/port: '1'}, metrics: {scrape: none}}",
            ("Deployment", "/spec/template/metadata/annotations/prometheus.io~1port".to_owned()),
            json!("1"),
        ),
        (
            "{resources: {requests: {cpu: '1'}, limits: {memory: 1Gi}}}",
            container("/resources/limits"),
            resources["limits"].clone(),
        ),
        ("{image: {repository: mine, tag: v2}}", container("/image"), json!("mine:v2")),
        (
            "{image: {repository: 'registry.example:5000/mine', tag: v2}}",
            container("/image"),
            json!("registry.example:5000/mine:v2"),
        ),
        (
            &format!("{{image: {{digest: '{digest}'}}}}"),
            container("/image"),
            json!(format!("ghcr.io/dynamo-cache/dynamo-cache@{digest}")),
        ),
        ("{image: {pullPolicy: Always}}", container("/imagePullPolicy"), json!("Always")),
        ("{logLevel: warn}", container("/env/0"), json!({"name": "RUST_LOG", "value": "warn"})),
        ("{logLevel: debug}", container("/env/0/value"), json!("info,dynamo_cache=debug")),
        ("{logLevel: info}", container("/env"), Value::Null),
        ("{ports: {admin: 9090}}", container("/ports/1/containerPort"), json!(9090)),
    ];
    each_is_there(&switches);
}

#[test]
fn helm_lints_and_renders_the_chart_with_every_switch_of_its_webhooks() {
    let selector = json!({"matchLabels": {"team": "serving"}});
    let switches = [
        ("{service: {port: 8443}}", ("Service", "/spec/ports/0/port".to_owned()), json!(8443)),
        (
            "{service: {port: 8443}}",
            ("MutatingWebhookConfiguration", "/webhooks/0/clientConfig/service/port".to_owned()),
            json!(8443),
        ),
        (
            "{webhook: {failurePolicy: Fail}}",
            ("MutatingWebhookConfiguration", "/webhooks/0/failurePolicy".to_owned()),
            json!("Fail"),
        ),
        (
            "{webhook: {timeoutSeconds: 9}}",
            ("MutatingWebhookConfiguration", "/webhooks/0/timeoutSeconds".to_owned()),
            json!(9),
        ),
        (
            "{webhook: {namespaceSelector: {matchLabels: {team: serving}}}}",
            ("MutatingWebhookConfiguration", "/webhooks/0/namespaceSelector/matchLabels".to_owned()),
            selector["matchLabels"].clone(),
        ),
        (
            "{webhook: {namespaceSelector: {matchLabels: {team: serving}}}}",
            ("ValidatingAdmissionPolicy", "/spec/matchConstraints/namespaceSelector/matchLabels".to_owned()),
            selector["matchLabels"].clone(),
        ),
        (
            "{}",
            ("MutatingWebhookConfiguration", "/metadata/annotations/admissions.enforcer~1disabled".to_owned()),
            json!("true"),
        ),
        (
            "{webhook: {annotations: null}}",
            ("MutatingWebhookConfiguration", "/metadata/annotations".to_owned()),
            Value::Null,
        ),
        (
            "{guard: {mode: Deny}}",
            ("ValidatingAdmissionPolicyBinding", "/spec/validationActions/0".to_owned()),
            json!("Deny"),
        ),
        ("{guard: {mode: Off}}", ("ValidatingAdmissionPolicy", String::new()), Value::Null),
        ("{guard: {mode: Off}}", ("ValidatingAdmissionPolicyBinding", String::new()), Value::Null),
        ("{guard: {mode: 'Off'}}", ("ValidatingAdmissionPolicy", String::new()), Value::Null),
        ("{networkPolicy: {enabled: true}}", ("NetworkPolicy", "/spec/egress/0/ports/1/port".to_owned()), json!(6443)),
        ("{}", ("NetworkPolicy", String::new()), Value::Null),
        (
            "{networkPolicy: {enabled: true}}",
            ("NetworkPolicy", "/spec/ingress".to_owned()),
            json!([
                {"ports": [{"port": "admin", "protocol": "TCP"}]},
                {"ports": [{"port": "webhook", "protocol": "TCP"}]},
            ]),
        ),
        (
            "{networkPolicy: {enabled: true, webhookFrom: [{ipBlock: {cidr: 192.0.2.0/28}}, {ipBlock: {cidr: '2001:db8::/64'}}], \
             adminFrom: [{podSelector: {}, namespaceSelector: {matchLabels: {team: watch}}}]}}",
            ("NetworkPolicy", "/spec/ingress".to_owned()),
            json!([
                {
                    "ports": [{"port": "admin", "protocol": "TCP"}],
                    "from": [{"podSelector": {}, "namespaceSelector": {"matchLabels": {"team": "watch"}}}],
                },
                {
                    "ports": [{"port": "webhook", "protocol": "TCP"}],
                    "from": [{"ipBlock": {"cidr": "192.0.2.0/28"}}, {"ipBlock": {"cidr": "2001:db8::/64"}}],
                },
            ]),
        ),
        ("{}", ("PodDisruptionBudget", "/spec/maxUnavailable".to_owned()), json!(1)),
        ("{fullnameOverride: other}", ("Deployment", "/metadata/name".to_owned()), json!("other")),
        (
            "{nameOverride: other}",
            ("Deployment", "/metadata/labels/app.kubernetes.io~1name".to_owned()),
            json!("other"),
        ),
    ];
    each_is_there(&switches);
}

#[test]
fn a_switch_of_the_program_is_an_argument_of_the_program() {
    for (values, argument) in [
        ("{extraArgs: [--shutdown-delay=1s]}", "--shutdown-delay=1s"),
        ("{logFormat: json}", "--log-format=json"),
        ("{listenAddress: '[::]'}", "--listen=[::]:10250"),
        ("{metrics: {podsWithoutStatus: false}}", "--no-pod-count"),
        ("{webhook: {namespaceSelector: {matchLabels: {team: serving}}}}", "--namespace-selector=team=serving"),
        (
            "{webhook: {namespaceSelector: {matchExpressions: [{key: a, operator: In, values: [b, c]}, {key: d, operator: Exists}, \
             {key: e, operator: DoesNotExist}, {key: f, operator: NotIn, values: [g]}]}}}",
            "--namespace-selector=a in (b,c),d,!e,f notin (g)",
        ),
    ] {
        let arguments = at(&template(values).unwrap(), "Deployment", &format!("{POD}/containers/0/args"));
        assert!(arguments.as_array().unwrap().contains(&json!(argument)), "{values}: {arguments}");
    }
}

#[test]
fn mode_staged_has_the_image_of_the_release_unless_a_value_names_another() {
    let digest = format!("sha256:{}", "0".repeat(64));
    let release = concat!("ghcr.io/dynamo-cache/dynamo-cache:", env!("CARGO_PKG_VERSION"));
    for (values, image) in [
        ("{}", release),
        ("{config: null}", release),
        ("{config: {staging: null}}", release),
        ("{config: {compileCache: {mode: staged}}, image: {repository: mine, tag: v2}}", "mine:v2"),
        (
            &format!("{{image: {{repository: 'registry:5000/mine', digest: '{digest}'}}}}"),
            &*format!("registry:5000/mine@{digest}"),
        ),
        ("{config: {staging: {image: 'other:1', resources: {limits: {cpu: 2}}}}}", "other:1"),
    ] {
        let file = at(&template(values).unwrap(), "ConfigMap", "/data/config.yaml");
        let config = Config::read(file.as_str().unwrap()).unwrap_or_else(|error| panic!("{values}: {error}"));
        assert_eq!(config.settings.staging.image(), image, "{values}");
    }
    for values in ["{config: {staging: {image: 'A B'}}}", "{config: {staging: {resources: {limits: {cpu: lots}}}}}"] {
        assert!(template(values).is_err(), "{values}");
    }
}

#[test]
fn alerts_and_dashboard_come_with_their_switches_and_are_the_files() {
    let neither = template("{}").unwrap();
    assert_eq!(at(&neither, "PrometheusRule", ""), Value::Null);
    let name = |object: &Value| object["metadata"]["name"].as_str().unwrap_or_default().to_owned();
    assert!(!neither.iter().any(|object| name(object).ends_with("-dashboard")));

    let switches =
        "{fullnameOverride: ours, metrics: {alerts: true, alertLabels: {release: prometheus}, dashboard: true}}";
    let both = template(switches).unwrap();
    shared().helm(&["lint", "--strict", CHART, "--values", &shared().file(switches)]).unwrap();
    let read = |file: &str| fs::read_to_string(format!("{CHART}/files/{file}")).unwrap();
    let alerts: Value = serde_saphyr::from_str(&read("alerts.yaml")).unwrap();
    assert_eq!(at(&both, "PrometheusRule", "/spec"), alerts);
    assert_eq!(at(&both, "PrometheusRule", "/metadata/labels/release"), "prometheus");
    let rule = both.iter().find(|object| object["kind"] == "PrometheusRule").unwrap();
    let dashboard = both.iter().find(|object| name(object) == "ours-dashboard").unwrap();
    let text = dashboard["data"]["dynamo-cache.json"].as_str().unwrap();
    let [rendered, file] = [text, &read("dashboard.json")].map(|text| serde_json::from_str::<Value>(text).unwrap());
    assert_eq!(rendered, file);
    for panel in file["panels"].as_array().unwrap() {
        assert!(panel["description"].as_str().is_some_and(|words| !words.is_empty()), "{panel:#}");
    }
    assert_eq!(dashboard["kind"], "ConfigMap");
    assert_eq!(dashboard["metadata"]["labels"]["grafana_dashboard"], "1");
    assert_eq!(name(rule), "ours");
    for object in [rule, dashboard] {
        assert_eq!(object["metadata"]["namespace"], "dynamo-cache", "{object:#}");
        assert_eq!(object["metadata"]["labels"]["app.kubernetes.io/instance"], "dynamo-cache", "{object:#}");
    }
}

/// A value of the chart.
struct Row {
    name: String,
    takes: String,
    default: Value,
    meaning: String,
}

/// What a schema takes, in words.
fn takes(schema: &Value) -> String {
    if let Some(words) = schema["enum"].as_array() {
        let word = |word: &Value| word.as_str().filter(|word| !word.is_empty()).map(str::to_owned);
        return words.iter().filter_map(word).collect::<Vec<_>>().join(", ");
    }
    match (schema["type"].as_str(), schema["minimum"].as_i64(), schema["maximum"].as_i64()) {
        (Some("boolean"), ..) => "true or false".to_owned(),
        (Some("integer"), Some(least), Some(most)) => format!("{least} to {most}"),
        (Some("integer"), ..) => "a number".to_owned(),
        (Some("array"), ..) => "a list".to_owned(),
        (Some("object"), ..) => "an object".to_owned(),
        _ => "text".to_owned(),
    }
}

/// The values below a schema, each with the default that `values.yaml` gives it.
fn list(whole: &Value, schema: &Value, defaults: &Value, prefix: &str, rows: &mut Vec<Row>) {
    for (key, value) in schema["properties"].as_object().unwrap() {
        let name = format!("{prefix}{key}");
        let meaning = value["description"].as_str().unwrap_or_else(|| panic!("{name} has no description")).to_owned();
        let default = defaults[key].clone();
        if value["properties"].is_object() && default != json!({}) {
            list(whole, value, &default, &format!("{name}."), rows);
        } else if key != "global" {
            let named = value["$ref"].as_str().and_then(|place| whole.pointer(place.strip_prefix('#')?));
            rows.push(Row { takes: takes(named.unwrap_or(value)), name, default, meaning });
        }
    }
}

#[test]
fn the_readme_of_the_chart_lists_every_value_with_its_default_and_meaning() {
    let read = |file: &str| fs::read_to_string(format!("{CHART}/{file}")).unwrap();
    let schema: Value = serde_json::from_str(&read("values.schema.json")).unwrap();
    let defaults: Value = serde_saphyr::from_str(&read("values.yaml")).unwrap();
    let mut found = Vec::new();
    list(&schema, &schema, &defaults, "", &mut found);
    let mut table = "| value | takes | default | meaning |\n|---|---|---|---|\n".to_owned();
    for Row { name, takes, default, meaning } in found {
        let default = match &default {
            Value::Null => "–".to_owned(),
            Value::String(text) if text.is_empty() => "–".to_owned(),
            Value::String(text) => format!("`{text}`"),
            other => format!("`{other}`"),
        };
        writeln!(table, "| `{name}` | {takes} | {default} | {meaning} |").unwrap();
    }
    let readme = read("README.md");
    let (begin, end) = ("<!-- values: begin -->\n", "<!-- values: end -->");
    let (before, rest) = readme.split_once(begin).expect("the README has the mark where the table begins");
    let (written, after) = rest.split_once(end).expect("the README has the mark where the table ends");
    if updates() {
        fs::write(format!("{ROOT}/manifests/chart/README.md"), format!("{before}{begin}{table}{end}{after}")).unwrap();
    } else {
        assert!(
            written == table,
            "manifests/chart/README.md is out of date: UPDATE=1 tests/run the_readme_of_the_chart"
        );
    }
}
