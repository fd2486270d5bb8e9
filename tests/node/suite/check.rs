//! `dynamo-cache check` where pods run: a healthy installation, the line of each breakage, and claims that are written.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::cluster::{ROOT, shared, wait_for};
use super::namespace::Namespace;
use super::pod::{self, PYTHON};
use super::provided_certificate::Pair;
use super::release::{self, NAME};
use super::volume::Volume;

const CONFIGURATION: [&str; 2] = ["mutatingwebhookconfiguration", NAME];
const WITH_PROBE: [&str; 6] = ["check", "--write-probe", "--probe-image", PYTHON, "-o", "json"];

/// How each check came out, and the whole of it.
fn checked(namespace: &Namespace, check: &[&str]) -> (BTreeMap<String, String>, Value) {
    let said = namespace.cluster.dynamo_cache(&[check, &["-n", &namespace.name]].concat());
    let lines: Value = serde_json::from_str(&said.output).unwrap_or_else(|_| panic!("{}{}", said.output, said.errors));
    let text = |line: &Value, key: &str| line[key].as_str().unwrap_or_default().to_owned();
    let states = lines.as_array().unwrap().iter().map(|line| (text(line, "check"), text(line, "state")));
    (states.collect(), lines)
}

/// A check's text and hint.
fn line_of(lines: &Value, check: &str) -> (String, String) {
    let line = lines.as_array().unwrap().iter().find(|line| line["check"] == check).unwrap();
    let text = |key: &str| line[key].as_str().unwrap_or_default().to_owned();
    (text("text"), text("hint"))
}

/// A namespace with all that `check` looks for: claims, a component, and a server that answers for Model Express.
fn furnished() -> Namespace {
    let namespace = Namespace::opted_in(&[("model-express-url", "model-express:8001")]);
    namespace.claims(&[Volume::prepared("model-cache"), Volume::prepared("compilation-cache")]);
    let endpoints = json!({
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
        "metadata": {"name": "model-express", "labels": {"kubernetes.io/service-name": "model-express"}},
        "endpoints": [{"addresses": ["198.18.0.1"]}], "ports": [{"port": 8001}],
    });
    namespace.create(&model_express());
    namespace.create(&endpoints);
    namespace
}

fn model_express() -> Value {
    let spec = json!({"ports": [{"port": 8001}]});
    json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "model-express"}, "spec": spec})
}

/// A component that waits for a node for ever, and so keeps no claim from going.
fn component(namespace: &Namespace) {
    let mut pod = pod::worker(&[]);
    pod["spec"]["nodeSelector"] = json!({"dynamo-cache.test/nowhere": "true"});
    namespace.create(&pod);
}

#[test]
fn a_healthy_installation_is_all_well_and_its_claims_are_written() {
    let _running = release::running();
    let namespace = furnished();
    component(&namespace);
    let lines = wait_for("an installation where all is well", || {
        let (states, lines) = checked(&namespace, &WITH_PROBE);
        let well = states.len() == 22 && states.values().all(|state| state == "ok");
        if well { Ok(lines) } else { Err(format!("{lines:#}")) }
    });
    let (service, _) = line_of(&lines, "service");
    assert_eq!(service, format!("Service {NAME}/{NAME} has 2 ready endpoints"));
    let (model, _) = line_of(&lines, "model-write");
    assert!(model.ends_with("/huggingface was written, read and removed as user 1000, group 0"), "{model}");
    for claim in ["model-cache", "compilation-cache"] {
        assert_eq!(namespace.writable(claim), "1000", "the process reports its own user");
    }

    let said =
        namespace.cluster.dynamo_cache(&["check", "--write-probe", "--probe-image", PYTHON, "-n", &namespace.name]);
    assert_eq!(said.code, Some(0));
    for line in said.output.lines().filter(|line| line.starts_with("  ")) {
        assert!(line.starts_with("  ✓ "), "{line}");
    }
    wait_for("the Jobs to be gone", || {
        let left = namespace.kubectl(&["get", "jobs", "--output=name"])?;
        if left.is_empty() { Ok(()) } else { Err(left) }
    });
}

