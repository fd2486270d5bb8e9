//! What the Dynamo operator makes of a component.

mod failover;

use serde_json::{Map, Value, json};

use super::{Component, Graph, MemoryService, items};
use crate::manifest::pod_templates::search::{SET_NAME, SET_SIZE};

/// The name of the container that runs the component.
pub(super) const MAIN: &str = "main";

/// What is not known of a component with checkpoints.
pub(super) const CHECKPOINT: &str = "whether the operator restores the pod from a checkpoint: the webhook adds nothing to such pods, nor to those that make one";

/// Where the operator mounts a compile cache of vLLM; for other engines the graph must say it.
const COMPILE_PATH: &str = "/root/.cache/vllm";

/// Completes a component to a pod, and returns it with what the operator decides, one line each.
pub(super) fn complete(graph: &Graph<'_>, component: Component) -> (Value, Vec<String>) {
    let Component { name, kind, labels, annotations, mut spec, mut main, .. } = component;
    let mut unknown = component.unknown;
    main.insert("name".to_owned(), MAIN.into());
    add_command(kind.as_deref(), &mut main);
    let own = items(main.get("env"));
    main.insert("env".to_owned(), merged(&[graph.env, &component.env, &own]).into());
    if let Some((claim, path)) = &component.compile_cache {
        add_compile_cache(graph, claim, path.as_deref(), &mut spec, &mut main);
    }
    if kind.as_deref() == Some("epp") && items(main.get("volumeMounts")).is_empty() {
        // Its image has another user, and a home of its own. Mounts of the graph replace it.
        add_volume(&mut spec, &mut main, &json!({"name": "hf-cache", "emptyDir": {}}), "/home/nonroot/.cache");
    }
    let sidecar = component.frontend_sidecar.map(|(index, sidecar)| (index, with_mounts_of(&main, sidecar)));
    if let Some(size) = &component.shared_memory {
        add_shared_memory(size, &mut spec, &mut main);
    }
    add_missing_volumes(&mut spec, &main);
    if let Some(service) = component.memory_service {
        add_memory_service(service, &mut spec, &mut main, &mut unknown);
    }
    spec.entry("securityContext").or_insert_with(|| json!({"fsGroup": 1000}));
    let mut beside = items(spec.get("containers"));
    if let Some((index, sidecar)) = sidecar {
        beside.insert(index.min(beside.len()), Value::Object(sidecar));
    }
    let has_failover = component.has_failover;
    let mut containers = if has_failover { failover::engines(main, &mut unknown) } else { vec![Value::Object(main)] };
    containers.extend(beside);
    spec.insert("containers".to_owned(), containers.into());

    let mut metadata = Map::new();
    let mut all = labels_of(graph.labels, labels);
    let known = [
        ("component-type", kind),
        ("component", Some(name.clone())),
        ("graph-deployment-name", graph.name.map(str::to_owned)),
    ];
    for (key, value) in known {
        all.extend(value.map(|value| (format!("nvidia.com/dynamo-{key}"), Value::from(value))));
    }
    let mut pod_annotations = labels_of(graph.annotations, annotations);
    if component.nodes > 1 {
        // With Grove, the label of a scaling group says the same.
        all.insert(SET_NAME.to_owned(), name.into());
        pod_annotations.insert(SET_SIZE.to_owned(), component.nodes.to_string().into());
        unknown.push(
            "the command lines of the leader and of the workers, which the operator makes of the one in the graph"
                .to_owned(),
        );
    }
    metadata.insert("labels".to_owned(), all.into());
    metadata.insert("annotations".to_owned(), pod_annotations.into());
    (json!({"metadata": metadata, "spec": spec}), unknown)
}

/// Every component but the EPP has a command by default. The graph may replace it, or its arguments alone.
fn add_command(kind: Option<&str>, main: &mut Map<String, Value>) {
    let usual = match kind {
        Some("epp") => return,
        Some("frontend") => [("command", json!(["python3"])), ("args", json!(["-m", "dynamo.frontend"]))],
        _ => [("command", json!(["/bin/sh", "-c"])), ("args", Value::Null)],
    };
    for (key, usual) in usual {
        if items(main.get(key)).is_empty() && !usual.is_null() {
            main.insert(key.to_owned(), usual);
        }
    }
}

/// Variables of several sources, each name once; what stands later wins.
fn merged(sources: &[&[Value]]) -> Vec<Value> {
    let mut all: Vec<Value> = Vec::new();
    for source in sources {
        // A name that one source has twice stays there twice.
        all.retain(|known| !source.iter().any(|variable| variable.get("name") == known.get("name")));
        all.extend_from_slice(source);
    }
    all
}

fn add_compile_cache(
    graph: &Graph<'_>,
    claim: &str,
    path: Option<&str>,
    spec: &mut Map<String, Value>,
    main: &mut Map<String, Value>,
) {
    let words = ["command", "args"].iter().filter_map(|key| main.get(*key)).map(Value::to_string).collect::<String>();
    let is_vllm = words.contains("dynamo.vllm") || (!words.contains("dynamo.") && graph.backend == Some("vllm"));
    let Some(path) = path.or(is_vllm.then_some(COMPILE_PATH)) else { return };
    add_claim(spec, main, claim, path);
    if is_vllm && let Some(variables) = main.get_mut("env").and_then(Value::as_array_mut) {
        // The operator adds it last, where the graph has it too.
        variables.push(json!({"name": "VLLM_CACHE_ROOT", "value": path}));
    }
}

