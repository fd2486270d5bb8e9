//! A service of a v1alpha1 graph.

use serde_json::{Map, Value, json};

use super::{Component, MemoryService, entries, is_between_pods, items, text};

/// Reads a service; `own` is its name in the graph.
pub(super) fn component(service: &Value, own: &str) -> Component {
    let mut spec = entries(service.get("extraPodSpec"));
    let mut main = entries(spec.remove("mainContainer").as_ref());
    let metadata = service.get("extraPodMetadata");
    let both = |key: &str| {
        let mut all = entries(service.get(key));
        all.extend(entries(metadata.and_then(|metadata| metadata.get(key))));
        all
    };
    add_resources(service, &mut main);
    let (sub, kind) = (text(service, "subComponentType"), text(service, "componentType"));
    let is_enabled = |key: &str| service.pointer(&format!("/{key}/enabled")) == Some(&Value::Bool(true));
    let memory = service.get("sharedMemory");
    let is_disabled = memory.and_then(|memory| memory.get("disabled")) == Some(&Value::Bool(true));
    let mut component = Component {
        name: text(service, "serviceName").unwrap_or_else(|| own.to_owned()),
        kind: sub.filter(|sub| sub == "prefill" || sub == "decode").or(kind),
        labels: both("labels"),
        annotations: both("annotations"),
        env: items(service.get("envs")),
        shared_memory: (!is_disabled).then(|| memory.and_then(|memory| text(memory, "size")).unwrap_or_default()),
        nodes: service.pointer("/multinode/nodeCount").and_then(Value::as_u64).unwrap_or(1),
        frontend_sidecar: service.get("frontendSidecar").filter(|sidecar| sidecar.is_object()).map(frontend_sidecar),
        has_failover: is_enabled("failover") && !service.get("failover").is_some_and(is_between_pods),
        memory_service: service
            .get("gpuMemoryService")
            .filter(|_| is_enabled("gpuMemoryService"))
            .map(MemoryService::new),
        ..Component::default()
    };
    if is_enabled("checkpoint") {
        component.unknown.push(super::operator::CHECKPOINT.to_owned());
    }
    for mount in items(service.get("volumeMounts")) {
        add_mount(&mount, &mut spec, &mut main, &mut component);
    }
    (component.spec, component.main) = (spec, main);
    component
}

/// Adds a claim of the graph as a volume of the same name, with its mount.
fn add_mount(mount: &Value, spec: &mut Map<String, Value>, main: &mut Map<String, Value>, component: &mut Component) {
    let Some(name) = text(mount, "name") else { return };
    let path = text(mount, "mountPoint");
    if mount.get("useAsCompilationCache") == Some(&Value::Bool(true)) {
        component.compile_cache = Some((name, path));
        return;
    }
    super::operator::add_claim(spec, main, &name, path.as_deref().unwrap_or_default());
}

/// The resources of a service have short names, which the operator translates.
fn add_resources(service: &Value, main: &mut Map<String, Value>) {
    for list in ["limits", "requests"] {
        let given = entries(service.pointer(&format!("/resources/{list}")));
        let gpu = given.get("gpuType").and_then(Value::as_str).unwrap_or("nvidia.com/gpu").to_owned();
        for (key, value) in given {
            let resources = main.entry("resources").or_insert_with(|| json!({}));
            let Some(all) = resources.as_object_mut() else { return };
            let all = all.entry(list).or_insert_with(|| json!({}));
            let Some(all) = all.as_object_mut() else { return };
            let named = match (key.as_str(), value) {
                ("gpuType", _) => Map::new(),
                ("custom", custom) => entries(Some(&custom)),
                ("gpu", value) => Map::from_iter([(gpu.clone(), value)]),
                (_, value) => Map::from_iter([(key, value)]),
            };
            for (key, value) in named {
                all.entry(key).or_insert(value);
            }
        }
    }
}

/// The container that the operator creates for the frontend beside the engine, behind all others.
fn frontend_sidecar(sidecar: &Value) -> (usize, Map<String, Value>) {
    let mut container = Map::from_iter([("name".to_owned(), json!("sidecar-frontend"))]);
    for (from, to) in [("image", "image"), ("args", "args"), ("envs", "env")] {
        if let Some(value) = sidecar.get(from).filter(|value| !value.is_null()) {
            container.insert(to.to_owned(), value.clone());
        }
    }
    (usize::MAX, container)
}