#[test]
fn a_claim_that_cannot_be_written_fails_with_the_error_of_its_pod_or_of_the_cluster() {
    let _running = release::running();
    let namespace = Namespace::opted_in(&[]);
    let compile = Volume::of_root("compilation-cache");
    namespace.volumes(&[Volume::prepared("model-cache"), Volume::of_root("compilation-cache")]);
    namespace.create(&Volume::prepared("model-cache").claim());
    namespace.create(&compile.claim());
    namespace.wait_until_bound();
    let (states, lines) = checked(&namespace, &WITH_PROBE);
    assert_eq!((states["model-write"].as_str(), states["compile-write"].as_str()), ("ok", "failed"), "{lines:#}");
    let (text, hint) = line_of(&lines, "compile-write");
    assert!(text.contains("Permission denied") && text.contains("is drwxr-xr-x 0:0"), "{text}");
    assert!(hint.contains("dynamo-cache download opens its root"), "{hint}");
    assert_eq!(
        (namespace.writable("model-cache"), namespace.writable("compilation-cache")),
        (json!("1000"), json!("false"))
    );
    let (text, _) = line_of(&lines, "compile-proof");
    assert!(text.starts_with("claim compilation-cache is marked as not writable for user 1000 ("), "{text}");

    // What the webhook gives to the workers, it gives to the probe: a group for the volumes.
    let config = namespace.cluster.unused("yaml");
    let settings = "apiVersion: dynamo-cache.io/v1alpha1\nkind: CacheConfig\nfsGroup: 0\n";
    std::fs::write(&config, settings).unwrap();
    let (states, lines) = checked(&namespace, &[&WITH_PROBE, ["--config", &config].as_slice()].concat());
    assert_eq!(states["compile-write"], "ok", "{lines:#}");
    assert_eq!(namespace.writable("compilation-cache"), "1000", "a later success is worth more");

    let unbound = Namespace::opted_in(&[("model-claim", "nowhere"), ("compile-claim", "nowhere")]);
    let mut claim = Volume::prepared("nowhere").claim();
    claim["spec"]["storageClassName"] = json!("none-such");
    unbound.create(&claim);
    let (states, lines) = checked(&unbound, &[&WITH_PROBE, ["--probe-timeout", "15s"].as_slice()].concat());
    assert_eq!((states["model-claim"].as_str(), states["model-write"].as_str()), ("ok", "failed"), "{lines:#}");
    let (text, hint) = line_of(&lines, "model-write");
    assert!(
        text.contains("no write within 15s: waiting for a node: ") && text.contains("PersistentVolumeClaim"),
        "{text}"
    );
    assert_eq!(hint, format!("kubectl describe persistentvolumeclaim nowhere -n {}", unbound.name));
    assert_eq!(unbound.writable("nowhere"), Value::Null, "a Job that did not run proves nothing");

    let image = ["--probe-image", "127.0.0.1:1/none-such:1", "--probe-timeout", "30s"];
    let (states, lines) = checked(&namespace, &[&["check", "--write-probe", "-o", "json"], image.as_slice()].concat());
    assert_eq!(states["model-write"], "failed", "{lines:#}");
    let (text, hint) = line_of(&lines, "model-write");
    assert!(text.contains("no write within 30s: ") && text.contains("127.0.0.1:1/none-such:1"), "{text}");
    assert!(hint.contains("--probe-image"), "{hint}");
}

/// The same without the lines about volumes and their space, which are there only where a claim is bound and its own line is
/// well.
fn checked_without_volumes(namespace: &Namespace) -> (BTreeMap<String, String>, Value) {
    let (mut states, lines) = checked(namespace, &["check", "-o", "json"]);
    states.retain(|check, _| !check.ends_with("-volume") && !check.ends_with("-space"));
    (states, lines)
}

/// A healthy installation, and what turns where something is broken.
struct Healthy<'n> {
    namespace: &'n Namespace,
    states: BTreeMap<String, String>,
}

impl Healthy<'_> {
    /// Waits until this check has failed, these are not checked for its sake, and no other has turned; its text and hint.
    fn turns(&self, failed: &str, not_checked: &[&str], names: &str) -> (String, String) {
        let mut expected = self.states.clone();
        expected.insert(failed.to_owned(), "failed".to_owned());
        expected.extend(not_checked.iter().map(|check| ((*check).to_owned(), "not-checked".to_owned())));
        let lines = wait_for(&format!("{failed} to turn"), || {
            let (states, lines) = checked_without_volumes(self.namespace);
            if states == expected { Ok(lines) } else { Err(format!("{states:?} instead of {expected:?}: {lines:#}")) }
        });
        for check in not_checked {
            let (text, _) = line_of(&lines, check);
            // The version is in the canary's answer, and without the settings the claims are not known.
            let names = match *check {
                "version" if !text.contains(names) => "canary",
                "model-claim" | "compile-claim" | "model-express" => "settings",
                _ => names,
            };
            assert_eq!(text, format!("{check}: not checked: it depends on the {names}"));
        }
        line_of(&lines, failed)
    }

    fn is_back(&self) {
        wait_for("everything to be well again", || {
            let (states, lines) = checked_without_volumes(self.namespace);
            if states == self.states { Ok(()) } else { Err(format!("{lines:#}")) }
        });
    }
}

