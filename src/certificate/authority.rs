//! A certificate authority of ours: made, read, and signing leaves.

use std::fmt;
use std::time::{Duration, SystemTime};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    PublicKeyData as _,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::trust::{Trust, may_sign};
use super::validity::{CLOCK_SKEW, Validity};
use super::{Clients, Error, Identity, tls};

/// The one name in the subject of a CA of ours.
const COMMON_NAME: &str = "dynamo-cache CA";

/// So many lifetimes of a leaf after its key is gone, a CA is withdrawn: `rotation` has the reckoning.
const WITHDRAWN_AFTER: u32 = 5;

/// A CA, and its key where it may still sign.
#[derive(Clone)]
pub struct Authority {
    certificate: CertificateDer<'static>,
    /// In PEM.
    key: Option<String>,
    validity: Validity,
    /// Since when its key is gone, in whole seconds, where that is recorded.
    retired: Option<SystemTime>,
}

impl Authority {
    /// Makes one, ECDSA P-256, good from now on and for that long.
    ///
    /// # Errors
    /// The cryptographic library fails.
    pub fn mint(now: SystemTime, lifetime: Duration) -> Result<Self, Error> {
        let validity = Validity::begins(now, lifetime);
        let mut params = params(&[], COMMON_NAME, validity)?;
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate()?;
        let certificate = params.self_signed(&key)?.der().clone();
        Ok(Authority { certificate, key: Some(key.serialize_pem()), validity, retired: None })
    }

    /// One that is known by its certificate alone.
    pub(super) fn known(certificate: CertificateDer<'static>) -> Result<Self, String> {
        let validity = Validity::of(&certificate)?;
        if !may_sign(&certificate) {
            return Err("a certificate in it is no CA".to_owned());
        }
        Ok(Authority { certificate, key: None, validity, retired: None })
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

    /// The same without its key, from now on.
    pub(super) fn without_key(&self, now: SystemTime) -> Self {
        let retired = Some(Validity::in_whole_seconds(now));
        Authority { certificate: self.certificate.clone(), key: None, validity: self.validity, retired }
    }

    /// Since when its key is gone; none where it is here, or nobody has recorded it yet.
    pub(super) fn retired(&self) -> Option<SystemTime> {
        self.retired
    }

    /// Records since when its key is gone.
    pub(super) fn record_retirement(&mut self, since: Option<SystemTime>) {
        self.retired = since;
    }

    /// Whether the API server has to trust it: it has not expired, and its key is here or not gone for long, where a leaf
    /// lasts for `leaf`.
    pub fn is_needed(&self, now: SystemTime, leaf: Duration) -> bool {
        now < self.validity.until && self.retired.is_none_or(|retired| now < retired + leaf * WITHDRAWN_AFTER)
    }

    /// Whether no clock within an hour of ours says that it is needed. A CA that is taken away before that is put back
    /// by a replica whose clock is behind.
    pub fn is_withdrawn(&self, now: SystemTime, leaf: Duration) -> bool {
        let skew = CLOCK_SKEW.min(leaf / 24);
        self.validity.is_over_everywhere(now)
            || self.retired.is_some_and(|retired| retired + leaf * WITHDRAWN_AFTER + skew <= now)
    }

    /// The CA of this certificate, without a key, if it is one that `mint` makes: of our name, signed by itself, and not
    /// for other CAs. Those of cert-manager have our name, too, and may sign for others.
    pub(super) fn of_ours(certificate: &CertificateDer<'static>) -> Option<Self> {
        let (_, parsed) = x509_parser::parse_x509_certificate(certificate).ok()?;
        let mut attributes = parsed.subject().iter_attributes();
        let only = attributes.next().filter(|_| attributes.next().is_none())?;
        let is_common_name = *only.attr_type() == x509_parser::oid_registry::OID_X509_COMMON_NAME;
        let has_our_name = is_common_name && only.as_str().is_ok_and(|name| name == COMMON_NAME);
        let signs_leaves_alone = parsed.basic_constraints().ok()??.value.path_len_constraint == Some(0);
        if !has_our_name || !signs_leaves_alone || parsed.subject() != parsed.issuer() {
            return None;
        }
        Authority::known(certificate.clone()).ok()
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

/// Two are the same when their certificates are, and both can sign, or neither can since the same time.
impl PartialEq for Authority {
    fn eq(&self, other: &Self) -> bool {
        let state = |one: &Self| (one.key.is_some(), one.retired);
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
