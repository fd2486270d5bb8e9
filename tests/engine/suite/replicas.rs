//! Workers that compile into one folder at the same time, are killed there, or find it damaged.

use std::fs;
use std::path::{Path, PathBuf};

use crate::deployment::worker;
use crate::harness::cluster::wait_for;
use crate::harness::namespace::Namespace;
use crate::harness::release;
use crate::harness::volume::Volume;
use crate::model;

/// A namespace with a model on its claim, and an empty compile cache.
fn furnished() -> Namespace {
    let namespace = Namespace::opted_in(&[("model-offline", "true")]);
    namespace.claims(&[Volume::proven("model-cache"), Volume::proven("compilation-cache")]);
    model::bring(&namespace, "model-cache");
    namespace
}

/// Where a folder of the compile cache is on the node.
fn on_node(namespace: &Namespace, folder: &str) -> PathBuf {
    let below = folder.strip_prefix("/home/dynamo/.cache/dynamo-cache/").unwrap_or_else(|| panic!("{folder}"));
    format!("{}/{}/compilation-cache/{below}", namespace.cluster.volumes(), namespace.name).into()
}

#[test]
fn two_replicas_at_once_and_one_on_a_cut_artifact_start_and_the_next_is_warm() {
    let _running = release::running();
    let namespace = furnished();
    let mut worker = worker("worker", &[]);
    worker["spec"]["replicas"] = 2.into();
    namespace.create(&worker);
    let both = namespace.ready("worker", 2, "two at once on an empty claim");
    for start in &both {
        assert_eq!(start.restarts(), 0, "{:#}", start.pod);
    }
    assert!(both.iter().any(|start| start.saved().is_some()), "one of them compiled");
    let folder = on_node(&namespace, both[0].folder());
    namespace.stop("worker");
    worker["spec"]["replicas"] = 1.into();
    namespace.create(&worker);
    namespace.one_ready("worker", "the next after two at once").assert_hit();
    namespace.stop("worker");

    let artifact = artifact(&folder);
    let half = fs::metadata(&artifact).unwrap().len() / 2;
    fs::File::options().write(true).open(&artifact).unwrap().set_len(half).unwrap();
    namespace.create(&worker);
    let after = namespace.one_ready("worker", "with the artifact cut in half");
    assert_eq!(after.restarts(), 0, "{:#}", after.pod);
    after.assert_cold();
    namespace.stop("worker");
    namespace.create(&worker);
    namespace.one_ready("worker", "the next after it").assert_hit();
    namespace.stop("worker");
}

#[test]
fn four_replicas_start_though_one_is_killed_while_it_compiles_and_the_next_is_warm() {
    let _running = release::running();
    let namespace = furnished();
    let mut worker = worker("worker", &[]);
    worker["spec"]["replicas"] = 4.into();
    namespace.create(&worker);
    // It compiles once it has made the folder of its key, and is done once the artifact is there.
    let victim = wait_for("one of four to compile", || {
        let pods = namespace.read(&["pods", "--selector", "app=worker"]);
        for pod in pods["items"].as_array().unwrap() {
            let name = pod["metadata"]["name"].as_str().unwrap();
            let log = namespace.kubectl(&["logs", name])?;
            if log.contains("Using cache directory: ") && !log.contains("saved AOT compiled function") {
                return Ok(name.to_owned());
            }
        }
        Err("none does".to_owned())
    });
    // Not the first process, which no signal from inside its own namespace kills.
    namespace.kubectl(&["exec", &victim, "--", "pkill", "-KILL", "-f", "EngineCore"]).unwrap();
    let four = namespace.ready("worker", 4, "four at once, one of them killed while it compiled");
    for start in &four {
        let killed = start.pod["metadata"]["name"] == victim.as_str();
        assert_eq!(start.restarts(), u64::from(killed), "{:#}", start.pod);
    }
    namespace.stop("worker");
    worker["spec"]["replicas"] = 1.into();
    namespace.create(&worker);
    namespace.one_ready("worker", "the next after four at once").assert_hit();
    namespace.stop("worker");
}

/// The artifact that the next worker loads: the only file that is called `model`.
fn artifact(folder: &Path) -> PathBuf {
    let mut found: Vec<PathBuf> = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.file_name().is_some_and(|name| name == "model") {
                found.push(path);
            }
        }
    }
    assert_eq!(found.len(), 1, "one artifact below {}: {found:?}", folder.display());
    found.remove(0)
}