/// Adds a volume of a claim, which is named like the claim, with its mount.
pub(super) fn add_claim(spec: &mut Map<String, Value>, main: &mut Map<String, Value>, claim: &str, path: &str) {
    add_volume(spec, main, &json!({"name": claim, "persistentVolumeClaim": {"claimName": claim}}), path);
}

fn add_volume(spec: &mut Map<String, Value>, main: &mut Map<String, Value>, volume: &Value, path: &str) {
    let mut volumes = items(spec.get("volumes"));
    if !volumes.iter().any(|known| known.get("name") == volume.get("name")) {
        volumes.push(volume.clone());
    }
    spec.insert("volumes".to_owned(), volumes.into());
    let mut mounts = items(main.get("volumeMounts"));
    let mount = json!({"name": volume.get("name"), "mountPath": path});
    if !mounts.contains(&mount) {
        mounts.push(mount);
    }
    main.insert("volumeMounts".to_owned(), mounts.into());
}

/// A mount without a volume is that of the claim with its name.
fn add_missing_volumes(spec: &mut Map<String, Value>, main: &Map<String, Value>) {
    let mut volumes = items(spec.get("volumes"));
    for mount in items(main.get("volumeMounts")) {
        let Some(name) = mount.get("name").filter(|name| name.is_string()) else { continue };
        if !volumes.iter().any(|known| known.get("name") == Some(name)) {
            volumes.push(json!({"name": name, "persistentVolumeClaim": {"claimName": name}}));
        }
    }
    if !volumes.is_empty() {
        spec.insert("volumes".to_owned(), volumes.into());
    }
}

/// The GPU Memory Service has the GPUs in place of the engine, which shares them by a claim.
fn add_memory_service(
    service: MemoryService,
    spec: &mut Map<String, Value>,
    main: &mut Map<String, Value>,
    unknown: &mut Vec<String>,
) {
    for list in ["limits", "requests"] {
        let resources = main.get_mut("resources").and_then(|resources| resources.get_mut(list)?.as_object_mut());
        resources.and_then(|resources| resources.remove("nvidia.com/gpu"));
    }
    match service {
        MemoryService::InPod => {
            let mut containers = items(spec.get("initContainers"));
            let command = ["python3", "-m", "gpu_memory_service.cli.server"];
            let image = main.get("image");
            containers
                .push(json!({"name": "gms-server", "image": image, "command": command, "restartPolicy": "Always"}));
            spec.insert("initContainers".to_owned(), containers.into());
        }
        MemoryService::BetweenPods => {
            unknown
                .push("another pod of the component, which runs the GPU Memory Service: it gets no caches".to_owned());
            if is_script(main) {
                unknown.push(
                    "the argument that the operator adds to the script for the GPU Memory Service, which is a part of the \
                     compile cache's folder"
                        .to_owned(),
                );
            }
        }
    }
}

/// Whether a shell runs the component.
fn is_script(main: &Map<String, Value>) -> bool {
    items(main.get("command")).iter().any(|word| word.as_str().is_some_and(|word| word.ends_with("sh")))
}

/// Adds memory at `/dev/shm`, in place of a mount of the graph.
fn add_shared_memory(size: &str, spec: &mut Map<String, Value>, main: &mut Map<String, Value>) {
    const PATH: &str = "/dev/shm";
    let size = if size.is_empty() { "8Gi" } else { size };
    let mut mounts = items(main.get("volumeMounts"));
    mounts.retain(|mount| mount.get("mountPath").is_none_or(|path| path != PATH));
    main.insert("volumeMounts".to_owned(), mounts.into());
    let volume = json!({"name": "shared-memory", "emptyDir": {"medium": "Memory", "sizeLimit": size}});
    add_volume(spec, main, &volume, PATH);
}

/// The frontend beside an engine has its mounts, one of each volume, and none of its variables.
fn with_mounts_of(main: &Map<String, Value>, mut sidecar: Map<String, Value>) -> Map<String, Value> {
    add_command(Some("frontend"), &mut sidecar);
    let mut mounts = items(sidecar.get("volumeMounts"));
    for mount in items(main.get("volumeMounts")) {
        if !mounts.iter().any(|own| own.get("name") == mount.get("name")) {
            mounts.push(mount);
        }
    }
    if !mounts.is_empty() {
        sidecar.insert("volumeMounts".to_owned(), mounts.into());
    }
    sidecar
}

/// Labels or annotations of a graph, with those of the component, which win.
fn labels_of(graph: Option<&Value>, component: Map<String, Value>) -> Map<String, Value> {
    let mut all = graph.and_then(Value::as_object).cloned().unwrap_or_default();
    all.extend(component);
    all
}
