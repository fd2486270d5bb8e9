//! Prometheus: every expression of the alerts and the dashboard, on a real scrape.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};

use serde_json::{Value, json};

use crate::harness::caller::{TLS_VERSIONS, call, post};
use crate::harness::control_plane::ControlPlane;
use crate::harness::control_plane::child_process::Program;
use crate::harness::control_plane::namespace::Namespace;
use crate::harness::control_plane::replicas::{Installation, Replica, alone};
use crate::harness::control_plane::webhook::free_ports;
use crate::harness::pods::worker;
use crate::harness::prometheus::{lint_metrics, program};
use crate::harness::{ROOT, wait_for};

/// Where Prometheus listens; nothing else here does.
const ADDRESS: &str = "127.0.0.9";

#[test]
fn every_expression_of_alerts_and_dashboard_finds_series_in_a_real_scrape() {
    let (plane, _one) = alone();
    let installation = Installation::new(
        plane,
        "webhook.failurePolicy=Ignore",
        &["--shutdown-delay=0s", "--pod-count-interval=200ms"],
    );
    let namespace = Namespace::plain(plane);
    namespace.kubectl(&["label", "namespace", &namespace.name, "dynamo-cache.io/inject=enabled"]).unwrap();
    let mut pod = worker("failed-open");
    pod["metadata"]["labels"] = json!({"nvidia.com/dynamo-component-type": "worker"});
    namespace.create(&pod.to_string()).unwrap();

    let settings = "apiVersion: dynamo-cache.io/v1alpha1\nkind: CacheConfig\n";
    let file = installation.file("settings.yaml", settings);
    let mut replica = installation.start_with("one", &[format!("--config={file}")]);
    replica.wait_until_ready();
    replica.wait_for("/metrics", "\ndynamo_cache_ready 1\n");
    namespace.create(&worker("without-claims").to_string()).unwrap();
    // Other tests may have such pods too.
    wait_for("a component without a status", || {
        let page = replica.page("/metrics")?;
        let mut counts = page.lines().filter_map(|line| line.strip_prefix("dynamo_cache_pods_without_status "));
        if counts.any(|count| count != "0") { Ok(()) } else { Err(page) }
    });
    let bad = format!(
        "printf 'POST /mutate HTTP/1.1\\r\\nHost: a\\r\\nContent-Type: application/json\\r\\nConnection: close\\r\\n\
         Content-Length: 1\\r\\n\\r\\n{{' | openssl s_client -quiet -connect {} 2>/dev/null",
        replica.webhook
    );
    plane.bash(&format!("{bad} || true")).unwrap();
    replica.wait_for("/metrics", "\ndynamo_cache_http_responses_total{code=\"400\"} 1\n");
    names_are_documented(&replica);

    let (prometheus, _running) = prometheus(plane, replica.admin);
    // An increase is seen where there was a number before it.
    finds(prometheus, "dynamo_cache_settings_reloads_total{result=\"rejected\"} == 0");
    installation.file("settings.yaml", &format!("{settings}nonsense: true\n"));
    one_is_turned_away(&replica, &installation.bundles()[0]);
    let written = fs::read_to_string(format!("{ROOT}/manifests/chart/files/alerts.yaml")).unwrap();
    let written = written.matches("- alert: ").count();
    let groups = wait_for("all rules without an error", || {
        let groups = ask(prometheus, "/api/v1/rules")?["groups"].take();
        let rules = groups[0]["rules"].as_array().cloned().unwrap_or_default();
        let well = rules.len() == written && rules.iter().all(|rule| rule["health"] == "ok");
        if well { Ok(rules) } else { Err(format!("{groups:#}")) }
    });
    for rule in &groups {
        let query = rule["query"].as_str().unwrap();
        if query.contains("kubelet_volume_stats_") {
            // There is no kubelet here; `tests/alerts.yaml` has its series.
            continue;
        }
        // What is compared, without the comparison; of an absence, what is missed.
        let compared = query.rfind(" > ").max(query.rfind(" < ")).map_or(query, |at| &query[..at]);
        let compared = compared.strip_prefix("absent(").map_or(compared, |rest| rest.trim_end_matches(')'));
        finds(prometheus, compared);
    }
    let dashboard = fs::read_to_string(format!("{ROOT}/manifests/chart/files/dashboard.json")).unwrap();
    let dashboard: Value = serde_json::from_str(&dashboard).unwrap();
    for panel in dashboard["panels"].as_array().unwrap() {
        let expression = panel["targets"][0]["expr"].as_str().unwrap();
        // The default of a person who has chosen nothing.
        finds(prometheus, &expression.replace("$cluster", ".*").replace("$namespace", ".*"));
    }
    for (alert, state) in [
        ("DynamoCacheFailedOpen", "firing"),
        ("DynamoCacheUnanswered", "firing"),
        ("DynamoCacheSheds", "firing"),
        ("DynamoCacheSettingsRefused", "firing"),
        ("DynamoCachePodsWithoutStatus", "pending"),
    ] {
        finds(prometheus, &format!("ALERTS{{alertname=\"{alert}\",alertstate=\"{state}\"}}"));
    }
    // Its component without a status is none of other tests' components.
    namespace.kubectl(&["label", "namespace", &namespace.name, "dynamo-cache.io/inject-"]).unwrap();
}

