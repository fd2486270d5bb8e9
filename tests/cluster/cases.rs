//! The case folders, through a real API server: it accepts each pod, and stores it with what the webhook adds.
//!
//! Cases that agree on the namespace and its claims share a namespace, so that hundreds of them cost a handful of calls.

use std::collections::BTreeMap;
use std::fs;

use serde_json::{Value, json};

use self::case::{Case, NamespaceSetup};
use crate::harness::control_plane::{ControlPlane, shared, webhook};
use crate::harness::{ROOT, wait_for};

mod case;

fn cases() -> Vec<Case> {
    let folder = format!("{ROOT}/tests/cases");
    let entries = fs::read_dir(&folder).unwrap_or_else(|why| panic!("failed to read {folder}: {why}"));
    let mut folders: Vec<_> = entries.map(|entry| entry.unwrap().path()).filter(|path| path.is_dir()).collect();
    folders.sort();
    folders.iter().enumerate().map(|(number, folder)| Case::read(number, folder)).collect()
}

/// The namespaces that the cases need, by name, and for each case the name of its own.
fn setups(cases: &[Case]) -> (BTreeMap<String, NamespaceSetup>, Vec<String>) {
    let mut found: Vec<NamespaceSetup> = Vec::new();
    let selected = cases.iter().map(|case| {
        let number = found.iter().position(|setup| *setup == case.setup).unwrap_or_else(|| {
            found.push(case.setup.clone());
            found.len() - 1
        });
        format!("cases-{number}")
    });
    let selected = selected.collect();
    (found.into_iter().enumerate().map(|(number, setup)| (format!("cases-{number}"), setup)).collect(), selected)
}

fn create(plane: &ControlPlane, objects: impl IntoIterator<Item = Value>) -> Result<(), String> {
    let objects: Vec<_> = objects.into_iter().map(|object| object.to_string()).collect();
    let file = plane.file(&objects.join("\n---\n"));
    plane.kubectl(&["create", "--output=name", "-f", &file]).map(drop)
}

/// Creates the namespaces, and waits until pods can be created in them and their claims are what the cases say.
fn create_namespaces(plane: &ControlPlane, setups: &BTreeMap<String, NamespaceSetup>) {
    create(plane, setups.iter().map(|(name, setup)| setup.namespace(name))).unwrap();
    let account = |name: &String| json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default", "namespace": name}});
    // The controller of ServiceAccounts creates a handful a second; it does not matter which of us is first.
    let made = create(plane, setups.keys().map(account));
    assert!(made.as_ref().err().is_none_or(|said| said.contains("already exists")), "{made:?}");
    let classes: BTreeMap<_, _> = setups
        .values()
        .flat_map(NamespaceSetup::classes)
        .map(|class| (class["metadata"]["name"].to_string(), class.clone()))
        .collect();
    create(plane, classes.into_values()).unwrap();
    create(plane, setups.iter().flat_map(|(name, setup)| setup.claims(name))).unwrap();
    for (name, setup) in setups {
        for claim in setup.being_deleted() {
            plane.kubectl(&["delete", "--wait=false", "--namespace", name, "persistentvolumeclaim", claim]).unwrap();
        }
        for claim in setup.lost() {
            wait_for("a claim to be lost", || {
                let claim = plane.read(&["persistentvolumeclaim", claim, "--namespace", name]);
                if claim["status"]["phase"] == "Lost" { Ok(()) } else { Err(claim["status"].to_string()) }
            });
        }
    }
    wait_for("the ServiceAccounts of all namespaces", || {
        let accounts = plane.read(&["serviceaccounts", "--all-namespaces", "--field-selector=metadata.name=default"]);
        let accounts = accounts["items"].as_array().unwrap();
        let is_missing = |name: &&String| !accounts.iter().any(|account| account["metadata"]["namespace"] == **name);
        setups.keys().find(is_missing).map_or(Ok(()), |name| Err(format!("{name} has none")))
    });
}

