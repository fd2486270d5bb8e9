//! The guard: the API server itself warns of components that the webhook did not review, or refuses them.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use dynamo_cache::admission::unreviewed::is_unreviewed;
use dynamo_cache::yaml;
use serde_json::{Value, json};

use crate::harness::control_plane::namespace::Namespace;
use crate::harness::control_plane::{ControlPlane, shared, webhook};
use crate::harness::pods::{status, worker};
use crate::harness::{ROOT, wait_for};

const POLICY: &str = "manifests/chart --namespace dynamo-cache --show-only templates/validatingadmissionpolicy.yaml";

/// A worker as the Dynamo operator labels it.
fn labelled(name: &str) -> Value {
    let mut pod = worker(name);
    pod["metadata"]["labels"] = json!({"nvidia.com/dynamo-component-type": "worker"});
    pod
}

/// Installs the guard in a mode.
fn install(plane: &ControlPlane, mode: &str) {
    plane.bash(&format!("helm template dynamo-cache {POLICY} --set guard.mode={mode} | kubectl apply -f -")).unwrap();
}

/// What kubectl says of a pod that is not stored: its standard error, be it a warning or a refusal.
fn said_of(namespace: &Namespace, pod: &Value) -> String {
    let pod = shared().file(&pod.to_string());
    let create = namespace.kubectl(&["create", "--dry-run=server", "-f", &pod]);
    create.map_or_else(|refused| refused, |said| said.err)
}

fn says(namespace: &Namespace, pod: &Value, part: &str) {
    wait_for(part, || {
        let said = said_of(namespace, pod);
        if said.contains(part) { Ok(()) } else { Err(format!("it says {said:?}")) }
    });
}

/// Waits until the guard warns, and no longer refuses: its policy and its binding each take a moment.
fn wait_for_warnings(namespace: &Namespace) {
    let warning = "Warning: Validation failed for ValidatingAdmissionPolicy 'dynamo-cache-guard' with binding \
                   'dynamo-cache-guard': dynamo-cache did not review pod unreviewed: it starts without caches; dynamo-cache check \
                   finds out why";
    says(namespace, &labelled("unreviewed"), warning);
}

#[test]
fn an_unreviewed_component_gets_a_warning_or_is_refused_and_a_reviewed_one_neither() {
    let mut webhook = webhook::stopped();
    let namespace = Namespace::opted_in(shared(), &[]);
    wait_for_warnings(&namespace);
    let warning =
        "dynamo-cache did not review pod unreviewed: it starts without caches; dynamo-cache check finds out why";
    let said = namespace.create(&labelled("unreviewed").to_string()).unwrap();
    assert!(said.out.contains("created") && said.err.contains(warning), "{}{}", said.out, said.err);
    let not_seen = wait_for("the pod in the audit log", || {
        let events = shared().audit(&namespace);
        let recorded = events.iter().find_map(|annotations| annotations.get("dynamo-cache-guard/unreviewed").cloned());
        recorded.ok_or_else(|| format!("{events:?}"))
    });
    assert_eq!(not_seen, "unreviewed");

    install(shared(), "Deny");
    let refusal =
        "denied request: dynamo-cache did not review pod unreviewed-2: it is refused; dynamo-cache check finds out why";
    says(&namespace, &labelled("unreviewed-2"), refusal);
    assert!(namespace.create(&labelled("unreviewed-2").to_string()).is_err());
    // A namespace that asks for nothing, a pod that opts out, and one without a component label are none of its business.
    let plain = Namespace::plain(shared());
    let mut out = labelled("out");
    out["metadata"]["annotations"] = json!({"dynamo-cache.io/inject": "false"});
    for (namespace, pod) in [(&plain, labelled("plain")), (&namespace, out), (&namespace, worker("worker"))] {
        assert_eq!(said_of(namespace, &pod), "", "{pod:#}");
    }

    webhook.start_while_others_wait();
    wait_for("the webhook to see the pod, which is then not refused", || {
        namespace.create(&labelled("seen").to_string())
    });
    assert!(!status(&namespace.pod("seen")).is_null());
    install(shared(), "Warn");
    wait_for("no word about a pod that was seen", || {
        let said = said_of(&namespace, &labelled("seen-2"));
        if said.contains("did not review") { Err(said) } else { Ok(()) }
    });
}

