//! What the Dynamo operator makes of a component.

use serde_json::{Map, Value, json};

use super::{Component, Graph, items};
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
    if kind.as_deref() == Some("epp") {
        // Its image has another user, and a home of its own.
        add_volume(&mut spec, &mut main, &json!({"name": "hf-cache", "emptyDir": {}}), "/home/nonroot/.cache");
    }
    let sidecar = component.frontend_sidecar.map(|sidecar| with_mounts_of(&main, sidecar));
    if let Some(size) = &component.shared_memory {
        add_shared_memory(size, &mut spec, &mut main);
    }
    spec.entry("securityContext").or_insert_with(|| json!({"fsGroup": 1000}));
    let mut containers = engines(main, component.has_failover);
    containers.extend(items(spec.get("containers")));
    containers.extend(sidecar.map(Value::Object));
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
    if component.has_failover {
        unknown.push(
            "the arguments that the operator adds for failover, which are a part of the compile cache's folder"
                .to_owned(),
        );
    }
    metadata.insert("labels".to_owned(), all.into());
    metadata.insert("annotations".to_owned(), pod_annotations.into());
    (json!({"metadata": metadata, "spec": spec}), unknown)
}

/// A frontend has a command by default; the graph may replace it, or its arguments alone.
fn add_command(kind: Option<&str>, main: &mut Map<String, Value>) {
    if kind == Some("frontend") {
        let is_given = |value: Option<&Value>| value.and_then(Value::as_array).is_some_and(|list| !list.is_empty());
        for (key, usual) in [("command", json!(["python3"])), ("args", json!(["-m", "dynamo.frontend"]))] {
            if !is_given(main.get(key)) {
                main.insert(key.to_owned(), usual);
            }
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
    mounts.push(json!({"name": volume.get("name"), "mountPath": path}));
    main.insert("volumeMounts".to_owned(), mounts.into());
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

/// The frontend beside an engine has its mounts, and none of its variables.
fn with_mounts_of(main: &Map<String, Value>, mut sidecar: Map<String, Value>) -> Map<String, Value> {
    add_command(Some("frontend"), &mut sidecar);
    let mut mounts = items(sidecar.get("volumeMounts"));
    let shared = items(main.get("volumeMounts"));
    let is_free = |mount: &Value| !mounts.iter().any(|own| own.get("mountPath") == mount.get("mountPath"));
    let shared: Vec<_> = shared.into_iter().filter(is_free).collect();
    mounts.extend(shared);
    if !mounts.is_empty() {
        sidecar.insert("volumeMounts".to_owned(), mounts.into());
    }
    sidecar
}

/// The main container, or with failover two of them.
fn engines(main: Map<String, Value>, has_failover: bool) -> Vec<Value> {
    if !has_failover {
        return vec![Value::Object(main)];
    }
    let engine = |number: usize| {
        let mut engine = main.clone();
        engine.insert("name".to_owned(), format!("engine-{number}").into());
        Value::Object(engine)
    };
    vec![engine(0), engine(1)]
}

/// Labels or annotations of a graph, with those of the component, which win.
fn labels_of(graph: Option<&Value>, component: Map<String, Value>) -> Map<String, Value> {
    let mut all = graph.and_then(Value::as_object).cloned().unwrap_or_default();
    all.extend(component);
    all
}
