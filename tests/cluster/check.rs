//! `dynamo-cache check`: a breakage fails its line, marks what depends on it as not checked, and changes nothing else.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::harness::control_plane::namespace::{Namespace, claim};
use crate::harness::control_plane::{ControlPlane, shared, webhook};
use crate::harness::pods::worker;
use crate::harness::program::Run;
use crate::harness::wait_for;

mod cert_manager;
mod permissions;
mod space;
mod staging;
mod volumes;
mod write_probe;

const CACHES: [&str; 2] = ["model-cache", "compilation-cache"];
const CONFIGURATION: [&str; 2] = ["mutatingwebhookconfiguration", "dynamo-cache"];

/// How each check came out, and the whole of it.
fn states(said: &Run) -> (BTreeMap<String, String>, Value) {
    let lines: Value = serde_json::from_str(&said.output).unwrap_or_else(|_| panic!("{}{}", said.output, said.errors));
    let text = |line: &Value, key: &str| line[key].as_str().unwrap_or_default().to_owned();
    let states = lines.as_array().unwrap().iter().map(|line| (text(line, "check"), text(line, "state")));
    (states.collect(), lines)
}

fn checked(namespace: &Namespace) -> (BTreeMap<String, String>, Value) {
    let (mut states, lines) = states(&namespace.dynamo_cache(&["check", "-o", "json"]));
    // It depends on the workloads that are there, and has a test of its own.
    states.remove("models");
    (states, lines)
}

/// The lines of one check: state, text and hint of each.
fn lines(namespace: &Namespace, check: &str) -> Vec<String> {
    let (_, lines) = checked(namespace);
    let own = lines.as_array().unwrap().iter().filter(|line| line["check"] == check);
    let text = |line: &Value, key: &str| line[key].as_str().unwrap_or_default().to_owned();
    own.map(|line| format!("{}: {}. {}", text(line, "state"), text(line, "text"), text(line, "hint"))).collect()
}

#[track_caller]
fn only(namespace: &Namespace, check: &str, begin: &str, hint: &str) {
    let lines = lines(namespace, check);
    let [line] = lines.as_slice() else { panic!("{check}: {lines:#?}") };
    assert!(line.starts_with(begin) && line.contains(hint), "no {begin:?}, {hint:?} in: {line}");
}

/// A healthy installation, and what turns where something is broken.
struct Healthy<'n> {
    namespace: &'n Namespace<'n>,
    states: BTreeMap<String, String>,
}

impl Healthy<'_> {
    /// Waits until exactly these checks have turned; the hint of the one that failed.
    fn fails(&self, failed: &str, not_checked: &[&str]) -> String {
        let not_checked = not_checked.iter().map(|check| (*check, "not-checked"));
        let lines = self.changes(&not_checked.chain([(failed, "failed")]).collect::<Vec<_>>());
        let line = lines.as_array().unwrap().iter().find(|line| line["check"] == failed).unwrap();
        let hint = line["hint"].as_str().unwrap_or_default();
        assert!(!hint.is_empty(), "{line:#}");
        format!("{} {hint}", line["text"].as_str().unwrap())
    }

    /// Waits until exactly these checks have changed; the whole of it.
    fn changes(&self, changed: &[(&str, &str)]) -> Value {
        let mut expected = self.states.clone();
        expected.extend(changed.iter().map(|(check, state)| ((*check).to_owned(), (*state).to_owned())));
        wait_for(&format!("{changed:?}"), || {
            let (states, lines) = checked(self.namespace);
            if states == expected { Ok(lines) } else { Err(format!("{states:?} instead of {expected:?}: {lines:#}")) }
        })
    }

    fn is_back(&self) {
        wait_for("everything to be well again", || {
            let (states, lines) = checked(self.namespace);
            if states == self.states { Ok(()) } else { Err(format!("{lines:#}")) }
        });
    }
}

/// A Service of this name in the namespace, with an endpoint.
fn service(name: &str) -> String {
    let service = json!({
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": {"ports": [{"port": 8001}]},
    });
    let slice = json!({
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
        "metadata": {"name": name, "labels": {"kubernetes.io/service-name": name}},
        "endpoints": [{"addresses": ["10.0.0.1"]}], "ports": [{"port": 8001}],
    });
    format!("{service}\n---\n{slice}")
}

