//! A certificate that the kubelet mounts and replaces.

use serde_json::{Value, json};

use super::cluster::{ROOT, shared, wait_for};
use super::namespace::Namespace;
use super::pod::{self, PYTHON};
use super::provided_certificate::Pair;
use super::release;

/// The release's name, and that of all that is in it.
const RELEASE: &str = "dynamo-cache-provided";

/// Connects to each replica with a new connection that trusts one CA only, and prints the certificate that it gets.
const CONNECTS: &str = r#"
import hashlib, os, socket, ssl
context = ssl.create_default_context(cadata=os.environ["AUTHORITY"])
for address in os.environ["ADDRESSES"].split():
    with context.wrap_socket(socket.create_connection((address, 10250), 30), server_hostname=os.environ["NAME"]) as call:
        print(address, "shows", hashlib.sha256(call.getpeercert(binary_form=True)).hexdigest())
"#;

/// The replicas: name, UID, address, restarts.
fn replicas(namespace: &Namespace) -> Vec<(String, String, String, u64)> {
    let pods = namespace.read(&["pods", "--selector", &format!("app.kubernetes.io/instance={RELEASE}")]);
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let replica = |pod: &Value| {
        let (metadata, status) = (&pod["metadata"], &pod["status"]);
        let restarts = status["containerStatuses"][0]["restartCount"].as_u64().unwrap();
        (text(&metadata["name"]), text(&metadata["uid"]), text(&status["podIP"]), restarts)
    };
    pods["items"].as_array().unwrap().iter().map(replica).collect()
}

#[test]
fn a_certificate_that_the_kubelet_replaces_is_served_and_no_replica_restarts() {
    let (cluster, _alone) = (shared(), release::alone());
    let (home, namespace) = (Namespace::plain(), Namespace::opted_in(&[]));
    Pair::new(cluster, RELEASE, &home.name).bring();
    let chart = format!("{ROOT}/manifests/chart");
    // A new CA is served after a minute, which is shortened here; how soon the kubelet swaps the files is not.
    let set = "certificate.mode=secret,certificate.publish=true,webhook.failurePolicy=Fail,extraArgs={--propagation-delay=5s}";
    let install = ["install", RELEASE, &chart, "--namespace", &home.name, "--wait", "--timeout=3m", "--set", set];
    cluster.helm(&install).unwrap();
    let before = replicas(&home);
    assert_eq!(before.len(), 2, "{before:?}");

    let addresses: Vec<_> = before.iter().map(|(_, _, address, _)| address.as_str()).collect();
    let mut calls = 0;
    let mut served = |pair: &Pair| {
        wait_for("both replicas to show the new certificate", || {
            calls += 1;
            let name = format!("{RELEASE}.{}.svc", home.name);
            let variables = [("AUTHORITY", pair.authority()), ("ADDRESSES", addresses.join(" ")), ("NAME", name)];
            let variables: Vec<_> =
                variables.iter().map(|(name, value)| json!({"name": name, "value": value})).collect();
            let main =
                json!({"name": "main", "image": PYTHON, "command": ["python3", "-c", CONNECTS], "env": variables});
            let ended = home.run(&json!({
                "apiVersion": "v1", "kind": "Pod", "metadata": {"name": format!("caller-{calls}")},
                "spec": {"restartPolicy": "Never", "containers": [main]},
            }));
            let served = pair.fingerprint();
            let all = addresses.iter().all(|address| ended.log.contains(&format!("{address} shows {served}\n")));
            // Whichever is served: with failurePolicy Fail a pod is created only where the API server trusts it.
            let pod = namespace.dry_run(&pod::worker(&[])).unwrap();
            assert!(!pod::status(&pod).is_null(), "{pod:#}");
            if ended.succeeded && all { Ok(()) } else { Err(ended.log) }
        });
    };
    for _ in 0..2 {
        let pair = Pair::new(cluster, RELEASE, &home.name);
        pair.bring();
        served(&pair);
        assert_eq!(replicas(&home), before, "no replica was replaced or restarted");
    }
    cluster.helm(&["uninstall", RELEASE, "--namespace", &home.name, "--wait"]).unwrap();
}
