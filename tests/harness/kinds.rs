//! Objects of every kind that has pods, each with the pods that its controller makes.
//!
//! Each document of `tests/cli/kinds/*.yaml` is an object as people write it. The annotation `pods` on it lists the pods that its
//! controller makes: where their template is (`at`), where the additions go if that is another place (`patch`), whether that is a
//! patch of a shared template (`shared`), and what the controller adds or merges (`with`).

use std::fs;
use std::path::Path;

use dynamo_cache::yaml;
use serde_json::{Value, json};

use super::program::{Run, file, run};

/// One pod that a controller makes.
pub(crate) struct Made {
    /// The JSON Pointer of its template or spec.
    pub(crate) at: String,
    /// The pod as the API server gets it.
    pub(crate) pod: Value,
    /// The JSON Pointer of what has the additions.
    pub(crate) place: String,
    /// Whether that is a patch of the template.
    pub(crate) is_shared: bool,
    /// Whether the object has a place for the status annotation of this pod alone.
    pub(crate) has_metadata: bool,
}

/// Options with which objects are injected: none, one that adds arguments, and one that adds containers.
pub(crate) fn settings() -> Vec<Vec<String>> {
    let staged = "apiVersion: dynamo-cache.io/v1alpha1\nkind: CacheConfig\ncompileCache: {mode: staged}\n\
                  staging: {image: registry.example.com/dynamo-cache:1}\n";
    let load_format = ["--namespace-annotation", "dynamo-cache.io/load-format=fastsafetensors"];
    vec![
        Vec::new(),
        load_format.map(str::to_owned).to_vec(),
        vec!["--config".to_owned(), file("kinds-staged.yaml", staged)],
    ]
}

/// Injects an object with options.
pub(crate) fn inject(input: &str, options: &[String]) -> Run {
    let options: Vec<_> = options.iter().map(String::as_str).collect();
    let run = run(&[&["inject", "-f", "-"], options.as_slice()].concat(), input);
    assert_eq!(run.code, Some(0), "{}\n{input}", run.errors);
    run
}

/// The values of the documents of a text.
pub(crate) fn documents(text: &str) -> Vec<Value> {
    yaml::documents(text).unwrap().into_iter().map(|document| document.value).collect()
}

/// The objects, each with the pods of its controller.
pub(crate) fn objects() -> Vec<(Value, Vec<Made>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cli/kinds");
    let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let texts = files.into_iter().map(|file| fs::read_to_string(file).unwrap());
    let objects = texts.flat_map(|text| documents(&text)).map(|mut object| {
        let pods = object.as_object_mut().unwrap().remove("pods").expect("every object lists its pods");
        let made = pods.as_array().unwrap().iter().map(|pod| made(&object, pod)).collect();
        (object, made)
    });
    objects.collect()
}

/// The pod that a controller makes of a part of the object.
fn made(object: &Value, pod: &Value) -> Made {
    let at = pod["at"].as_str().unwrap().to_owned();
    let part = object.pointer(&at).unwrap_or_else(|| panic!("{at} in {object}"));
    let is_spec = part.get("spec").is_none() && part.get("podSpec").is_none();
    let mut metadata = json!({"name": "made"});
    let (own, spec) = if is_spec { (part, part) } else { (&part["metadata"], &part["spec"]) };
    for key in ["labels", "annotations"] {
        for from in [own.get(key), pod.pointer(&format!("/with/{key}"))] {
            for (name, value) in from.and_then(Value::as_object).into_iter().flatten() {
                metadata[key][name] = value.clone();
            }
        }
    }
    let mut spec = spec.clone();
    for (key, value) in pod.pointer("/with/spec").and_then(Value::as_object).into_iter().flatten() {
        spec[key] = value.clone();
    }
    Made {
        place: pod["patch"].as_str().unwrap_or(&at).to_owned(),
        at,
        pod: json!({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}),
        is_shared: pod["shared"] == json!(true),
        has_metadata: pod["status"] != json!(false),
    }
}