#[test]
fn a_healthy_installation_is_all_well_and_each_breakage_turns_its_own_line() {
    let mut webhook = webhook::stopped();
    let namespace = Namespace::opted_in(shared(), &[("model-express-url", "model-express:8001")]);
    namespace.claims(&CACHES);
    namespace.create(&service("model-express")).unwrap();
    let stopped = wait_for("the canary to be refused", || {
        let (states, lines) = checked(&namespace);
        if states["canary"] == "failed" { Ok((states, lines)) } else { Err(format!("{lines:#}")) }
    });

    webhook.start_while_others_wait();
    let (states, _) = wait_for("a healthy installation", || {
        let said = namespace.dynamo_cache(&["check", "-o", "json"]);
        if said.code == Some(0) { Ok(states(&said)) } else { Err(said.output) }
    });
    assert_eq!(states["pods"], "warning", "there is no component yet");
    namespace.create(&worker("worker").to_string()).unwrap();
    let states = checked(&namespace).0;
    let healthy = Healthy { namespace: &namespace, states };
    for (check, state) in &healthy.states {
        // The tests' Service leads to a loopback address.
        let expected = if check == "service" { "not-checked" } else { "ok" };
        assert_eq!(state, expected, "{check}");
    }
    assert_eq!(healthy.states.len(), 16, "{:?}", healthy.states);
    let said = namespace.dynamo_cache(&["check"]);
    assert!(said.code == Some(0) && said.output.contains("\nWebhook\n  ✓ configuration dynamo-cache exists\n"));
    let own = "  ✓ the server issues its certificate itself, under a CA in caBundle that expires in ";
    assert!(said.output.contains(own), "{}", said.output);

    // The server was stopped: its canary alone turned, with the API server's own words.
    let mut expected = healthy.states.clone();
    expected.insert("canary".to_owned(), "failed".to_owned());
    expected.insert("version".to_owned(), "not-checked".to_owned());
    expected.insert("pods".to_owned(), "warning".to_owned());
    assert_eq!(stopped.0, expected);
    let output = stopped.1.to_string();
    assert!(
        output.contains("failed calling webhook") && output.contains("kubectl get pods -n dynamo-cache"),
        "{output}"
    );

    what_is_not_as_shipped_and_what_others_refuse(&healthy);

    let label = "dynamo-cache.io/inject";
    namespace.kubectl(&["label", "namespace", &namespace.name, &format!("{label}-")]).unwrap();
    let output = healthy.fails("label", &["pods"]);
    let command = format!("kubectl label namespace {} {label}=enabled --overwrite", namespace.name);
    assert!(output.contains(&command), "{output}");
    namespace.kubectl(&["label", "namespace", &namespace.name, &format!("{label}=disabled")]).unwrap();
    assert!(healthy.fails("label", &["pods"]).contains(&command));
    namespace.kubectl(&["label", "namespace", &namespace.name, &format!("{label}=enabled"), "--overwrite"]).unwrap();
    healthy.is_back();

    let annotate = |annotation: &str| {
        namespace.kubectl(&["annotate", "--overwrite", "namespace", &namespace.name, annotation]).unwrap();
    };
    annotate("dynamo-cache.io/model-express-url=https://model-express");
    let output = healthy.changes(&[("annotations", "warning"), ("model-express", "failed")]).to_string();
    assert!(output.contains("[annotation-invalid]"), "{output}");
    annotate("dynamo-cache.io/model-express-url=model-express:8002");
    let output = healthy.fails("model-express", &[]);
    assert!(output.contains("has no port 8002, only 8001"), "{output}");
    annotate("dynamo-cache.io/model-express-url=mx.nowhere-at-all:8001");
    healthy.changes(&[("model-express", "not-checked")]);
    annotate("dynamo-cache.io/model-express-url=model-express:8001");
    healthy.is_back();

    namespace.kubectl(&["delete", "persistentvolumeclaim", CACHES[0]]).unwrap();
    let output = healthy.fails("model-claim", &[]);
    assert!(output.contains("[claim-not-found]") && output.contains("dynamo-cache download MODEL -n "), "{output}");
    namespace.claims(&CACHES[..1]);
    namespace.kubectl(&["delete", "persistentvolumeclaim", CACHES[1]]).unwrap();
    let mut of_one_node = claim(CACHES[1]);
    of_one_node["spec"]["accessModes"] = json!(["ReadWriteOnce"]);
    namespace.create(&of_one_node.to_string()).unwrap();
    let output = healthy.fails("compile-claim", &[]);
    assert!(output.contains("[claim-single-node]") && output.contains("ReadWriteMany"), "{output}");
    namespace.kubectl(&["delete", "persistentvolumeclaim", CACHES[1]]).unwrap();
    namespace.claims(&CACHES[1..]);
    healthy.is_back();

    namespace.kubectl(&["delete", "service", "model-express"]).unwrap();
    let output = healthy.fails("model-express", &[]);
    assert!(output.contains("there is no Service model-express"), "{output}");
    namespace.apply(&service("model-express")).unwrap();
    healthy.is_back();
}

