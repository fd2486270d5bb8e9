//! A component of a v1beta1 graph.

use serde_json::Value;

use super::operator::{CHECKPOINT, MAIN};
use super::{Component, MemoryService, entries, is_between_pods, items, text};

/// Reads a component; `own` is its name if it does not have one itself.
pub(super) fn component(given: &Value, own: &str) -> Component {
    let template = given.get("podTemplate");
    let metadata = |key: &str| entries(template.and_then(|template| template.pointer(&format!("/metadata/{key}"))));
    let mut spec = entries(template.and_then(|template| template.get("spec")));
    let mut containers = items(spec.get("containers"));
    let mut take = |name: &str| {
        let index = containers.iter().position(|container| container.get("name").is_some_and(|known| known == name))?;
        Some((index, containers.remove(index)))
    };
    let main = take(MAIN);
    let sidecar = text(given, "frontendSidecar").and_then(|name| take(&name));
    spec.insert("containers".to_owned(), containers.into());
    let cache = given.get("compilationCache");
    let claim = cache.and_then(|cache| text(cache, "pvcName"));
    let experimental = |key: &str| given.pointer(&format!("/experimental/{key}")).filter(|value| !value.is_null());
    let mut component = Component {
        name: text(given, "name").unwrap_or_else(|| own.to_owned()),
        kind: text(given, "type"),
        labels: metadata("labels"),
        annotations: metadata("annotations"),
        spec,
        main: entries(main.map(|(_, main)| main).as_ref()),
        frontend_sidecar: sidecar.map(|(index, sidecar)| (index, entries(Some(&sidecar)))),
        compile_cache: claim.map(|claim| (claim, cache.and_then(|cache| text(cache, "mountPath")))),
        shared_memory: match given.get("sharedMemorySize") {
            Some(Value::String(size)) if size == "0" => None,
            Some(Value::Number(size)) if size.as_u64() == Some(0) => None,
            size => Some(size.and_then(Value::as_str).unwrap_or_default().to_owned()),
        },
        nodes: given.pointer("/multinode/nodeCount").and_then(Value::as_u64).unwrap_or(1),
        has_failover: experimental("failover").is_some_and(|failover| !is_between_pods(failover)),
        memory_service: experimental("gpuMemoryService").map(MemoryService::new),
        ..Component::default()
    };
    if experimental("checkpoint").is_some() {
        component.unknown.push(CHECKPOINT.to_owned());
    }
    component
}
