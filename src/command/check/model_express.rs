//! Checks that the Model Express address leads to ready endpoints, as far as the API server knows.

use serde_json::Value;

use crate::command::check::catalog::CheckId;
use crate::command::check::endpoints;
use crate::command::check::endpoints::Backend;
use crate::command::check::report::Report;
use crate::inspect::api::{Api, Error};

/// The check.
const CHECK: CheckId = CheckId::ModelExpress;

/// Checks the address that the pods of a namespace get.
///
/// # Errors
/// The API server was not reached.
pub(super) async fn check(api: &Api, namespace: &str, url: Option<&str>, report: &mut Report) -> anyhow::Result<()> {
    let Some(url) = url else {
        report.ok(CHECK, "no Model Express address is set");
        return Ok(());
    };
    let Some(Address { service, namespace, is_certain, port }) = address(url, namespace) else {
        report.not_checked(CHECK, format!("{url} names no Service and cannot be checked from here"));
        return Ok(());
    };
    match endpoints::find(api, namespace, service, port).await?.backend {
        Backend::External(host) => {
            report.not_checked(CHECK, format!("{url}: Service {namespace}/{service} points to {host}"));
        }
        Backend::Hidden(message) => report.not_checked(CHECK, message),
        Backend::Missing if !is_certain && !namespace_exists(api, namespace).await? => {
            let text = format!("{url} names no Service in namespace {namespace} and cannot be checked from here");
            report.not_checked(CHECK, text);
        }
        Backend::Missing => report.fail(
            CHECK,
            format!("{url}: there is no Service {service} in namespace {namespace}"),
            format!("kubectl get services -n {namespace}; modelExpress.url or its annotation sets the address"),
        ),
        Backend::NoPort(ports) => report.fail(
            CHECK,
            format!("{url}: Service {namespace}/{service} has no port {port}, only {ports}"),
            format!("kubectl describe service {service} -n {namespace}"),
        ),
        Backend::Ready(0) => report.fail(
            CHECK,
            format!("{url}: Service {namespace}/{service} has no ready endpoint"),
            format!("kubectl describe service {service} -n {namespace}"),
        ),
        Backend::Ready(ready) => report.ok(CHECK, format!("{url} has ready endpoints: {ready}")),
    }
    Ok(())
}

/// Warns of the folder that a worker mounts to stream into, since neither the API server nor this command can see whether it
/// exists. `worker` is a pod that the webhook has changed; where it mounts no part of the claim, nothing is reported.
pub(super) fn check_folder(worker: &Value, claim: &str, namespace: &str, report: &mut Report) {
    let mounts = worker.pointer("/spec/containers/0/volumeMounts").and_then(Value::as_array);
    let folder = mounts.into_iter().flatten().find_map(|mount| {
        let is_stream = mount.get("mountPath")?.as_str()?.ends_with("/.model-express/cache");
        mount.get("subPath")?.as_str().filter(|_| is_stream)
    });
    if let Some(folder) = folder {
        report.warning(
            CHECK,
            format!(
                "workers stream into the folder {folder} of claim {claim}, which has to exist: the kubelet would make it as \
                 root, and an export with root squash refuses that"
            ),
            format!("dynamo-cache download MODEL -n {namespace} --apply makes it; or make it once, writable for the workers"),
        );
    }
}

/// Whether a namespace exists; `false` if the user may not read it.
async fn namespace_exists(api: &Api, name: &str) -> Result<bool, Error> {
    match api.get(&format!("/api/v1/namespaces/{name}")).await {
        Err(error) if error.is_forbidden() => Ok(false),
        found => Ok(found?.is_some()),
    }
}

/// The Service that an address names.
#[derive(Debug, PartialEq, Eq)]
struct Address<'u> {
    service: &'u str,
    namespace: &'u str,
    /// Whether the host must be a Service. `service.namespace` may also be an external host, such as `mx.internal`.
    is_certain: bool,
    port: u64,
}

/// Parses the hosts `service`, `service.namespace` and `service.namespace.svc…`; `None` for all others.
fn address<'u>(url: &'u str, own: &'u str) -> Option<Address<'u>> {
    let (host, port) = url.strip_prefix("http://")?.rsplit_once(':')?;
    let port = port.trim_end_matches('/').parse().ok()?;
    if host.starts_with('[') || host.parse::<std::net::Ipv4Addr>().is_ok() {
        return None;
    }
    let labels: Vec<_> = host.trim_end_matches('.').split('.').collect();
    let (service, namespace, is_certain) = match labels.as_slice() {
        [service] => (*service, own, true),
        [service, namespace] => (*service, *namespace, false),
        [service, namespace, "svc", ..] => (*service, *namespace, true),
        _ => return None,
    };
    Some(Address { service, namespace, is_certain, port })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{Address, address, check_folder};
    use crate::command::check::report::Report;

    #[test]
    fn the_folder_that_workers_stream_into_is_named_and_no_other_mount() {
        let lines = |mount: Value| {
            let mut report = Report::default();
            let pod = json!({"spec": {"containers": [{"volumeMounts": [{"mountPath": "/m"}, mount]}]}});
            check_folder(&pod, "models", "team", &mut report);
            report.json()
        };
        let streamed = lines(json!({"mountPath": "/home/dynamo/.model-express/cache", "subPath": "hub"}));
        assert!(streamed.contains("the folder hub of claim models, which has to exist"), "{streamed}");
        assert!(streamed.contains("\"warning\"") && streamed.contains("-n team --apply makes it"), "{streamed}");
        // The layout `hub` needs no folder.
        for mount in [
            json!({"mountPath": "/home/dynamo/.model-express/cache"}),
            json!({"mountPath": "/other", "subPath": "hub"}),
            json!({}),
        ] {
            assert_eq!(lines(mount), "[]\n");
        }
    }

    #[test]
    fn only_hosts_that_can_be_services_are_looked_up() {
        let found = |service, namespace, is_certain| Some(Address { service, namespace, is_certain, port: 8001 });
        assert_eq!(address("http://mx:8001", "own"), found("mx", "own", true));
        assert_eq!(address("http://mx.models:8001", "own"), found("mx", "models", false));
        assert_eq!(address("http://mx.models.svc.cluster.local:8001", "own"), found("mx", "models", true));
        assert_eq!(address("http://mx.example.com:8001", "own"), None);
        assert_eq!(address("http://10.0.0.1:8001", "own"), None);
        assert_eq!(address("http://[fd00::1]:8001", "own"), None);
    }
}
