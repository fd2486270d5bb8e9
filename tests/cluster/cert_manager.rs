//! The chart's mode for cert-manager, checked against cert-manager's own definitions; cert-manager itself does not run here.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rcgen::{CertificateParams, CertifiedIssuer, KeyPair};
use serde_json::{Value, json};

use crate::harness::certificates::{ca, ecdsa_in_sec1};
use crate::harness::control_plane::ControlPlane;
use crate::harness::control_plane::namespace::Namespace;
use crate::harness::control_plane::replicas::{Installation, alone};
use crate::harness::pods::worker;
use crate::harness::{ROOT, wait_for};

/// The release whose definitions are taken, and what Go's checksum of its module is.
const VERSION: &str = "github.com/cert-manager/cert-manager@v1.21.2";
const SUM: &str = "h1:UWgoYM+KLNtRlqmoWOKjKBOBUPVHeepQ6/ac3ERJW68=";

/// The folder with the definitions, in Go's own cache.
fn definitions() -> PathBuf {
    let said = Command::new("go").args(["mod", "download", "-json", VERSION]).env("GOFLAGS", "").output();
    let said = said.expect("Go is installed: tests/run says which");
    let module: Value = serde_json::from_slice(&said.stdout).unwrap();
    assert_eq!(module["Sum"], SUM, "go mod download {VERSION}: {module:#}");
    PathBuf::from(module["Dir"].as_str().unwrap()).join("deploy/crds")
}

/// Whether everything of one value is in another, which may have more: what the API server sets by default.
fn is_within(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Object(one), Value::Object(other)) => {
            one.iter().all(|(key, value)| other.get(key).is_some_and(|other| is_within(value, other)))
        }
        (one, other) => one == other,
    }
}

fn render(plane: &ControlPlane, values: &str) -> Vec<Value> {
    let chart = format!("{ROOT}/manifests/chart");
    let values = format!("--set=certificate.mode=cert-manager,{values}");
    let show = "--show-only=templates/certificate.yaml";
    let said = plane.helm(&["template", "dynamo-cache", &chart, "--namespace=dynamo-cache", &values, show]).unwrap();
    let parts = said.out.split("\n---\n").filter(|part| part.contains("kind: "));
    parts.map(|part| serde_saphyr::from_str(part).unwrap()).collect()
}

#[test]
fn cert_manager_takes_what_the_chart_renders_and_what_it_would_write_is_served() {
    let folder = definitions();
    let (plane, _one) = alone();
    let names = ["certificates", "clusterissuers", "issuers"].map(|plural| format!("cert-manager.io_{plural}.yaml"));
    let files = names.map(|name| folder.join(name).display().to_string());
    for file in &files {
        plane.kubectl(&["create", "-f", file]).unwrap();
        plane.wait_until_established(&["-f", file]);
    }
    let mounted = plane.folder("cert-manager");
    let _ = fs::create_dir(&mounted);
    let option = |option: &str, file: &str| format!("--{option}={}", mounted.join(file).display());
    let arguments = [option("cert-file", "tls.crt"), option("key-file", "tls.key"), "--shutdown-delay=0s".to_owned()];
    let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
    let installation = Installation::new(plane, "certificate.mode=cert-manager", &arguments);

    let issuer =
        "certificate.issuerRef.name=ours,certificate.issuerRef.kind=ClusterIssuer,certificate.dnsNames={a.example}";
    for values in ["", issuer] {
        let objects = render(plane, values);
        assert_eq!(objects.len(), if values.is_empty() { 4 } else { 1 }, "{objects:#?}");
        for object in objects {
            // A field that a definition does not have is an error here, and else dropped in silence.
            let file = plane.file(&object.to_string());
            let apply = ["apply", "--dry-run=server", "--validate=strict", "--output=json", "-f", &file];
            let said = plane.kubectl(&apply).unwrap();
            let stored: Value = serde_json::from_str(&said.out).unwrap();
            assert!(is_within(&object["spec"], &stored["spec"]), "{object:#} is stored as {stored:#}");
            assert!(!said.err.contains("unknown field"), "{}", said.err);
        }
    }

    // As cert-manager writes it: a chain, a key in SEC1, its CA, in a Secret of the name that the Certificate gives.
    let certificate = plane.read(&["certificates.cert-manager.io", "dynamo-cache", "--namespace=dynamo-cache"]);
    let names: Vec<String> = serde_json::from_value(certificate["spec"]["dnsNames"].clone()).unwrap();
    let root = CertifiedIssuer::self_signed(ca("dynamo-cache CA"), KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let leaf = CertificateParams::new(names).unwrap().signed_by(&key, &root).unwrap().pem();
    let data = [("tls.crt", leaf), ("tls.key", ecdsa_in_sec1(&key)), ("ca.crt", root.pem())];
    let data: serde_json::Map<_, _> =
        data.into_iter().map(|(name, text)| (name.to_owned(), json!(STANDARD.encode(text)))).collect();
    let name = &certificate["spec"]["secretName"];
    let metadata = json!({"name": name, "namespace": "dynamo-cache"});
    let secret =
        json!({"apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/tls", "metadata": metadata, "data": data});
    plane.kubectl(&["create", "-f", &plane.file(&secret.to_string())]).unwrap();

    // What the kubelet mounts is the Secret that the Deployment names.
    let deployment = plane.read(&["deployment", "dynamo-cache", "--namespace=dynamo-cache"]);
    let volumes = deployment["spec"]["template"]["spec"]["volumes"].as_array().unwrap();
    assert!(volumes.iter().any(|volume| volume["secret"]["secretName"] == *name), "{volumes:#?}");
    for (key, value) in &data {
        fs::write(mounted.join(key), STANDARD.decode(value.as_str().unwrap()).unwrap()).unwrap();
    }
    // And what the CA injector publishes is the CA of the Certificate that the configuration names.
    let configuration = plane.read(&["mutatingwebhookconfiguration", "dynamo-cache"]);
    let injected = &configuration["metadata"]["annotations"]["cert-manager.io/inject-ca-from"];
    assert_eq!(injected, "dynamo-cache/dynamo-cache");
    let mut replica = installation.start("one");
    replica.wait_for("/readyz", "[-]bundle: the API server does not trust the serving certificate");
    installation.publish(&root.pem());
    replica.wait_until_ready();
    let namespace = Namespace::opted_in(plane, &[]);
    wait_for("a pod to be created", || namespace.create(&worker("cert-manager").to_string()).map(drop));

    plane.kubectl(&["delete", "secret", "dynamo-cache-tls", "--namespace=dynamo-cache"]).unwrap();
    drop(replica);
    drop(installation);
    for file in &files {
        plane.kubectl(&["delete", "-f", file]).unwrap();
    }
}
