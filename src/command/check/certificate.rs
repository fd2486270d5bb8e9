//! Checks that the API server can verify the webhook's certificate, and for how long.

use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls::pki_types::CertificateDer;
use serde_json::Value;

use crate::certificate::ca_bundle;
use crate::certificate::trust::Trust;
use crate::certificate::validity::Validity;
use crate::command::check::catalog::CheckId;
use crate::command::check::configuration::{CANARY, entry};
use crate::command::check::report::Report;
use crate::inspect::api::{Api, Error};
use crate::inspect::installation::{INJECTED, Installed, Publisher, bundle};
use crate::service::Service;

/// A certificate that expires in fewer days is a warning.
const SOON: u64 = 14;

/// The check.
const CHECK: CheckId = CheckId::Certificate;

/// Checks `caBundle` by itself, then the server's certificate against it. `page` is the page for hints.
///
/// # Errors
/// The API server was not reached.
pub(super) async fn check(
    api: &Api,
    installed: &Installed,
    service: &Service,
    page: &str,
    report: &mut Report,
) -> Result<(), Error> {
    let page = &remedy(installed, service, page);
    let Some(text) = installed.bundle() else {
        let hint = match installed.publisher(api).await {
            Publisher::Replicas => &format!("{}; {page}", installed.readiness_hint()),
            _ => page,
        };
        report.fail(CHECK, format!("configuration {} has no caBundle", installed.name), hint);
        return Ok(());
    };
    if entry(installed, CANARY).and_then(bundle).is_some_and(|other| other != text) {
        report.fail(CHECK, format!("the caBundle of {CANARY} differs from that of the entry for pods"), page);
        return Ok(());
    }
    let Some(authorities) = certificates(text) else {
        report.fail(CHECK, "caBundle is not a list of PEM certificates", page);
        return Ok(());
    };
    let served = match served_certificate(api, service).await? {
        ServedCertificate::FromSecret(served) => served,
        ServedCertificate::Unusable(why) => {
            report.fail(CHECK, why, page);
            return Ok(());
        }
        ServedCertificate::Unknown(why) => {
            report.not_checked(CHECK, why);
            return Ok(());
        }
        ServedCertificate::SelfManaged => return check_self_managed(api, service, &authorities, page, report).await,
    };
    let host = service.host();
    match verify(&authorities, &served, &host) {
        Err(why) => {
            report.fail(CHECK, format!("caBundle does not verify the server's certificate for {host}: {why}"), page);
        }
        Ok(left) => {
            let days = days(left);
            let text = format!("caBundle verifies the server's certificate for {host}, which expires in {days} days");
            if days < SOON { report.warning(CHECK, text, page) } else { report.ok(CHECK, text) }
        }
    }
    Ok(())
}

/// The hint for every failure: the page, after cert-manager's own command if cert-manager issues the certificate.
fn remedy(installed: &Installed, service: &Service, page: &str) -> String {
    let annotations = installed.configuration.pointer("/metadata/annotations");
    let Some(certificate) = annotations.and_then(|annotations| annotations.get(INJECTED)?.as_str()) else {
        return page.to_owned();
    };
    let (namespace, name) = certificate.split_once('/').unwrap_or((&service.namespace, certificate));
    format!("cert-manager issues it: kubectl describe certificate {name} -n {namespace}; {page}")
}

