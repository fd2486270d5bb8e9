//! The case folders below `tests/cases`: what each is created with, and what it expects.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use dynamo_cache::admission::claim::{BINDING_TIMEOUT, BindingMode, Claim, Claims, Wait};
use dynamo_cache::config::Config;
use dynamo_cache::yaml;
use serde_json::{Value, json};

use super::caller::{self, Answer};

/// A case folder.
pub(crate) struct Case {
    /// The folder's name, a sentence.
    pub(crate) name: String,
    /// The pod as it is created.
    pub(crate) object: Value,
    folder: PathBuf,
}

/// All cases, by name.
pub(crate) fn all() -> Vec<Case> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/cases");
    let mut folders: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    folders.sort();
    let case = |folder: PathBuf| Case {
        name: folder.file_name().unwrap().to_str().unwrap().to_owned(),
        object: document(&folder.join("object.yaml")).expect("every case has an object.yaml"),
        folder,
    };
    folders.into_iter().map(case).collect()
}

impl Case {
    /// The settings file, or the built-in settings.
    pub(crate) fn config(&self) -> Config {
        let text = fs::read_to_string(self.folder.join("config.yaml"));
        text.map_or_else(|_| Config::default(), |text| Config::read(&text).unwrap())
    }

    /// The namespace's annotations.
    pub(crate) fn namespace(&self) -> Vec<(String, String)> {
        let namespace = document(&self.folder.join("namespace.yaml")).unwrap_or_default();
        let annotations = namespace["metadata"]["annotations"].as_object().into_iter().flatten();
        annotations.map(|(name, value)| (name.clone(), value.as_str().unwrap().to_owned())).collect()
    }

    /// The claims that exist; `None` means that every claim exists.
    pub(crate) fn claims(&self) -> Option<Claims> {
        let list = document(&self.folder.join("claims.yaml"))?;
        let of_kind =
            |kind: &'static str| list["items"].as_array().unwrap().iter().filter(move |item| item["kind"] == kind);
        let mode = |name: &str| {
            let class = of_kind("StorageClass").find(|class| class["metadata"]["name"] == name)?;
            Some(BindingMode::named(class["volumeBindingMode"].as_str()))
        };
        let claim = |claim: &Value| {
            let modes = claim["spec"]["accessModes"].as_array().unwrap();
            let deleted = !claim["metadata"]["deletionTimestamp"].is_null();
            let (phase, volume_mode) = (claim["status"]["phase"].as_str(), claim["spec"]["volumeMode"].as_str());
            let writable = claim["metadata"]["annotations"]["dynamo-cache.io/writable"].as_str();
            let modes = modes.iter().map(|mode| mode.as_str().unwrap());
            let facts = Claim::new(deleted, phase, volume_mode, modes, writable);
            // A case with a time of creation has one that is long ago.
            let is_old = claim["metadata"]["creationTimestamp"].is_string();
            let class = claim["spec"]["storageClassName"].as_str().filter(|_| phase == Some("Pending") && is_old);
            let long = BINDING_TIMEOUT + Duration::from_secs(1);
            let wait = class.map(|class| Wait { class, waited: long });
            let binding = wait.map_or(facts.binding, |wait| wait.binding(BINDING_TIMEOUT, mode));
            (claim["metadata"]["name"].as_str().unwrap().to_owned(), Claim { binding, ..facts })
        };
        Some(of_kind("PersistentVolumeClaim").map(claim).collect())
    }

    /// The case as options of the program, its pod by the option named.
    pub(crate) fn options(&self, object: &str) -> Vec<String> {
        let mut options = vec![format!("{object}={}", self.folder.join("object.yaml").display())];
        options.extend(self.facts());
        options
    }

    /// What the program would otherwise ask a cluster, as options.
    pub(crate) fn facts(&self) -> Vec<String> {
        let files = [("--config", "config.yaml"), ("--namespace-file", "namespace.yaml"), ("--claims", "claims.yaml")];
        let files = files.map(|(option, name)| (option, self.folder.join(name)));
        files
            .iter()
            .filter(|(_, path)| path.exists())
            .map(|(option, path)| format!("{option}={}", path.display()))
            .collect()
    }

    /// The content of those files: cases that agree on it can share a server.
    pub(crate) fn same_facts(&self) -> Vec<String> {
        let read = |name| fs::read_to_string(self.folder.join(name)).unwrap_or_default();
        ["config.yaml", "namespace.yaml", "claims.yaml"].map(read).to_vec()
    }

