//! The model: on a hub inside a namespace, or on a claim already, as a download leaves it.

use std::process::Command;
use std::sync::LazyLock;

use serde_json::json;

use crate::deployment::{IMAGE, MODEL};
use crate::harness::cluster::{ROOT, build};
use crate::harness::namespace::Namespace;

/// The folder on the node with the files of the model.
static FILES: LazyLock<String> = LazyLock::new(|| build("tests/engine/model/build").unwrap());

/// The commit that the hub says they have.
static COMMIT: LazyLock<String> = LazyLock::new(|| {
    let hub = format!("{ROOT}/tests/engine/hub.py");
    let ended = Command::new("python3").args([&hub, &*FILES, "--print-commit"]).output().unwrap();
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
    String::from_utf8(ended.stdout).unwrap().trim().to_owned()
});

/// Starts a hub with the model, whose pod and Service are called that, and says where it is.
pub(crate) fn hub(namespace: &Namespace) -> String {
    namespace.config_map("hub", "hub.py", include_str!("../hub.py"));
    let ports = json!([{"port": 80, "targetPort": 8080}]);
    let service = json!({"selector": {"app": "hub"}, "ports": ports});
    namespace.create(&json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "hub"}, "spec": service}));
    let main = json!({
        "name": "main", "image": IMAGE, "command": ["python3", "/hub/hub.py", "/model"],
        "volumeMounts": [{"name": "hub", "mountPath": "/hub"}, {"name": "model", "mountPath": "/model"}],
        "readinessProbe": {"tcpSocket": {"port": 8080}, "periodSeconds": 1},
    });
    let volumes =
        json!([{"name": "hub", "configMap": {"name": "hub"}}, {"name": "model", "hostPath": {"path": *FILES}}]);
    let metadata = json!({"name": "hub", "labels": {"app": "hub"}});
    let spec = json!({"containers": [main], "volumes": volumes});
    namespace.create(&json!({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}));
    namespace.kubectl(&["wait", "--for=condition=Ready", "pod/hub", "--timeout=3m"]).unwrap();
    let service = namespace.read(&["service", "hub"]);
    format!("http://{}", service["spec"]["clusterIP"].as_str().unwrap())
}

/// Lays the model out on a claim of the namespace as a download does.
pub(crate) fn bring(namespace: &Namespace, claim: &str) {
    let hub = format!("{}/{}/{claim}/hub", namespace.cluster.volumes(), namespace.name);
    let model = format!("{hub}/models--{}", MODEL.replace('/', "--"));
    let script = r#"
mkdir -p "$1/refs" "$1/snapshots/$2"
printf %s "$2" >"$1/refs/main"
cp "$3"/* "$1/snapshots/$2"
chown -R 1000:0 "$4"
"#;
    let ended = Command::new("bash").args(["-euc", script, "bring", &model, &COMMIT, &FILES, &hub]).output().unwrap();
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
}