/// The configuration's other line turns and the canary stays, and a policy of others that refuses the canary is no failure.
fn what_is_not_as_shipped_and_what_others_refuse(healthy: &Healthy<'_>) {
    let plane = shared();
    let patch = |entry: &Value| {
        let patch = json!({"webhooks": [entry]}).to_string();
        plane.kubectl(&[&["patch"], CONFIGURATION.as_slice(), &["--patch", &patch]].concat()).unwrap();
    };
    patch(&json!({"name": "pods.dynamo-cache.io", "objectSelector": {"matchLabels": {"no-pod": "has"}}}));
    let output = healthy.fails("configuration", &[]);
    assert!(output.contains("pods.dynamo-cache.io objectSelector"), "{output}");
    patch(&json!({"name": "pods.dynamo-cache.io", "objectSelector": {"matchLabels": null}}));
    patch(&json!({"name": "canary.dynamo-cache.io", "reinvocationPolicy": "IfNeeded"}));
    let output = healthy.fails("configuration", &["canary", "version"]);
    assert!(output.contains("canary.dynamo-cache.io reinvocationPolicy"), "{output}");
    patch(&json!({"name": "canary.dynamo-cache.io", "reinvocationPolicy": "Never"}));
    healthy.is_back();

    let name = "pods-have-an-owner";
    let of = |kind: &str, spec: Value| {
        json!({
            "apiVersion": "admissionregistration.k8s.io/v1", "kind": kind, "metadata": {"name": name}, "spec": spec,
        })
    };
    let rules = json!([{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]}]);
    let policy = of(
        "ValidatingAdmissionPolicy",
        json!({
            "failurePolicy": "Fail",
            "matchConstraints": {
                "resourceRules": rules,
                "objectSelector": {"matchExpressions": [{"key": "dynamo-cache.io/canary", "operator": "Exists"}]},
            },
            "validations": [{"expression": "has(object.metadata.labels.owner)", "message": "it has no owner"}],
        }),
    );
    let binding = of("ValidatingAdmissionPolicyBinding", json!({"policyName": name, "validationActions": ["Deny"]}));
    plane.kubectl(&["create", "-f", &plane.file(&format!("{policy}\n---\n{binding}"))]).unwrap();
    let output = healthy.changes(&[("canary", "not-checked"), ("version", "not-checked")]).to_string();
    assert!(output.contains("canary: not checked: ") && output.contains("it has no owner"), "{output}");
    let kinds = "validatingadmissionpolicybinding,validatingadmissionpolicy";
    plane.kubectl(&["delete", kinds, name]).unwrap();
    healthy.is_back();
}

