//! The gauge of unreviewed components.

use serde_json::{Value, json};

use crate::harness::control_plane::namespace::Namespace;
use crate::harness::control_plane::replicas::{Installation, Replica, alone};
use crate::harness::pods::worker;
use crate::harness::wait_for;

const GAUGE: &str = "dynamo_cache_pods_without_status";

/// A worker as the Dynamo operator labels it.
fn labelled(name: &str, label: &str, annotations: &Value) -> Value {
    let mut pod = worker(name);
    pod["metadata"]["labels"] = json!({label: "worker", "app": "worker"});
    pod["metadata"]["annotations"] = annotations.clone();
    pod
}

/// Five of them under a controller, which makes others in the place of those that are deleted.
fn deployment() -> Value {
    let mut template = labelled("", "nvidia.com/dynamo-component-type", &Value::Null);
    template["metadata"]["labels"]["nvidia.com/dynamo-component"] = json!("worker");
    template["metadata"].as_object_mut().unwrap().remove("name");
    let template = json!({"metadata": template["metadata"], "spec": template["spec"]});
    let spec = json!({"replicas": 5, "selector": {"matchLabels": {"app": "worker"}}, "template": template});
    json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "worker"}, "spec": spec})
}

fn label(namespace: &Namespace) {
    let name = &namespace.name;
    namespace.kubectl(&["label", "namespace", name, "dynamo-cache.io/inject=enabled"]).unwrap();
}

fn wait_for_number(replica: &Replica, pods: usize) {
    replica.wait_for("/metrics", &format!("\n{GAUGE} {pods}\n"));
}

#[test]
fn components_that_were_there_before_the_label_are_counted_until_they_are_replaced() {
    let (plane, _one) = alone();
    let (namespace, excluded) = (Namespace::plain(plane), Namespace::plain(plane));
    namespace.create(&deployment().to_string()).unwrap();
    wait_for("five pods", || {
        let pods = plane.read(&["pods", "--namespace", &namespace.name]);
        let pods = pods["items"].as_array().map_or(0, Vec::len);
        if pods == 5 { Ok(()) } else { Err(format!("{pods} pods")) }
    });
    // Each of these has the label, and a reason for not being counted.
    let graph = "nvidia.com/dynamo-graph-deployment-name";
    let out = labelled("opted-out", graph, &json!({"dynamo-cache.io/inject": "false"}));
    let mut mirror = labelled("mirror", graph, &json!({"kubernetes.io/config.mirror": "hash"}));
    mirror["spec"]["nodeName"] = json!("node");
    let ended = labelled("ended", graph, &Value::Null);
    for pod in [out, mirror, ended, worker("unlabelled")] {
        namespace.create(&pod.to_string()).unwrap();
    }
    let patch = r#"{"status":{"phase":"Succeeded"}}"#;
    namespace.kubectl(&["patch", "pod", "ended", "--subresource=status", "--type=merge", "-p", patch]).unwrap();
    excluded.create(&labelled("excluded", graph, &Value::Null).to_string()).unwrap();

    let values = format!("webhook.excludedNamespaces={{{}}}", excluded.name);
    let installation = Installation::new(
        plane,
        &values,
        &["--shutdown-delay=0s", "--pod-count-interval=200ms", "--pod-count-page-size=2"],
    );
    let replica = installation.ready("one");
    label(&excluded);
    label(&namespace);
    wait_for_number(&replica, 5);
    let log = replica.log();
    assert!(log.contains("component pods have no status annotation") && log.contains(&namespace.name), "{log}");

    namespace.kubectl(&["delete", "pods", "--selector=nvidia.com/dynamo-component-type", "--wait=false"]).unwrap();
    wait_for_number(&replica, 0);
    assert!(replica.log().contains("every component pod has a status annotation now"), "{}", replica.log());

    // A number that cannot be counted again stays, and grows older.
    let no_list = r#"[{"op":"test","path":"/rules/2/resources","value":["pods"]},{"op":"remove","path":"/rules/2"}]"#;
    plane.kubectl(&["patch", "clusterrole", "dynamo-cache", "--type=json", "-p", no_list]).unwrap();
    wait_for("a count that fails", || {
        let page = replica.page("/metrics")?;
        let failed = "dynamo_cache_pod_counts_total{result=\"failed\"} ";
        if page.contains(failed) && !page.contains(&format!("{failed}0\n")) { Ok(()) } else { Err(page) }
    });
    let page = replica.page("/metrics").unwrap();
    assert!(page.contains(&format!("\n{GAUGE} 0\n")), "{page}");
    assert!(page.contains("\ndynamo_cache_pods_counted_timestamp_seconds 1"), "{page}");
    assert!(replica.log().contains("failed to count the pods without a status annotation"), "{}", replica.log());
    assert!(replica.page("/readyz").unwrap().starts_with("HTTP/1.1 200"), "it decides as well as before");
}

#[test]
fn a_count_that_is_not_wanted_is_not_made() {
    let (plane, _one) = alone();
    let values = "metrics.podsWithoutStatus=false";
    let installation =
        Installation::new(plane, values, &["--shutdown-delay=0s", "--pod-count-interval=200ms", "--no-pod-count"]);
    let replica = installation.ready("one");
    let may = ["auth", "can-i", "list", "pods", "--as=system:serviceaccount:dynamo-cache:dynamo-cache", "-A", "-q"];
    assert!(plane.kubectl(&may).is_err(), "it may list pods");
    let page = replica.page("/metrics").unwrap();
    assert!(!page.contains(GAUGE) && page.contains("dynamo_cache_pod_counts_total{result=\"failed\"} 0\n"), "{page}");
}
