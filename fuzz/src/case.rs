//! The case folders of the tests, as input.

use std::fs;
use std::path::Path;

use dynamo_cache::yaml;
use serde_json::Value;

/// Where the product is.
pub const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

/// A case folder, as far as it is input.
pub struct Case {
    /// The pod.
    pub pod: Value,
    /// The namespace's annotations.
    pub namespace: Vec<(String, String)>,
    /// The settings file, where the case has one.
    pub config: Option<String>,
}

/// All cases, in the order of their names.
pub fn all() -> Vec<Case> {
    let folders = fs::read_dir(format!("{ROOT}/tests/cases")).expect("the tests have cases");
    let mut folders: Vec<_> = folders.map(|folder| folder.expect("a folder can be listed").path()).collect();
    folders.sort();
    folders.iter().map(|folder| read(folder)).collect()
}

fn read(folder: &Path) -> Case {
    let document = |name: &str| {
        let text = fs::read_to_string(folder.join(name)).ok()?;
        Some(yaml::documents(&text).expect("a case is YAML").pop()?.value)
    };
    let namespace = document("namespace.yaml").unwrap_or_default();
    Case {
        pod: document("object.yaml").expect("every case has a pod"),
        namespace: annotations(&namespace),
        config: fs::read_to_string(folder.join("config.yaml")).ok(),
    }
}

/// The annotations of an object.
pub fn annotations(object: &Value) -> Vec<(String, String)> {
    let annotations = object["metadata"]["annotations"].as_object().into_iter().flatten();
    annotations.map(|(name, value)| (name.clone(), value.as_str().unwrap_or_default().to_owned())).collect()
}