#[test]
fn a_wrong_ca_or_no_configuration_fails_its_line_and_skips_what_depends_on_it() {
    let plane = ControlPlane::start().unwrap();
    let install = "helm install dynamo-cache manifests/chart --namespace dynamo-cache --create-namespace";
    plane.bash(&format!("{install} --set certificate.mode=secret,config.modelCache.claim=models")).unwrap();
    let printed = plane.bash("certs/dev --out \"$(dirname \"$KUBECONFIG\")/certs\"").unwrap().out;
    plane.bash(printed.split_once("installed with certificate.mode=secret:").unwrap().1).unwrap();
    plane.kubectl(&["label", "namespace", "default", "dynamo-cache.io/inject=enabled"]).unwrap();
    let claims = ["models", CACHES[1]].map(|name| claim(name).to_string()).join("\n---\n");
    plane.kubectl(&["create", "-n", "default", "-f", &plane.file(&claims)]).unwrap();
    let check = || {
        let (states, lines) = states(&plane.dynamo_cache(&["check", "-n", "default", "-o", "json"]));
        (states, lines.to_string())
    };
    let patch = |entries: &[Value]| {
        let patch = json!({"webhooks": entries}).to_string();
        plane.kubectl(&[&["patch"], CONFIGURATION.as_slice(), &["--patch", &patch]].concat()).unwrap();
    };
    let entries = |bundle: &Value| {
        let names = ["pods.dynamo-cache.io", "canary.dynamo-cache.io"];
        names.map(|name| json!({"name": name, "clientConfig": {"caBundle": bundle}}))
    };

    // There is no node, so the Service has no endpoints.
    let (before, output) = check();
    for (check, state) in &before {
        let expected = match &**check {
            "service" => "failed",
            "canary" | "version" => "not-checked",
            "pods" => "warning",
            _ => "ok",
        };
        assert_eq!(state, expected, "{check}: {output}");
    }
    assert!(
        output.contains("has no ready endpoint") && output.contains("caBundle verifies the server's certificate"),
        "{output}"
    );

    let bundle = plane.read(&CONFIGURATION)["webhooks"][0]["clientConfig"]["caBundle"].clone();
    let other = rcgen::generate_simple_self_signed(["other".to_owned()]).unwrap().cert.pem();
    let mut with_certificate = before.clone();
    with_certificate.insert("certificate".to_owned(), "failed".to_owned());
    patch(&entries(&json!(STANDARD.encode(other))));
    let (states, output) = check();
    assert_eq!(states, with_certificate);
    assert!(output.contains("UnknownIssuer") && output.contains("certs/README.md"), "{output}");
    patch(&entries(&bundle)[..1]);
    let (states, output) = check();
    assert_eq!(states, with_certificate);
    assert!(output.contains("the caBundle of canary.dynamo-cache.io differs"), "{output}");
    patch(&entries(&bundle));
    assert_eq!(check().0, before);
    let said = plane.dynamo_cache(&["check", "-n", "default"]);
    assert_eq!((said.code, said.errors.as_str()), (Some(1), "1 check failed\n"));
    assert!(said.output.contains("  – canary: not checked: it depends on the Service\n"), "{}", said.output);

    // Half a guard does nothing.
    plane.kubectl(&["delete", "validatingadmissionpolicybinding", "dynamo-cache-guard"]).unwrap();
    let (states, output) = check();
    assert_eq!(states["guard"], "warning");
    assert!(
        output.contains("exists without a ValidatingAdmissionPolicyBinding of that name, so the guard does nothing"),
        "{output}"
    );
    let guard = "--namespace dynamo-cache --show-only templates/validatingadmissionpolicy.yaml | kubectl apply -f -";
    plane.bash(&format!("helm template dynamo-cache manifests/chart {guard}")).unwrap();
    assert_eq!(check().0, before);

    // A file with mistakes is a line of its own, and everything else is still reported.
    plane.kubectl(&["wait", "--for=create", "serviceaccount/default", "--timeout=60s"]).unwrap();
    plane.kubectl(&["create", "-f", &plane.file(&worker("alone").to_string())]).unwrap();
    let settings =
        plane.read(&["configmap", "dynamo-cache", "--namespace=dynamo-cache"])["data"]["config.yaml"].clone();
    let write = |settings: &Value| {
        let patch = json!({"data": {"config.yaml": settings}}).to_string();
        plane.kubectl(&["patch", "configmap", "dynamo-cache", "--namespace=dynamo-cache", "--patch", &patch]).unwrap();
    };
    write(&json!(settings.as_str().unwrap().replace("claim: models", "clam: models")));
    let mut with_mistakes = before.clone();
    with_mistakes.insert("settings".to_owned(), "failed".to_owned());
    let depend = ["model-claim", "compile-claim", "model-express"];
    with_mistakes.extend(depend.map(|check| (check.to_owned(), "not-checked".to_owned())));
    let (states, output) = check();
    assert_eq!(states, with_mistakes);
    assert!(output.contains("clam") && output.contains("it depends on the settings"), "{output}");
    settings_with_mistakes_hide_no_pod(&plane);
    write(&settings);
    // The worker names a model, which may have been brought in another way than by a download.
    let mut with_models = before.clone();
    with_models.insert("models".to_owned(), "ok".to_owned());
    assert_eq!(check().0, with_models);
    let said = plane.dynamo_cache(&["check", "-n", "nowhere"]);
    let expected = "  × there is no namespace nowhere\n      kubectl create namespace nowhere; kubectl get namespaces lists the existing ones\n";
    assert!(said.output.contains(expected), "{}", said.output);
    assert_eq!((said.code, said.errors.as_str()), (Some(1), "2 checks failed\n"));

    plane.kubectl(&[&["delete"], CONFIGURATION.as_slice()].concat()).unwrap();
    let (states, output) = check();
    for (check, state) in &states {
        let expected = match &**check {
            "installation" => "failed",
            "configuration" | "service" | "certificate" | "guard" | "other-webhooks" | "canary" | "version"
            | "settings" | "label" | "model-claim" | "compile-claim" | "model-express" => "not-checked",
            "pods" => "warning",
            _ => "ok",
        };
        assert_eq!(state, expected, "{check}: {output}");
    }
    assert!(output.contains("helm upgrade --install dynamo-cache"), "{output}");
}

/// Commands that look go on with the built-in settings, and the one that fills a claim does not.
fn settings_with_mistakes_hide_no_pod(plane: &ControlPlane) {
    for command in [&["status"][..], &["preview"], &["explain", "alone"]] {
        let said = plane.dynamo_cache(&[command, &["-n", "default"]].concat());
        assert_eq!(said.code, Some(0), "{}", said.errors);
        let parts = ["ConfigMap dynamo-cache/dynamo-cache:", "clam", "keep the last settings without"];
        assert!(parts.iter().all(|part| said.errors.contains(part)), "{}", said.errors);
        assert!(said.output.contains("alone"), "{command:?}: {}", said.output);
    }
    let said = plane.dynamo_cache(&["download", "m/m", "-n", "default", "--apply"]);
    assert!(
        said.code == Some(1) && said.errors.contains("clam"),
        "it is not known which claim to fill: {}",
        said.errors
    );
}