/// Where `stored` lacks what `expected` has beyond `object`, as paths. Lists are compared by the names in them.
fn lacking(path: &str, object: Option<&Value>, expected: &Value, stored: Option<&Value>, found: &mut Vec<String>) {
    if object == Some(expected) || stored == Some(expected) {
        return;
    }
    match (expected, stored) {
        (Value::Object(fields), Some(stored @ Value::Object(_))) => {
            for (field, value) in fields {
                let before = object.and_then(|object| object.get(field));
                lacking(&format!("{path}/{field}"), before, value, stored.get(field), found);
            }
        }
        (Value::Array(items), Some(Value::Array(stored))) => {
            let same = |a: &Value, b: &Value| {
                if a.is_object() { a["name"] == b["name"] && a["mountPath"] == b["mountPath"] } else { a == b }
            };
            for item in items {
                let before = object.and_then(Value::as_array).and_then(|list| list.iter().find(|b| same(b, item)));
                let name = item["name"].as_str().map_or_else(|| item.to_string(), str::to_owned);
                let there = stored.iter().find(|there| same(there, item));
                lacking(&format!("{path}/{name}"), before, item, there, found);
            }
        }
        _ => found.push(format!("{path}: {expected} expected, {} stored", stored.unwrap_or(&Value::Null))),
    }
}

/// Where `stored` has more than `expected` of what we could have added. The API server itself adds a token's volume.
fn more(expected: &Value, stored: &Value, found: &mut Vec<String>) {
    let names = |list: &Value| {
        let names = list.as_array().map(Vec::as_slice).unwrap_or_default().iter();
        let names = names.map(|item| item["name"].as_str().map_or_else(|| item.to_string(), str::to_owned));
        names.filter(|name| !name.starts_with("kube-api-access-")).collect::<Vec<_>>()
    };
    let mut compare = |what: &str, expected: &Value, stored: &Value| {
        if names(expected) != names(stored) {
            found.push(format!("/{what}: {:?} expected, {:?} stored", names(expected), names(stored)));
        }
    };
    compare("volumes", &expected["spec"]["volumes"], &stored["spec"]["volumes"]);
    for list in ["initContainers", "containers"] {
        let containers = |pod: &Value| pod["spec"][list].as_array().cloned().unwrap_or_default();
        for (expected, stored) in containers(expected).iter().zip(&containers(stored)) {
            for part in ["volumeMounts", "env", "args"] {
                compare(part, &expected[part], &stored[part]);
            }
        }
    }
    let keys =
        |pod: &Value| pod["metadata"]["annotations"].as_object().map(|all| all.keys().cloned().collect::<Vec<_>>());
    let (expected, stored) = (keys(expected).unwrap_or_default(), keys(stored).unwrap_or_default());
    if let Some(key) = stored.iter().find(|key| !expected.contains(key)) {
        found.push(format!("/metadata/annotations: {key} is not expected"));
    }
}

#[test]
fn every_case_is_accepted_by_a_real_api_server_and_stored_as_expected() {
    let _webhook = webhook::running();
    let (plane, cases) = (shared(), cases());
    assert!(!cases.is_empty(), "no case folder under tests/cases");
    let (setups, namespaces) = setups(&cases);
    create_namespaces(plane, &setups);

    let said = create(plane, cases.iter().zip(&namespaces).map(|(case, namespace)| case.created(namespace)));
    let pods = plane.read(&["pods", "--all-namespaces"]);
    let pods = pods["items"].as_array().unwrap().iter();
    let stored: BTreeMap<_, _> = pods.filter_map(|pod| Some((pod["metadata"]["name"].as_str()?, pod))).collect();
    let mut broken = Vec::new();
    for case in &cases {
        let mut found = Vec::new();
        match stored.get(case.pod.as_str()) {
            None => found.push(format!(": the API server has not stored {}", case.pod)),
            Some(stored) => {
                lacking("", Some(&case.object), &case.expected, Some(stored), &mut found);
                more(&case.expected, stored, &mut found);
            }
        }
        broken.extend(found.into_iter().map(|lack| format!("{}{lack}", case.name)));
    }
    let said = said.err().unwrap_or_default();
    assert!(broken.is_empty() && said.is_empty(), "{}\n{said}", broken.join("\n"));
}
