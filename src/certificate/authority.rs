//! A certificate authority of ours: made, read, and signing leaves.

use std::fmt;
use std::time::{Duration, SystemTime};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    PublicKeyData as _,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::trust::{Trust, may_sign};
use super::validity::Validity;
use super::{Clients, Error, Identity, tls};

/// A CA, and its key where it may still sign.
#[derive(Clone)]
pub struct Authority {
    certificate: CertificateDer<'static>,
    /// In PEM.
    key: Option<String>,
    validity: Validity,
}

impl Authority {
    /// Makes one, ECDSA P-256, good from now on and for that long.
    ///
    /// # Errors
    /// The cryptographic library fails.
    pub fn mint(now: SystemTime, lifetime: Duration) -> Result<Self, Error> {
        let validity = Validity::begins(now, lifetime);
        let mut params = params(&[], "dynamo-cache CA", validity)?;
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate()?;
        let certificate = params.self_signed(&key)?.der().clone();
        Ok(Authority { certificate, key: Some(key.serialize_pem()), validity })
    }

    /// One that is known by its certificate alone.
    pub(super) fn known(certificate: CertificateDer<'static>) -> Result<Self, String> {
        let validity = Validity::of(&certificate)?;
        if !may_sign(&certificate) {
            return Err("a certificate in it is no CA".to_owned());
        }
        Ok(Authority { certificate, key: None, validity })
    }

    /// Takes a key, in PEM, if it is the one to this certificate.
    pub(super) fn take_key(&mut self, pem: &str, public: &KeyPair) -> bool {
        let own = x509_parser::parse_x509_certificate(&self.certificate)
            .is_ok_and(|(_, parsed)| parsed.tbs_certificate.subject_pki.raw == public.subject_public_key_info());
        if own {
            self.key = Some(pem.to_owned());
        }
        own
    }

    /// The same without its key.
    pub(super) fn retired(&self) -> Self {
        Authority { certificate: self.certificate.clone(), key: None, validity: self.validity }
    }

    /// Its certificate.
    pub fn certificate(&self) -> &CertificateDer<'static> {
        &self.certificate
    }

    /// Its key in PEM, where it has one.
    pub(super) fn key(&self) -> Option<&str> {
        self.key.as_deref()
    }

    /// When it is good.
    pub fn validity(&self) -> Validity {
        self.validity
    }

    /// Makes a leaf with a new key, good for these names from now on, for that long or as long as we are.
    ///
    /// # Errors
    /// The key is not here, or the cryptographic library fails.
    pub fn sign(
        &self,
        names: &[String],
        now: SystemTime,
        lifetime: Duration,
        clients: Option<&Clients>,
    ) -> Result<Identity, Error> {
        let key = KeyPair::from_pem(self.key.as_deref().ok_or(Error::NoKey)?)?;
        let issuer = Issuer::from_ca_cert_der(&self.certificate, key)?;
        let mut validity = Validity::begins(now, lifetime);
        validity.until = validity.until.min(self.validity.until);
        let mut leaf = params(names, "dynamo-cache", validity)?;
        leaf.use_authority_key_identifier_extension = true;
        leaf.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        leaf.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let leaf_key = KeyPair::generate()?;
        let chain = vec![leaf.signed_by(&leaf_key, &issuer)?.der().clone()];
        let key = PrivateKeyDer::Pkcs8(leaf_key.serialize_der().into());
        // A CA that somebody else has put here may be good for other names alone.
        for name in names {
            let trust = Trust::of(vec![self.certificate.clone()]);
            trust.verify(&chain, name, now).map_err(|reason| Error::Untrusted { name: name.clone(), reason })?;
        }
        let tls = tls(chain.clone(), key, clients).map_err(Error::Minted)?;
        Ok(Identity { tls, chain, validity })
    }
}

/// Two are the same when their certificates are, and both can sign or neither can.
impl PartialEq for Authority {
    fn eq(&self, other: &Self) -> bool {
        self.certificate == other.certificate && self.key.is_some() == other.key.is_some()
    }
}

impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (signs, validity) = (self.key.is_some(), self.validity);
        f.debug_struct("Authority").field("signs", &signs).field("validity", &validity).finish_non_exhaustive()
    }
}

fn params(names: &[String], common_name: &str, validity: Validity) -> Result<CertificateParams, rcgen::Error> {
    let mut params = CertificateParams::new(names)?;
    params.distinguished_name.push(DnType::CommonName, common_name);
    params.not_before = validity.from.into();
    params.not_after = validity.until.into();
    Ok(params)
}