#[test]
fn each_breakage_with_certificates_from_files_fails_its_line_and_its_dependents() {
    let (cluster, _alone) = (shared(), release::alone());
    let chart = format!("{ROOT}/manifests/chart");
    let pair = Pair::new(cluster, NAME, NAME);
    let set = "certificate.mode=secret";
    cluster.helm(&["install", NAME, &chart, "--namespace", NAME, "--create-namespace", "--set", set]).unwrap();
    pair.bring();
    pair.publish();
    let deployment = format!("deployment/{NAME}");
    let rollout = || {
        cluster.kubectl(&["rollout", "status", &deployment, "--namespace", NAME, "--timeout=3m"]).unwrap();
    };
    rollout();
    let namespace = furnished();
    namespace.kubectl(&["annotate", "persistentvolumeclaims", "--all", "dynamo-cache.io/writable=1000"]).unwrap();
    component(&namespace);
    let (states, _) = wait_for("an installation where all is well", || {
        let (states, lines) = checked_without_volumes(&namespace);
        if states.values().all(|state| state == "ok") { Ok((states, lines)) } else { Err(format!("{lines:#}")) }
    });
    assert_eq!(states.len(), 16, "{states:?}");
    let healthy = Healthy { namespace: &namespace, states };
    healthy.is_back();

    let of_webhook = ["configuration", "service", "certificate", "guard", "other-webhooks", "canary", "version"];
    let of_namespace = ["label", "settings", "model-claim", "compile-claim", "model-express"];
    let depend_on_it = [of_webhook.as_slice(), &of_namespace].concat();
    cluster.kubectl(&[&["delete"], CONFIGURATION.as_slice()].concat()).unwrap();
    let (_, hint) = healthy.turns("installation", &depend_on_it, "installation");
    // The hint is a command, and the command brings it back.
    let words: Vec<_> = hint.split(' ').collect();
    assert_eq!(words[0], "helm", "{hint}");
    cluster.helm(&words[1..]).unwrap();
    pair.publish();
    healthy.is_back();

    Pair::new(cluster, NAME, NAME).publish();
    let (text, hint) = healthy.turns("certificate", &["canary", "version"], "certificate");
    assert!(text.contains("caBundle does not verify the server's certificate"), "{text}");
    assert_eq!(hint, "certs/README.md");
    pair.publish();
    healthy.is_back();

    cluster.kubectl(&["scale", &deployment, "--namespace", NAME, "--replicas=0"]).unwrap();
    let (text, hint) = healthy.turns("service", &["canary", "version"], "Service");
    assert_eq!(text, format!("Service {NAME}/{NAME} has no ready endpoint"));
    let labels = format!("app.kubernetes.io/instance={NAME},app.kubernetes.io/name=dynamo-cache");
    assert_eq!(hint, format!("kubectl get pods -n {NAME} -l {labels}"));
    cluster.kubectl(&["scale", &deployment, "--namespace", NAME, "--replicas=2"]).unwrap();
    rollout();
    healthy.is_back();

    namespace.kubectl(&["delete", "persistentvolumeclaim", "model-cache"]).unwrap();
    let (text, hint) = healthy.turns("model-claim", &[], "");
    assert!(text.contains("claim model-cache") && text.contains("[claim-not-found]"), "{text}");
    assert!(hint.starts_with(&format!("dynamo-cache download MODEL -n {} --create-claim ", namespace.name)), "{hint}");
    namespace.create(&Volume { access: "ReadWriteOnce", ..Volume::prepared("model-cache") }.claim());
    let (text, hint) = healthy.turns("model-claim", &[], "");
    assert!(text.contains("[claim-single-node]") && hint.contains("ReadWriteMany"), "{text} {hint}");
    namespace.kubectl(&["delete", "persistentvolumeclaim", "model-cache"]).unwrap();
    namespace.create(&Volume::prepared("model-cache").claim());
    healthy.is_back();

    namespace.kubectl(&["label", "namespace", &namespace.name, "dynamo-cache.io/inject-"]).unwrap();
    let (_, hint) = healthy.turns("label", &["pods"], "label");
    let label = format!("kubectl label namespace {} dynamo-cache.io/inject=enabled --overwrite", namespace.name);
    assert_eq!(hint, label);
    namespace.kubectl(&["label", "namespace", &namespace.name, "dynamo-cache.io/inject=enabled"]).unwrap();
    healthy.is_back();

    namespace.kubectl(&["delete", "service", "model-express"]).unwrap();
    let (text, hint) = healthy.turns("model-express", &[], "");
    assert!(text.contains("there is no Service model-express in namespace"), "{text}");
    assert!(hint.starts_with(&format!("kubectl get services -n {}", namespace.name)), "{hint}");

    cluster.helm(&["uninstall", NAME, "--namespace", NAME]).unwrap();
    cluster.kubectl(&["delete", "secret", &format!("{NAME}-tls"), "--namespace", NAME]).unwrap();
}
