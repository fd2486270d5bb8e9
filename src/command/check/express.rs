//! Whether somebody answers at the address of Model Express, as far as the API server knows.

use super::endpoints;
use super::report::Report;
use crate::command::api::Api;

/// Checks the address that pods of a namespace get.
///
/// # Errors
/// The API server was not reached.
pub(super) async fn check(api: &Api, namespace: &str, url: Option<&str>, report: &mut Report) -> anyhow::Result<()> {
    const CHECK: &str = "model-express";
    let Some(url) = url else {
        report.good(CHECK, "no Model Express address is set");
        return Ok(());
    };
    let Some((service, of_service)) = service(url, namespace) else {
        report.not_checked(CHECK, format!("{url} names no Service, and is not checked from here"));
        return Ok(());
    };
    match api.get(&format!("/api/v1/namespaces/{of_service}/services/{service}")).await {
        Err(error) if error.is_forbidden() => report.not_checked(CHECK, error.to_string()),
        found => match found? {
            None => report.bad(
                CHECK,
                format!("{url}: there is no Service {service} in namespace {of_service}"),
                format!("kubectl get services -n {of_service}; modelExpress.url or its annotation names the address"),
            ),
            Some(_) => match endpoints::ready(api, of_service, service).await {
                Err(error) if error.is_forbidden() => report.not_checked(CHECK, error.to_string()),
                ready => match ready? {
                    0 => report.bad(
                        CHECK,
                        format!("{url}: Service {of_service}/{service} has no ready endpoint"),
                        format!("kubectl describe service {service} -n {of_service}"),
                    ),
                    ready => report.good(CHECK, format!("{url}: ready endpoints: {ready}")),
                },
            },
        },
    }
    Ok(())
}

/// The Service that an address names, and its namespace: `service`, `service.namespace` or `service.namespace.svc…`.
fn service<'u>(url: &'u str, own: &'u str) -> Option<(&'u str, &'u str)> {
    let host = url.strip_prefix("http://")?.rsplit_once(':')?.0;
    if host.starts_with('[') || host.parse::<std::net::Ipv4Addr>().is_ok() {
        return None;
    }
    let labels: Vec<_> = host.trim_end_matches('.').split('.').collect();
    match labels.as_slice() {
        [service] => Some((service, own)),
        [service, namespace] | [service, namespace, "svc", ..] => Some((service, namespace)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::service;

    #[test]
    fn only_names_of_services_are_looked_up() {
        assert_eq!(service("http://mx:8001", "own"), Some(("mx", "own")));
        assert_eq!(service("http://mx.models:8001", "own"), Some(("mx", "models")));
        assert_eq!(service("http://mx.models.svc.cluster.local:8001", "own"), Some(("mx", "models")));
        assert_eq!(service("http://mx.example.com:8001", "own"), None);
        assert_eq!(service("http://10.0.0.1:8001", "own"), None);
        assert_eq!(service("http://[fd00::1]:8001", "own"), None);
    }
}
