//! Whether the API server can trust the certificate, and for how long.

use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use serde_json::Value;

use super::report::Report;
use super::shipped::{CANARY, entry};
use crate::certificate::trust::Trust;
use crate::command::api::{Api, Error};
use crate::command::installed::Installed;

/// The annotation by which cert-manager knows whose CA goes into `caBundle`.
const INJECTED: &str = "cert-manager.io/inject-ca-from";

/// Below this many days, it is time.
const SOON: u64 = 14;

/// Checks `caBundle` by itself, then the certificate in the server's Secret against it. `page` has more.
///
/// # Errors
/// The API server was not reached.
pub(super) async fn check(api: &Api, installed: &Installed, page: &str, report: &mut Report) -> Result<(), Error> {
    let page = &remedy(installed, page);
    let bundle = |entry: &Value| entry.pointer("/clientConfig/caBundle").and_then(Value::as_str).map(str::to_owned);
    let Some(text) = bundle(&installed.entry).filter(|bundle| !bundle.is_empty()) else {
        report.bad("certificate", format!("configuration {} has no caBundle", installed.name), page);
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
    let Some(authorities) = STANDARD.decode(&text).ok().and_then(|pem| certificates(&pem)) else {
        report.bad("certificate", "caBundle is no list of certificates in PEM", page);
        return Ok(());
    };
    let shown = match secret(api, installed, page, report).await? {
        Shown::Brought(shown) => shown,
        Shown::Told => return Ok(()),
        Shown::SelfManaged => {
            self_managed(&authorities, page, report);
            return Ok(());
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

/// Where the server makes its certificate itself, the canary tells whether it fits; here is how long its CA lasts.
fn self_managed(authorities: &[CertificateDer<'_>], page: &str, report: &mut Report) {
    match authorities.iter().map(left).collect::<Result<Vec<_>, _>>() {
        Err(why) => report.bad("certificate", format!("a CA in caBundle cannot be read: {why}"), page),
        Ok(left) => {
            let days = days(left.into_iter().max().unwrap_or_default());
            let text =
                format!("the server makes its certificate itself, under a CA in caBundle that ends in {days} days");
            if days == 0 { report.bad("certificate", text, page) } else { report.good("certificate", text) }
        }
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
    Trust::of(trusted.to_vec()).verify(shown, name, SystemTime::now())?;
    left(shown.first().ok_or("there is none")?)
}

/// How long a certificate lasts.
fn left(certificate: &CertificateDer<'_>) -> Result<Duration, String> {
    let (_, read) = x509_parser::parse_x509_certificate(certificate).map_err(|error| error.to_string())?;
    let ends = u64::try_from(read.validity().not_after.timestamp()).unwrap_or_default();
    let ends = SystemTime::UNIX_EPOCH + Duration::from_secs(ends);
    Ok(ends.duration_since(SystemTime::now()).unwrap_or_default())
}
