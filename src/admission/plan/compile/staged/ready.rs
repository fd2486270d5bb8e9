//! The address at which an engine says that it is ready.

use super::super::super::super::pod::HttpGet;
use super::super::super::container::{ContainerPlan, Value};

/// The port of Dynamo's own health page.
const SYSTEM_PORT: &str = "DYN_SYSTEM_PORT";

/// What to ask on the pod's own address: the readiness probe, else the health page of Dynamo, else another probe; none: nothing
/// shows when the engine is ready.
pub(super) fn address(planned: &ContainerPlan<'_, '_>) -> Option<String> {
    let container = planned.container();
    let probe = |probe| container.http_get(probe);
    let found = probe(container.readiness_probe)
        .or_else(|| health_page(planned))
        .or_else(|| probe(container.startup_probe))
        .or_else(|| probe(container.liveness_probe));
    found.map(|HttpGet { port, path }| format!("http://127.0.0.1:{port}{path}"))
}

fn health_page(planned: &ContainerPlan<'_, '_>) -> Option<HttpGet> {
    let Some(Value::Literal(port)) = planned.variable(SYSTEM_PORT) else { return None };
    let port = port.trim().parse().ok().filter(|port| *port > 0)?;
    Some(HttpGet { port, path: "/health".to_owned() })
}
