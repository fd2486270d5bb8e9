//! Whether somebody answers at the address of Model Express, as far as the API server knows.

use crate::command::check::endpoints;
use crate::command::check::endpoints::Behind;
use crate::command::check::report::Report;
use crate::inspect::api::{Api, Error};

/// The check's name.
pub(super) const CHECK: &str = "model-express";

/// Checks the address that pods of a namespace get.
///
/// # Errors
/// The API server was not reached.
pub(super) async fn check(api: &Api, namespace: &str, url: Option<&str>, report: &mut Report) -> anyhow::Result<()> {
    let Some(url) = url else {
        report.good(CHECK, "no Model Express address is set");
        return Ok(());
    };
    let Some(Address { service, namespace: of_service, is_certain, port }) = address(url, namespace) else {
        report.not_checked(CHECK, format!("{url} names no Service, and is not checked from here"));
        return Ok(());
    };
    match endpoints::behind(api, of_service, service, port).await?.behind {
        Behind::External(host) => {
            report.not_checked(CHECK, format!("{url}: Service {of_service}/{service} leads to {host}"));
        }
        Behind::Hidden(sentence) => report.not_checked(CHECK, sentence),
        Behind::Missing if !is_certain && !is_namespace(api, of_service).await? => {
            let text = format!("{url} names no Service of namespace {of_service}, and is not checked from here");
            report.not_checked(CHECK, text);
        }
        Behind::Missing => report.bad(
            CHECK,
            format!("{url}: there is no Service {service} in namespace {of_service}"),
            format!("kubectl get services -n {of_service}; modelExpress.url or its annotation names the address"),
        ),
        Behind::NoPort(ports) => report.bad(
            CHECK,
            format!("{url}: Service {of_service}/{service} has no port {port}, but {ports}"),
            format!("kubectl describe service {service} -n {of_service}"),
        ),
        Behind::Ready(0) => report.bad(
            CHECK,
            format!("{url}: Service {of_service}/{service} has no ready endpoint"),
            format!("kubectl describe service {service} -n {of_service}"),
        ),
        Behind::Ready(ready) => report.good(CHECK, format!("{url}: ready endpoints: {ready}")),
    }
    Ok(())
}

/// Whether a namespace is known to be there.
async fn is_namespace(api: &Api, name: &str) -> Result<bool, Error> {
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
    /// Whether it cannot be a host outside of the cluster, as `mx.internal` can.
    is_certain: bool,
    port: u64,
}

/// Reads `service`, `service.namespace` or `service.namespace.svc…`.
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
    use super::{Address, address};

    #[test]
    fn only_names_of_services_are_looked_up() {
        let found = |service, namespace, is_certain| Some(Address { service, namespace, is_certain, port: 8001 });
        assert_eq!(address("http://mx:8001", "own"), found("mx", "own", true));
        assert_eq!(address("http://mx.models:8001", "own"), found("mx", "models", false));
        assert_eq!(address("http://mx.models.svc.cluster.local:8001", "own"), found("mx", "models", true));
        assert_eq!(address("http://mx.example.com:8001", "own"), None);
        assert_eq!(address("http://10.0.0.1:8001", "own"), None);
        assert_eq!(address("http://[fd00::1]:8001", "own"), None);
    }
}
