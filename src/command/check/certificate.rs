//! Whether the API server can trust the certificate, and for how long.

use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use serde_json::Value;

use super::report::Report;
use crate::certificate::trust::Trust;
use crate::command::check::configuration::{CANARY, entry};
use crate::inspect::api::{Api, Error};
use crate::inspect::installation::{INJECTED, Installed, Publisher, bundle};

/// Below this many days, it is time.
const SOON: u64 = 14;

/// Checks `caBundle` by itself, then the certificate in the server's Secret against it. `page` has more.
///
/// # Errors
/// The API server was not reached.
pub(super) async fn check(api: &Api, installed: &Installed, page: &str, report: &mut Report) -> Result<(), Error> {
    let page = &remedy(installed, page);
    let Some(text) = installed.bundle() else {
        let hint = match installed.publisher(api).await {
            Publisher::Replicas => &format!("{}; {page}", installed.are_replicas_ready()),
            _ => page,
        };
        report.bad("certificate", format!("configuration {} has no caBundle", installed.name), hint);
        return Ok(());
    };
    if entry(installed, CANARY).and_then(bundle).is_some_and(|other| other != text) {
        report.bad(
            "certificate",
            format!("the caBundle of {CANARY} is another one than that of the pods' entry"),
            page,
        );
        return Ok(());
    }
    let Some(authorities) = STANDARD.decode(text).ok().and_then(|pem| certificates(&pem)) else {
        report.bad("certificate", "caBundle is no list of certificates in PEM", page);
        return Ok(());
    };
    let shown = match secret(api, installed, page, report).await? {
        Shown::Brought(shown) => shown,
        Shown::Told => return Ok(()),
        Shown::SelfManaged => {
            return self_managed(api, installed, &authorities, page, report).await;
        }
    };
    let name = format!("{}.{}.svc", installed.service, installed.namespace);
    match verify(&authorities, &shown, &name) {
        Err(why) => {
            report.bad(
                "certificate",
                format!("caBundle does not verify the server's certificate for {name}: {why}"),
                page,
            );
        }
        Ok(left) => {
            let days = days(left);
            let text = format!("caBundle verifies the server's certificate for {name}, which ends in {days} days");
            if days < SOON { report.warning("certificate", text, page) } else { report.good("certificate", text) }
        }
    }
    Ok(())
}

/// Who can put a certificate right, before the page.
fn remedy(installed: &Installed, page: &str) -> String {
    let annotations = installed.configuration.pointer("/metadata/annotations");
    let Some(certificate) = annotations.and_then(|annotations| annotations.get(INJECTED)?.as_str()) else {
        return page.to_owned();
    };
    let (namespace, name) = certificate.split_once('/').unwrap_or((&installed.namespace, certificate));
    format!("cert-manager makes it: kubectl describe certificate {name} -n {namespace}; {page}")
}