/// The certificate that the server presents.
enum ServedCertificate {
    /// The chain in the Secret that the server mounts.
    FromSecret(Vec<CertificateDer<'static>>),
    /// The server issues its certificate itself, so no Secret has it.
    SelfManaged,
    /// Unknown, because the user may not read the Deployment or the Secret.
    Unknown(String),
    /// The Secret is missing or has no certificate.
    Unusable(String),
}

/// Finds the certificate that the server presents.
async fn served_certificate(api: &Api, service: &Service) -> Result<ServedCertificate, Error> {
    let Service { namespace, name: service } = service;
    let path = format!("/apis/apps/v1/namespaces/{namespace}/deployments/{service}");
    let (deployment, hidden) = match api.get(&path).await {
        Err(error) if error.is_forbidden() => (None, Some(error.to_string())),
        found => (found?, None),
    };
    let volumes = deployment.as_ref().and_then(|found| found.pointer("/spec/template/spec/volumes")?.as_array());
    let mounted = volumes.into_iter().flatten().find_map(|volume| volume.pointer("/secret/secretName")?.as_str());
    if mounted.is_none() && deployment.is_some() {
        return Ok(ServedCertificate::SelfManaged);
    }
    let name = mounted.map_or_else(|| format!("{service}-tls"), str::to_owned);
    let secret = match api.get(&format!("/api/v1/namespaces/{namespace}/secrets/{name}")).await {
        // If the Deployment is hidden too, its message comes first: without it, the Secret's name is a guess.
        Err(error) if error.is_forbidden() => {
            return Ok(ServedCertificate::Unknown(hidden.unwrap_or_else(|| error.to_string())));
        }
        found => found?,
    };
    let Some(secret) = secret else {
        let text = format!("Secret {namespace}/{name} does not exist");
        return Ok(match mounted {
            Some(_) => ServedCertificate::Unusable(format!("{text}, and the server's pods wait for it")),
            // Without the Deployment, the name of the Secret is a guess.
            None => ServedCertificate::Unknown(hidden.unwrap_or(text)),
        });
    };
    let chain = secret.pointer("/data/tls.crt").and_then(Value::as_str).and_then(certificates);
    Ok(chain.map_or_else(
        || ServedCertificate::Unusable(format!("Secret {namespace}/{name} has no certificate in tls.crt")),
        ServedCertificate::FromSecret,
    ))
}

/// Checks a server that issues its certificate itself: whether `caBundle` has the CA that the replicas share, and how long
/// the CA lasts. If the user may not read the shared CA, the CAs in `caBundle` are checked instead.
async fn check_self_managed(
    api: &Api,
    service: &Service,
    authorities: &[CertificateDer<'static>],
    page: &str,
    report: &mut Report,
) -> Result<(), Error> {
    let Service { namespace, name } = service;
    let secret = match api.get(&format!("/api/v1/namespaces/{namespace}/secrets/{name}-ca")).await {
        Err(error) if error.is_forbidden() => None,
        Ok(None) => {
            let text = format!("Secret {namespace}/{name}-ca does not exist, and new replicas wait for it");
            let hint = format!("The helm upgrade or kubectl apply that installed the webhook restores it; {page}");
            report.fail(CHECK, text, &hint);
            return Ok(());
        }
        found => found?,
    };
    let shared = secret.as_ref().and_then(|secret| secret.pointer("/data/ca.crt")?.as_str()).and_then(certificates);
    match assess_authorities(authorities, shared.as_deref()) {
        Err(why) => report.fail(CHECK, why, page),
        Ok(Lifetime { text, days }) if days < SOON => report.warning(CHECK, text, page),
        Ok(Lifetime { text, .. }) => report.ok(CHECK, text),
    }
    Ok(())
}

/// How long the CAs of a self-managed certificate last.
struct Lifetime {
    text: String,
    days: u64,
}

/// Assesses the CAs in `caBundle`; `shared` are the CAs that the replicas share, if they could be read.
fn assess_authorities(
    authorities: &[CertificateDer<'static>],
    shared: Option<&[CertificateDer<'static>]>,
) -> Result<Lifetime, String> {
    const SELF: &str = "the server issues its certificate itself";
    /// The days until the first and the last of the CAs expire.
    fn first_and_last(authorities: Vec<&CertificateDer<'_>>) -> Result<(u64, u64), String> {
        let mut left = authorities
            .into_iter()
            .map(time_left)
            .collect::<Result<Vec<_>, _>>()
            .map_err(|why| format!("a CA in caBundle cannot be parsed: {why}"))?;
        left.sort();
        let in_days = |left: Option<&Duration>| days(left.copied().unwrap_or_default());
        Ok((in_days(left.first()), in_days(left.last())))
    }
    let Some(shared) = shared else {
        // Which of them signed the certificate is unknown, so the first to expire decides.
        let (first, last) = first_and_last(authorities.iter().collect())?;
        let span = if first == last { format!("{last} days") } else { format!("{first} to {last} days") };
        let canary = "the canary shows whether the server's certificate is valid";
        return match last {
            0 => Err(format!("{SELF}, and the CAs in caBundle have expired")),
            _ => Ok(Lifetime {
                text: format!("{SELF}; the CAs in caBundle expire in {span}, and {canary}"),
                days: first,
            }),
        };
    };
    let known: Vec<_> = shared.iter().filter(|shared| authorities.contains(shared)).collect();
    if known.is_empty() {
        return Err(format!("{SELF}, and caBundle has none of the CAs that sign it"));
    }
    // The replicas move to the CA that lasts longest.
    match first_and_last(known)? {
        (_, 0) => Err(format!("{SELF}, and its CA in caBundle has expired")),
        (_, days) => Ok(Lifetime { text: format!("{SELF}, under a CA in caBundle that expires in {days} days"), days }),
    }
}

fn days(left: Duration) -> u64 {
    left.as_secs() / (24 * 60 * 60)
}

/// Decodes Base64 and reads the PEM certificates in it; `None` if there is none.
fn certificates(text: &str) -> Option<Vec<CertificateDer<'static>>> {
    let found = ca_bundle::read(&STANDARD.decode(text).ok()?);
    Some(found).filter(|found| !found.is_empty())
}

/// Verifies a chain as the API server does, and returns the time until the leaf expires.
fn verify(trusted: &[CertificateDer<'static>], chain: &[CertificateDer<'_>], host: &str) -> Result<Duration, String> {
    Trust::new(trusted.to_vec()).verify(chain, host, SystemTime::now())?;
    time_left(chain.first().ok_or("there is no certificate")?)
}

/// The time until a certificate expires; zero if it has expired.
fn time_left(certificate: &CertificateDer<'_>) -> Result<Duration, String> {
    Ok(Validity::from_certificate(certificate)?.until.duration_since(SystemTime::now()).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair, date_time_ymd};
    use rustls::pki_types::CertificateDer;

    use super::assess_authorities;

    /// A CA that expires at the beginning of a year.
    fn authority(until: i32) -> CertificateDer<'static> {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.not_before = date_time_ymd(2000, 1, 1);
        params.not_after = date_time_ymd(until, 1, 1);
        params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().clone()
    }

    #[test]
    fn only_the_shared_cas_count_as_the_servers_own() {
        let (own, next, expired, stranger) = (authority(4000), authority(4001), authority(2001), authority(4000));
        let assess = |bundle: &[&CertificateDer<'static>], shared: Option<&[&CertificateDer<'static>]>| {
            let list = |list: &[&CertificateDer<'static>]| list.iter().map(|one| (*one).clone()).collect::<Vec<_>>();
            match assess_authorities(&list(bundle), shared.map(list).as_deref()) {
                Ok(lifetime) => format!("ok {}", lifetime.text),
                Err(why) => format!("failed {why}"),
            }
        };
        let expected = "ok the server issues its certificate itself, under a CA in caBundle that expires in ";
        assert!(assess(&[&own], Some(&[&own])).starts_with(expected));
        // A new CA is shared before it is published.
        assert!(assess(&[&own, &stranger], Some(&[&next, &own])).starts_with(expected));
        assert!(
            assess(&[&stranger], Some(&[&own])).contains("failed")
                && assess(&[&stranger], Some(&[&own])).contains("none")
        );
        assert!(assess(&[&expired, &stranger], Some(&[&expired])).ends_with("its CA in caBundle has expired"));
        assert!(assess(&[&own], None).contains("the canary shows whether the server's certificate is valid"));
        assert!(assess(&[&own, &expired], None).contains("expire in 0 to "));
        assert!(assess(&[&expired], None).starts_with("failed"));
    }
}