    /// The question of an API server.
    pub(crate) fn review(&self) -> Value {
        let kind = json!({"group": "", "version": "v1", "kind": "Pod"});
        let request = json!({
            "uid": self.name, "kind": kind, "namespace": "cases", "operation": "CREATE", "object": self.object,
        });
        json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request})
    }

    /// Holds the answer to that question against the expectations.
    pub(crate) fn answered(&self, answer: &Answer) -> Result<(), String> {
        let response = &answer.json()["response"];
        if answer.status != 200 || response["uid"] != *self.name || response["allowed"] != true {
            return Err(format!("{answer:?}"));
        }
        let mut after = self.object.clone();
        if response["patchType"] == "JSONPatch" {
            let patch: json_patch::Patch = serde_json::from_str(&caller::patch(answer)).unwrap();
            json_patch::patch(&mut after, &patch).unwrap();
        }
        let audit = &response["auditAnnotations"];
        let reasons = audit["reasons"].as_str().map_or_else(Vec::new, |reasons| reasons.split(',').collect());
        let mut report = json!({"decision": audit["decision"], "reasons": reasons});
        if let Some(warnings) = response.get("warnings") {
            report["warnings"] = warnings.clone();
        }
        self.agrees(&after, &report)
    }

    /// Holds an answer against the expectations.
    pub(crate) fn agrees(&self, after: &Value, report: &Value) -> Result<(), String> {
        self.agrees_on_the_pod(after)?;
        same("report.yaml", &document(&self.folder.join("report.yaml")).unwrap_or_default(), report)
    }

    /// Holds a pod against the one expected.
    pub(crate) fn agrees_on_the_pod(&self, after: &Value) -> Result<(), String> {
        let text =
            fs::read_to_string(self.folder.join("expected.yaml")).map_err(|error| format!("expected.yaml: {error}"))?;
        let expected = parse(&text.replace("VERSION", env!("CARGO_PKG_VERSION")));
        same("expected.yaml", &expected, after)
    }

    /// The reason codes that the case expects.
    pub(crate) fn reasons(&self) -> Vec<String> {
        let report = document(&self.folder.join("report.yaml")).unwrap_or_default();
        let reasons = report["reasons"].as_array().into_iter().flatten();
        reasons.map(|reason| reason.as_str().unwrap().to_owned()).collect()
    }

    /// Writes an answer as the expectation.
    pub(crate) fn update(&self, after: &Value, report: &Value) {
        if self.agrees(after, report).is_ok() {
            return;
        }
        // A status that the pod came with keeps its version: only what we wrote has ours.
        let (mut text, before) = (yaml::write(after), yaml::write(&self.object));
        for versioned in [status_version, image_version] {
            let own = versioned(env!("CARGO_PKG_VERSION"));
            if !before.contains(&own) {
                text = text.replace(&own, &versioned("VERSION"));
            }
        }
        if self.agrees_on_the_pod(after).is_err() {
            fs::write(self.folder.join("expected.yaml"), text).unwrap();
        }
        fs::write(self.folder.join("report.yaml"), yaml::write(report)).unwrap();
    }
}

fn status_version(version: &str) -> String {
    format!("\"version\":\"{version}\"")
}

fn image_version(version: &str) -> String {
    format!("/dynamo-cache:{version}")
}

fn same(what: &str, expected: &Value, found: &Value) -> Result<(), String> {
    if expected == found {
        return Ok(());
    }
    let (expected, found) = (yaml::write(expected), yaml::write(found));
    Err(format!("{what}:\n{}", diffy::create_patch(&expected, &found)))
}

fn document(file: &Path) -> Option<Value> {
    Some(parse(&fs::read_to_string(file).ok()?))
}

fn parse(text: &str) -> Value {
    yaml::documents(text).unwrap().pop().unwrap().value
}

/// Runs every case, and fails with all that differ.
pub(crate) fn every_case(answer: impl Fn(&Case) -> Result<(), String>) {
    let cases = all();
    assert!(cases.len() > 200, "only {} case folders under tests/cases", cases.len());
    let mut differ = String::new();
    for case in &cases {
        if let Err(difference) = answer(case) {
            writeln!(differ, "\n== {}\n{difference}", case.name).unwrap();
        }
    }
    assert!(differ.is_empty(), "{differ}");
}

/// Options as the program takes them.
pub(crate) fn strings(options: &[String]) -> Vec<&str> {
    options.iter().map(String::as_str).collect()
}