/// Holds the whole budget of bodies with three that do not come, and sends a fourth.
fn one_is_turned_away(replica: &Replica<'_>, ca: &str) {
    let caller = || call(replica.webhook, "dynamo-cache.dynamo-cache.svc", ca, TLS_VERSIONS, &[]);
    let large = 20 * 1024 * 1024;
    let head = post(large).replace("\r\n\r\n", "\r\nExpect: 100-continue\r\n\r\n");
    let mut holders: Vec<_> = (0..3).map(|_| caller()).collect();
    for holder in &mut holders {
        assert_eq!(holder.ask(&head, b"").status, 100, "the body has its share of the budget");
    }
    assert_eq!(caller().ask(&head, b"").status, 503);
}

/// Each family that is served has its row in the document, and the document no other.
fn names_are_documented(replica: &Replica<'_>) {
    let page = replica.page("/metrics").unwrap();
    let page = page.split_once("\r\n\r\n").unwrap().1;
    let document = fs::read_to_string(format!("{ROOT}/docs/observability.md")).unwrap();
    let kinds = page.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '));
    let mut served: Vec<_> = kinds.map(|(name, _)| name).collect();
    served.sort_unstable();
    let rows = document.lines().filter_map(|line| line.strip_prefix("| `")?.split_once('`'));
    let mut rows: Vec<_> = rows.map(|(name, _)| name).filter(|name| !name.starts_with("DynamoCache")).collect();
    rows.sort_unstable();
    assert_eq!(rows, served, "docs/observability.md lists what is served");
    lint_metrics(page);
}

/// Prometheus with a folder in the control plane's, scraping the webhook and the API server.
fn prometheus(plane: &ControlPlane, admin: SocketAddr) -> (SocketAddr, Program) {
    let program = program("prometheus");
    let role = "kubectl create clusterrole scrape --verb=get --non-resource-url=/metrics
        kubectl create serviceaccount scrape --namespace default
        kubectl create clusterrolebinding scrape --clusterrole=scrape --serviceaccount=default:scrape";
    plane.bash(role).unwrap();
    let token = plane.kubectl(&["create", "token", "scrape", "--namespace=default"]).unwrap().out;
    let server = plane.kubectl(&["config", "view", "-o", "jsonpath={.clusters[0].cluster.server}"]).unwrap().out;
    let config = json!({
        "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
        "rule_files": [format!("{ROOT}/manifests/chart/files/alerts.yaml")],
        "scrape_configs": [
            {"job_name": "dynamo-cache", "static_configs": [{"targets": [admin.to_string()]}]},
            {"job_name": "apiserver", "scheme": "https", "authorization": {"credentials": token.trim()},
             "tls_config": {"insecure_skip_verify": true},
             "static_configs": [{"targets": [server.trim_start_matches("https://")]}]},
        ],
    });
    let [address, _] = free_ports(ADDRESS);
    let folder = plane.folder("prometheus");
    let arguments = [
        format!("--config.file={}", plane.file(&config.to_string())),
        format!("--storage.tsdb.path={}", folder.display()),
        format!("--web.listen-address={address}"),
    ];
    let running = Program::keep(&program, &arguments, &plane.folder("prometheus.log")).unwrap();
    (address, running)
}

/// Waits until an expression finds something.
fn finds(prometheus: SocketAddr, expression: &str) {
    let escaped = expression.bytes().map(|byte| format!("%{byte:02X}")).collect::<Vec<_>>().concat();
    wait_for(&format!("series of {expression}"), || {
        let said = ask(prometheus, &format!("/api/v1/query?query={escaped}"));
        said.and_then(|data| if data["result"][0].is_object() { Ok(()) } else { Err(data.to_string()) })
    });
}

/// The data of an answer of Prometheus' API.
fn ask(prometheus: SocketAddr, path: &str) -> Result<Value, String> {
    let mut stream = TcpStream::connect(prometheus).map_err(|why| why.to_string())?;
    let request = format!("GET {path} HTTP/1.0\r\nHost: {prometheus}\r\n\r\n");
    stream.write_all(request.as_bytes()).map_err(|why| why.to_string())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).map_err(|why| why.to_string())?;
    let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
    let mut body: Value = serde_json::from_str(body).map_err(|why| format!("{why}: {answer}"))?;
    if body["status"] == "success" { Ok(body["data"].take()) } else { Err(answer) }
}
