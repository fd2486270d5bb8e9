//! What the API server trusts, by the rules of Go's `crypto/x509`, which differ from webpki's: a certificate that is
//! itself trusted needs no issuer, and only a CA certificate can be an issuer.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WebPkiServerVerifier, verify_server_name};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};

use x509_parser::x509::X509Version;

use super::provider;
use super::validity::Validity;
use crate::certificate::ca_bundle;

/// A set of trusted certificates.
#[derive(Debug)]
pub struct Trust {
    trusted: Vec<CertificateDer<'static>>,
    /// The verifier for those that are CAs. `None` if there are none.
    authorities: Option<Arc<WebPkiServerVerifier>>,
}

impl Trust {
    /// Trusts these certificates. Those that cannot be parsed are ignored.
    pub fn new(trusted: Vec<CertificateDer<'static>>) -> Self {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(trusted.iter().filter(|certificate| is_ca(certificate)).cloned());
        let authorities = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider()).build().ok();
        Trust { trusted, authorities }
    }

    /// Trusts the certificates of a `caBundle`.
    pub fn from_bundle(bundle: &[u8]) -> Self {
        Self::new(ca_bundle::read(bundle))
    }

    /// Verifies a server by its chain, the leaf first, and its name.
    ///
    /// # Errors
    /// The reason why the server is not trusted.
    pub fn verify(&self, chain: &[CertificateDer<'_>], name: &str, now: SystemTime) -> Result<(), String> {
        let name = ServerName::try_from(name).map_err(|error| error.to_string())?;
        let (leaf, intermediates) = chain.split_first().ok_or("there is no certificate")?;
        let now = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let verified = self.verify_server_cert(leaf, intermediates, &name, &[], UnixTime::since_unix_epoch(now));
        verified.map(drop).map_err(|error| error.to_string())
    }
}

impl ServerCertVerifier for Trust {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if !self.trusted.contains(leaf) {
            let authorities = self.authorities.as_ref().ok_or(CertificateError::UnknownIssuer)?;
            return authorities.verify_server_cert(leaf, intermediates, name, ocsp, now);
        }
        let validity = Validity::from_certificate(leaf).map_err(|_| CertificateError::BadEncoding)?;
        let at = SystemTime::UNIX_EPOCH + Duration::from_secs(now.as_secs());
        if at < validity.from {
            return Err(CertificateError::NotValidYet.into());
        }
        if at >= validity.until {
            return Err(CertificateError::Expired.into());
        }
        verify_server_name(&ParsedCertificate::try_from(leaf)?, name).map(|()| ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = provider().signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signed, &algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = provider().signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signed, &algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        provider().signature_verification_algorithms.supported_schemes()
    }
}

/// Whether a certificate is a CA by its own extensions. Version 1 has no extensions, so those count as CAs.
pub(super) fn is_ca(certificate: &CertificateDer<'_>) -> bool {
    x509_parser::parse_x509_certificate(certificate).is_ok_and(|(_, parsed)| {
        let has_constraint = match parsed.basic_constraints() {
            Ok(Some(constraints)) => constraints.value.ca,
            Ok(None) => parsed.version != X509Version::V3,
            Err(_) => false,
        };
        let usage = parsed.key_usage();
        has_constraint && usage.is_ok_and(|usage| usage.is_none_or(|usage| usage.value.key_cert_sign()))
    })
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, KeyUsagePurpose};
    use rustls::pki_types::CertificateDer;

    use super::Trust;

    const NAME: &str = "ours.system.svc";

    fn params(is_ca: IsCa) -> CertificateParams {
        let mut params = CertificateParams::new([NAME.to_owned()]).unwrap();
        params.is_ca = is_ca;
        params
    }

    fn verify(trusted: &CertificateDer<'static>, served: &CertificateDer<'_>, name: &str) -> Result<(), String> {
        Trust::new(vec![trusted.clone()]).verify(std::slice::from_ref(served), name, SystemTime::now())
    }

    #[test]
    fn a_trusted_leaf_needs_no_issuer_but_its_name_and_validity() {
        for is_ca in [IsCa::Ca(BasicConstraints::Unconstrained), IsCa::ExplicitNoCa, IsCa::NoCa] {
            let mut own = params(is_ca);
            own.not_after = (SystemTime::now() + Duration::from_secs(60)).into();
            let own = own.self_signed(&KeyPair::generate().unwrap()).unwrap().der().clone();
            assert_eq!(verify(&own, &own, NAME), Ok(()), "Go accepts what `openssl req -x509` issues");
            assert!(verify(&own, &own, "other.system.svc").is_err());
            let later = SystemTime::now() + Duration::from_secs(120);
            assert!(Trust::new(vec![own.clone()]).verify(&[own], NAME, later).is_err_and(|why| why.contains("xpired")));
        }
    }

    #[test]
    fn a_certificate_that_is_no_ca_is_no_issuer() {
        let issued_by = |is_ca, usages: &[KeyUsagePurpose]| {
            let mut params = params(is_ca);
            params.key_usages = usages.to_vec();
            let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
            let leaf = self::params(IsCa::NoCa).signed_by(&KeyPair::generate().unwrap(), &issuer).unwrap();
            verify(issuer.der(), leaf.der(), NAME)
        };
        let ca = IsCa::Ca(BasicConstraints::Unconstrained);
        assert_eq!(issued_by(ca, &[]), Ok(()), "a key without usages may do everything");
        assert_eq!(issued_by(ca, &[KeyUsagePurpose::KeyCertSign]), Ok(()));
        for (is_ca, usages) in [(IsCa::ExplicitNoCa, vec![]), (ca, vec![KeyUsagePurpose::DigitalSignature])] {
            assert!(issued_by(is_ca, &usages).is_err_and(|why| why.contains("UnknownIssuer")));
        }
    }
}