#[test]
fn off_leaves_the_guard_out_and_its_namespaces_are_those_of_the_webhook() {
    let _webhook = webhook::running();
    let plane = shared();
    let off = plane.bash("helm template dynamo-cache manifests/chart --set guard.mode=Off").unwrap();
    assert!(!off.out.contains("ValidatingAdmissionPolicy"));
    assert!(
        plane.bash("helm template dynamo-cache manifests/chart --set guard.mode=warn").is_err(),
        "a schema says so"
    );
    let policy = plane.read(&["validatingadmissionpolicy", "dynamo-cache-guard"]);
    let configuration = plane.read(&["mutatingwebhookconfiguration", "dynamo-cache"]);
    let entries = configuration["webhooks"].as_array().unwrap();
    let entry = entries.iter().find(|entry| entry["name"] == "pods.dynamo-cache.io").unwrap();
    let selector = &policy["spec"]["matchConstraints"]["namespaceSelector"];
    assert_eq!(*selector, entry["namespaceSelector"]);
    let conditions = policy["spec"]["matchConditions"].as_array().unwrap();
    for condition in entry["matchConditions"].as_array().unwrap() {
        assert!(conditions.contains(condition), "the guard lacks {condition}");
    }
    let warnings = &policy["status"]["typeChecking"]["expressionWarnings"];
    assert!(warnings.is_null(), "{warnings:#}");
}

/// The pod of a case before or after the webhook, under a name of its own.
fn pod(folder: &Path, file: &str, name: &str) -> Value {
    let text = fs::read_to_string(folder.join(file)).unwrap();
    let mut pod = yaml::documents(&text).unwrap().remove(0).value;
    if let Some(metadata) = pod["metadata"].as_object_mut() {
        for given in ["creationTimestamp", "generateName", "namespace", "resourceVersion", "uid"] {
            metadata.remove(given);
        }
    }
    pod["metadata"]["name"] = json!(name);
    pod
}

fn has_status(pod: &Value) -> bool {
    pod["metadata"]["annotations"].get("dynamo-cache.io/status").is_some()
}

fn is_labelled(pod: &Value) -> bool {
    let labels = pod["metadata"]["labels"].as_object().into_iter().flatten();
    labels
        .map(|(label, _)| label.strip_prefix("nvidia.com/dynamo-").unwrap_or_default())
        .any(|label| ["component-type", "component", "graph-deployment-name"].contains(&label))
}

/// Whether the gauge counts a pod: it sees metadata alone.
fn counts(pod: &Value) -> bool {
    let metadata = json!({"metadata": pod["metadata"]}).to_string();
    is_unreviewed(&serde_json::from_str(&metadata).unwrap())
}

#[test]
fn guard_core_and_count_agree_on_every_case() {
    let _stopped = webhook::stopped();
    let namespace = Namespace::opted_in(shared(), &[]);
    wait_for_warnings(&namespace);
    let mut folders: Vec<_> =
        fs::read_dir(format!("{ROOT}/tests/cases")).unwrap().map(|entry| entry.unwrap().path()).collect();
    folders.sort();
    let (mut pods, mut expected) = (Vec::new(), BTreeMap::new());
    for (number, folder) in folders.iter().enumerate() {
        let (before, after) = (format!("case-{number}-before"), format!("case-{number}-after"));
        let (object, patched) = (pod(folder, "object.yaml", &before), pod(folder, "expected.yaml", &after));
        // The core wants a status on it, and it has none yet.
        let is_unreviewed = is_labelled(&object) && has_status(&patched) && !has_status(&object);
        assert_eq!(is_labelled(&object) && counts(&object), is_unreviewed, "the count and {}", folder.display());
        expected.insert(before, (is_unreviewed, folder));
        expected.insert(after, (false, folder));
        pods.extend([object.to_string(), patched.to_string()]);
    }
    assert!(expected.values().filter(|(is_unreviewed, _)| *is_unreviewed).count() > 20, "labelled cases are gone");
    let file = shared().file(&pods.join("\n---\n"));
    let said = namespace.kubectl(&["create", "--dry-run=server", "--output=name", "-f", &file]).unwrap();
    for (name, (is_unreviewed, folder)) in expected {
        assert!(said.out.lines().any(|line| line == format!("pod/{name}")), "{}: not created", folder.display());
        let is_warned = said.err.contains(&format!("dynamo-cache did not review pod {name}: "));
        assert_eq!(is_warned, is_unreviewed, "{name} of {}", folder.display());
    }
}
