//! Claims with little space: a model that does not fit, and one that fills up while a worker uses it.

use std::fs;
use std::process::Command;

use serde_json::{Value, json};

use super::cluster::{FOLDER, ROOT, wait_for};
use super::hub::{Hub, MODEL};
use super::namespace::Namespace;
use super::pod::{self, PYTHON};
use super::prometheus;
use super::release;
use super::volume::{Kind, Volume};

/// An engine that has compiled and serves, until somebody ends it.
const SERVES: &str = r#"mkdir -p "$VLLM_CACHE_ROOT"; echo compiled >"$VLLM_CACHE_ROOT/kernel"; exec sleep infinity"#;

#[test]
fn a_download_that_does_not_fit_writes_nothing_and_says_how_much_is_missing() {
    let _running = release::running();
    let namespace = Namespace::opted_in(&[]);
    namespace.small_claim(&Volume::prepared("model-cache"), "128k");
    let hub = Hub::serve(&namespace);
    let place = ["--endpoint", &hub.endpoint, "--image", PYTHON, "-n", &namespace.name];
    let download = [&["download", MODEL, "--apply", "--wait", "--timeout", "5m"], place.as_slice()].concat();
    let said = namespace.cluster.dynamo_cache(&download);
    let last = said.errors.lines().last().unwrap_or_default();
    assert_eq!(said.code, Some(1), "{}", said.errors);
    for words in [
        "Error: Qwen/Qwen3-0.6B needs 256 KiB more, and 128 KiB are free on the claim: ",
        "enlarge it, or remove from it what is not needed",
    ] {
        assert!(last.contains(words), "no '{words}' in: {last}");
    }
    assert_eq!(hub.given(), 0, "{}", hub.log());
}

#[test]
fn a_claim_that_fills_up_is_said_by_check_and_by_the_alert_as_it_was_measured() {
    let _running = release::running();
    let namespace = Namespace::opted_in(&[]);
    namespace.claims(&[Volume::proven("model-cache")]);
    // The kubelet measures no volume that is a hostPath.
    let volume = Volume { kind: Kind::Local, ..Volume::proven("compilation-cache") };
    namespace.small_claim(&volume, "4m");
    let mut worker = pod::engine("worker", SERVES);
    worker["spec"]["terminationGracePeriodSeconds"] = json!(1);
    namespace.create(&worker);
    namespace.kubectl(&["wait", "--for=condition=Ready", "pod/worker", "--timeout=3m"]).unwrap();

    says(&namespace, "ok: ", " of 4.1 MB free");
    let before = measured(&namespace);
    namespace.fill("compilation-cache", 100);
    says(&namespace, "warning: ", "nearly full, 102 kB of 4.1 MB free");
    // What the kubelet says to Prometheus it has from the same measure.
    let after = measured(&namespace);
    assert_fires("before", &namespace, &before, false);
    assert_fires("after", &namespace, &after, true);
}

/// Waits for a line of `check` about the space of the compile cache: a kubelet measures once a minute.
#[track_caller]
fn says(namespace: &Namespace, state: &str, end: &str) {
    wait_for(&format!("check to say '{state}…{end}'"), || {
        let said = namespace.cluster.dynamo_cache(&["check", "-n", &namespace.name, "-o", "json"]);
        let lines: Vec<Value> = serde_json::from_str(&said.output).map_err(|why| format!("{why}: {}", said.errors))?;
        let of_space = |line: &&Value| line["check"] == "compile-space";
        let line = lines.iter().find(of_space).ok_or("no line about the space")?;
        let line = format!("{}: {}", line["state"].as_str().unwrap(), line["text"].as_str().unwrap());
        if line.starts_with(state) && line.ends_with(end) { Ok(()) } else { Err(line) }
    });
}

/// The series of the node's kubelet about the compile claim, each with its value.
fn measured(namespace: &Namespace) -> Vec<(String, f64)> {
    let path = format!("/api/v1/nodes/{}/proxy/metrics", namespace.cluster.host());
    let page = namespace.cluster.kubectl(&["get", "--raw", &path]).unwrap();
    let claim = format!("namespace=\"{}\",persistentvolumeclaim=\"compilation-cache\"", namespace.name);
    let lines = page.lines().filter(|line| line.starts_with("kubelet_volume_stats_") && line.contains(&claim));
    let series: Vec<_> = lines
        .map(|line| {
            let (series, value) = line.rsplit_once(' ').unwrap();
            (series.to_owned(), value.parse().unwrap())
        })
        .collect();
    assert!(!series.is_empty(), "nothing about {claim} in\n{page}");
    series
}

/// Puts the chart's alert to what a kubelet measured, beside what kube-state-metrics says of the worker.
#[track_caller]
fn assert_fires(name: &str, namespace: &Namespace, measured: &[(String, f64)], fires: bool) {
    let rules = format!("{ROOT}/manifests/chart/files/alerts.yaml");
    let group: Value = serde_saphyr::from_str(&fs::read_to_string(&rules).unwrap()).unwrap();
    let mut all = group["groups"][0]["rules"].as_array().unwrap().iter();
    let alert = all.find(|rule| rule["alert"] == "DynamoCacheClaimFull").unwrap();
    let labels = json!({
        "severity": "warning", "namespace": namespace.name, "persistentvolumeclaim": "compilation-cache",
    });
    let alerts =
        if fires { json!([{"exp_labels": labels, "exp_annotations": alert["annotations"]}]) } else { json!([]) };
    let mounted = namespace.read(&["pod", "worker"])["spec"]["volumes"].as_array().unwrap().clone();
    let mounted = mounted.iter().filter_map(|volume| {
        let claim = volume.pointer("/persistentVolumeClaim/claimName")?.as_str()?;
        let volume = volume["name"].as_str()?;
        Some(json!({
            "series": format!(
                "kube_pod_spec_volumes_persistentvolumeclaims_info{{namespace=\"{}\",pod=\"worker\",volume=\"{volume}\",\
                 persistentvolumeclaim=\"{claim}\"}}",
                namespace.name
            ),
            "values": "1x30",
        }))
    });
    let series = measured.iter().map(|(series, value)| json!({"series": series, "values": format!("{value}x30")}));
    let tests = json!({"rule_files": [rules], "tests": [{
        "interval": "1m",
        "input_series": series.chain(mounted).collect::<Vec<_>>(),
        "alert_rule_test": [{
            "alertname": "DynamoCacheClaimFull", "eval_time": "15m",
            "exp_alerts": alerts,
        }],
    }]});
    let file = format!("{FOLDER}/{name}-alert.yaml");
    fs::write(&file, tests.to_string()).unwrap();
    let said = Command::new(prometheus::program("promtool")).args(["test", "rules", &file]).output().unwrap();
    let [out, err] = [&said.stdout, &said.stderr].map(|text| String::from_utf8_lossy(text));
    assert!(said.status.success(), "{out}{err}\n{tests:#}");
}