/// What the server shows.
enum Shown {
    /// The certificates in the Secret that it mounts.
    Brought(Vec<CertificateDer<'static>>),
    /// What it makes itself, under the CA that it publishes: there is no Secret with a certificate.
    SelfManaged,
    /// Not known, and it was told why.
    Told,
}

/// Where the server makes its certificate itself: whether the CAs that its replicas share are in `caBundle`, and how long
/// they last. Whoever may not read them is told how long those in `caBundle` do.
async fn self_managed(
    api: &Api,
    installed: &Installed,
    authorities: &[CertificateDer<'static>],
    page: &str,
    report: &mut Report,
) -> Result<(), Error> {
    let Installed { namespace, service, .. } = installed;
    let found = match api.get(&format!("/api/v1/namespaces/{namespace}/secrets/{service}-ca")).await {
        Err(error) if error.is_forbidden() => None,
        Ok(None) => {
            let text = format!("Secret {namespace}/{service}-ca is not there, and a new replica waits for it");
            let hint = format!("The helm upgrade or kubectl apply that installed the webhook puts it back; {page}");
            report.bad("certificate", text, &hint);
            return Ok(());
        }
        found => found?,
    };
    let shared = found.as_ref().and_then(|found| found.pointer("/data/ca.crt")?.as_str());
    let shared = shared.and_then(|text| STANDARD.decode(text).ok()).and_then(|pem| certificates(&pem));
    match judge(authorities, shared.as_deref()) {
        Err(why) => report.bad("certificate", why, page),
        Ok((text, days)) if days < SOON => report.warning("certificate", text, page),
        Ok((text, _)) => report.good("certificate", text),
    }
    Ok(())
}

/// What there is to say, and for how many days it is so; else what is wrong.
fn judge(
    authorities: &[CertificateDer<'static>],
    shared: Option<&[CertificateDer<'static>]>,
) -> Result<(String, u64), String> {
    const SELF: &str = "the server makes its certificate itself";
    let ends = |authorities: Vec<&CertificateDer<'_>>| {
        let mut ends = authorities
            .into_iter()
            .map(left)
            .collect::<Result<Vec<_>, _>>()
            .map_err(|why| format!("a CA in caBundle cannot be read: {why}"))?;
        ends.sort();
        Ok::<_, String>((
            days(ends.first().copied().unwrap_or_default()),
            days(ends.last().copied().unwrap_or_default()),
        ))
    };
    let Some(shared) = shared else {
        // What has not signed it may last longest.
        let (first, last) = ends(authorities.iter().collect())?;
        let span = if first == last { format!("{last} days") } else { format!("{first} to {last} days") };
        let canary = "the canary tells whether the server's certificate fits";
        return match last {
            0 => Err(format!("{SELF}, and the CAs in caBundle have ended")),
            _ => Ok((format!("{SELF}; the CAs in caBundle end in {span}, and {canary}"), first)),
        };
    };
    let known: Vec<_> = shared.iter().filter(|shared| authorities.contains(shared)).collect();
    if known.is_empty() {
        return Err(format!("{SELF}, and caBundle has none of the CAs that sign it"));
    }
    // The replicas move to the one that lasts.
    match ends(known)? {
        (_, 0) => Err(format!("{SELF}, and its CA in caBundle has ended")),
        (_, days) => Ok((format!("{SELF}, under a CA in caBundle that ends in {days} days"), days)),
    }
}

fn days(left: Duration) -> u64 {
    left.as_secs() / (24 * 60 * 60)
}

/// Looks for what the server shows.
async fn secret(api: &Api, installed: &Installed, page: &str, report: &mut Report) -> Result<Shown, Error> {
    let Installed { namespace, service, .. } = installed;
    let path = format!("/apis/apps/v1/namespaces/{namespace}/deployments/{service}");
    let (deployment, hidden) = match api.get(&path).await {
        Err(error) if error.is_forbidden() => (None, Some(error.to_string())),
        found => (found?, None),
    };
    let volumes = deployment.as_ref().and_then(|found| found.pointer("/spec/template/spec/volumes")?.as_array());
    let mounted = volumes.into_iter().flatten().find_map(|volume| volume.pointer("/secret/secretName")?.as_str());
    if mounted.is_none() && deployment.is_some() {
        return Ok(Shown::SelfManaged);
    }
    let name = mounted.map_or_else(|| format!("{service}-tls"), str::to_owned);
    let found = match api.get(&format!("/api/v1/namespaces/{namespace}/secrets/{name}")).await {
        Err(error) if error.is_forbidden() => {
            // The Deployment may tell that there is none to read.
            report.not_checked("certificate", hidden.unwrap_or_else(|| error.to_string()));
            return Ok(Shown::Told);
        }
        found => found?,
    };
    let Some(found) = found else {
        let text = format!("Secret {namespace}/{name} is not there");
        match mounted {
            Some(_) => report.bad("certificate", format!("{text}, and the server's pods wait for it"), page),
            // Which Secret it is, if any, stands in the Deployment.
            None => report.not_checked("certificate", hidden.unwrap_or(text)),
        }
        return Ok(Shown::Told);
    };
    let chain = found.pointer("/data/tls.crt").and_then(Value::as_str);
    let chain = chain.and_then(|text| STANDARD.decode(text).ok()).and_then(|pem| certificates(&pem));
    if chain.is_none() {
        report.bad("certificate", format!("Secret {namespace}/{name} has no certificate in tls.crt"), page);
    }
    Ok(chain.map_or(Shown::Told, Shown::Brought))
}

fn certificates(pem: &[u8]) -> Option<Vec<CertificateDer<'static>>> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    found.ok().filter(|found| !found.is_empty())
}

/// Verifies as the API server does; the time until the leaf ends.
fn verify(trusted: &[CertificateDer<'static>], shown: &[CertificateDer<'_>], name: &str) -> Result<Duration, String> {
    Trust::new(trusted.to_vec()).verify(shown, name, SystemTime::now())?;
    left(shown.first().ok_or("there is none")?)
}

/// How long a certificate lasts.
fn left(certificate: &CertificateDer<'_>) -> Result<Duration, String> {
    let (_, read) = x509_parser::parse_x509_certificate(certificate).map_err(|error| error.to_string())?;
    let ends = u64::try_from(read.validity().not_after.timestamp()).unwrap_or_default();
    let ends = SystemTime::UNIX_EPOCH + Duration::from_secs(ends);
    Ok(ends.duration_since(SystemTime::now()).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair, date_time_ymd};
    use rustls::pki_types::CertificateDer;

    use super::judge;

    /// A CA that ends in a year.
    fn authority(until: i32) -> CertificateDer<'static> {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.not_before = date_time_ymd(2000, 1, 1);
        params.not_after = date_time_ymd(until, 1, 1);
        params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().clone()
    }

    #[test]
    fn a_ca_of_strangers_is_none_of_the_servers() {
        let (own, next, ended, stranger) = (authority(4000), authority(4001), authority(2001), authority(4000));
        let said = |bundle: &[&CertificateDer<'static>], shared: Option<&[&CertificateDer<'static>]>| {
            let list = |list: &[&CertificateDer<'static>]| list.iter().map(|one| (*one).clone()).collect::<Vec<_>>();
            match judge(&list(bundle), shared.map(list).as_deref()) {
                Ok((text, _)) => format!("ok {text}"),
                Err(why) => format!("failed {why}"),
            }
        };
        let well = "ok the server makes its certificate itself, under a CA in caBundle that ends in ";
        assert!(said(&[&own], Some(&[&own])).starts_with(well));
        // A new one is shared before it is published.
        assert!(said(&[&own, &stranger], Some(&[&next, &own])).starts_with(well));
        assert!(
            said(&[&stranger], Some(&[&own])).contains("failed") && said(&[&stranger], Some(&[&own])).contains("none")
        );
        assert!(said(&[&ended, &stranger], Some(&[&ended])).ends_with("its CA in caBundle has ended"));
        assert!(said(&[&own], None).contains("the canary tells whether the server's certificate fits"));
        assert!(said(&[&own, &ended], None).contains("end in 0 to "));
        assert!(said(&[&ended], None).starts_with("failed"));
    }
}
