//! A certificate authority of the webhook: issuing, parsing and signing.

use std::fmt;
use std::time::{Duration, SystemTime};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    PublicKeyData as _,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::trust::{Trust, is_ca};
use super::validity::{CLOCK_SKEW, Validity};
use super::{ClientCa, Error, Identity, server_config};

/// The common name, which is all of the subject of a CA that the webhook issues.
const COMMON_NAME: &str = "dynamo-cache CA";

/// A CA is withdrawn this many leaf lifetimes after its key was removed. The `rotation` module explains the number.
const WITHDRAWN_AFTER: u32 = 5;

/// A CA certificate, with its key while it may sign.
#[derive(Clone)]
pub struct Authority {
    certificate: CertificateDer<'static>,
    /// In PEM.
    key: Option<String>,
    validity: Validity,
    /// When the key was removed, in whole seconds, if the Secret records it.
    key_removed_at: Option<SystemTime>,
}

impl Authority {
    /// Issues a CA with a new ECDSA P-256 key, valid from `now` for `lifetime`.
    ///
    /// # Errors
    /// The cryptographic library fails.
    pub fn mint(now: SystemTime, lifetime: Duration) -> Result<Self, Error> {
        let validity = Validity::starting_at(now, lifetime);
        let mut params = params(&[], COMMON_NAME, validity)?;
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate()?;
        let certificate = params.self_signed(&key)?.der().clone();
        Ok(Authority { certificate, key: Some(key.serialize_pem()), validity, key_removed_at: None })
    }

    /// Parses a CA certificate. The authority has no key yet.
    pub(super) fn from_certificate(certificate: CertificateDer<'static>) -> Result<Self, String> {
        let validity = Validity::from_certificate(&certificate)?;
        if !is_ca(&certificate) {
            return Err("a certificate in it is no CA".to_owned());
        }
        Ok(Authority { certificate, key: None, validity, key_removed_at: None })
    }

    /// Attaches a PEM key if its public half is the one in this certificate. Returns whether it is.
    pub(super) fn attach_key(&mut self, pem: &str, public: &KeyPair) -> bool {
        let own = x509_parser::parse_x509_certificate(&self.certificate)
            .is_ok_and(|(_, parsed)| parsed.tbs_certificate.subject_pki.raw == public.subject_public_key_info());
        if own {
            self.key = Some(pem.to_owned());
        }
        own
    }

    /// A copy without the key, with `now` recorded as the time of the removal.
    pub(super) fn without_key(&self, now: SystemTime) -> Self {
        let key_removed_at = Some(Validity::truncate_to_seconds(now));
        Authority { certificate: self.certificate.clone(), key: None, validity: self.validity, key_removed_at }
    }

    /// When the key was removed. `None` if the key is present, or if no time is recorded.
    pub(super) fn key_removed_at(&self) -> Option<SystemTime> {
        self.key_removed_at
    }

    /// Records when the key was removed.
    pub(super) fn set_key_removed_at(&mut self, time: Option<SystemTime>) {
        self.key_removed_at = time;
    }

    /// Whether the API server has to trust this CA: it has not expired, and its key is present or was removed less than
    /// `WITHDRAWN_AFTER` leaf lifetimes ago. `leaf` is the lifetime of a leaf.
    pub fn is_needed(&self, now: SystemTime, leaf: Duration) -> bool {
        now < self.validity.until
            && self.key_removed_at.is_none_or(|removed_at| now < removed_at + leaf * WITHDRAWN_AFTER)
    }

    /// Whether every clock within an hour of this one agrees that the CA is no longer needed. If a CA were removed
    /// earlier, a replica whose clock is behind would put it back.
    pub fn is_withdrawn(&self, now: SystemTime, leaf: Duration) -> bool {
        let skew = CLOCK_SKEW.min(leaf / 24);
        self.validity.has_expired_with_skew(now)
            || self.key_removed_at.is_some_and(|removed_at| removed_at + leaf * WITHDRAWN_AFTER + skew <= now)
    }

    /// Parses a certificate if it is one that `mint` issues: our common name, self-signed, and with a path length of
    /// zero. A CA of cert-manager may have the same common name, but may sign other CAs.
    pub(super) fn from_own_certificate(certificate: &CertificateDer<'static>) -> Option<Self> {
        let (_, parsed) = x509_parser::parse_x509_certificate(certificate).ok()?;
        let mut attributes = parsed.subject().iter_attributes();
        let only = attributes.next().filter(|_| attributes.next().is_none())?;
        let is_common_name = *only.attr_type() == x509_parser::oid_registry::OID_X509_COMMON_NAME;
        let has_our_name = is_common_name && only.as_str().is_ok_and(|name| name == COMMON_NAME);
        let signs_leaves_alone = parsed.basic_constraints().ok()??.value.path_len_constraint == Some(0);
        if !has_our_name || !signs_leaves_alone || parsed.subject() != parsed.issuer() {
            return None;
        }
        Authority::from_certificate(certificate.clone()).ok()
    }

    /// The certificate in DER.
    pub fn certificate(&self) -> &CertificateDer<'static> {
        &self.certificate
    }

    /// The key in PEM, if present.
    pub(super) fn key(&self) -> Option<&str> {
        self.key.as_deref()
    }

    /// The validity of the certificate.
    pub fn validity(&self) -> Validity {
        self.validity
    }

    /// Issues a leaf with a new key for these names, valid from `now` for `lifetime`, but no longer than the CA itself.
    ///
    /// # Errors
    /// The CA has no key, the cryptographic library fails, or a client that trusts this CA would not trust the leaf.
    pub fn sign(
        &self,
        names: &[String],
        now: SystemTime,
        lifetime: Duration,
        client_ca: Option<&ClientCa>,
    ) -> Result<Identity, Error> {
        let key = KeyPair::from_pem(self.key.as_deref().ok_or(Error::NoKey)?)?;
        let issuer = Issuer::from_ca_cert_der(&self.certificate, key)?;
        let mut validity = Validity::starting_at(now, lifetime);
        validity.until = validity.until.min(self.validity.until);
        let mut leaf = params(names, "dynamo-cache", validity)?;
        leaf.use_authority_key_identifier_extension = true;
        leaf.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        leaf.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let leaf_key = KeyPair::generate()?;
        let chain = vec![leaf.signed_by(&leaf_key, &issuer)?.der().clone()];
        let key = PrivateKeyDer::Pkcs8(leaf_key.serialize_der().into());
        // A CA that another tool stored in the Secret may be constrained to other names.
        for name in names {
            let trust = Trust::new(vec![self.certificate.clone()]);
            trust.verify(&chain, name, now).map_err(|reason| Error::Untrusted { name: name.clone(), reason })?;
        }
        let tls = server_config(chain.clone(), key, client_ca).map_err(Error::Minted)?;
        Ok(Identity { tls, chain, validity })
    }
}

/// Two authorities are equal if their certificates are, and either both have a key or both lost it at the same time.
impl PartialEq for Authority {
    fn eq(&self, other: &Self) -> bool {
        let state = |one: &Self| (one.key.is_some(), one.key_removed_at);
        self.certificate == other.certificate && state(self) == state(other)
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
