//! Certificates and keys for the tests, in files, and webhooks that serve them.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair};

use super::program::{file, kubeconfig};
use super::webhook::Webhook;

/// Files of a pair, and the CA by which it is trusted.
pub(crate) struct CertificateFiles {
    pub(crate) certificate: String,
    pub(crate) key: String,
    pub(crate) ca: String,
}

/// A webhook that serves a pair, with a cluster that cannot be reached, and the pair's own CA.
pub(crate) fn serve_without_cluster(name: &str, pair: &CertificateFiles) -> (Webhook, String) {
    (serve(pair, &kubeconfig(name)), pair.ca.clone())
}

/// A webhook that serves a pair, with the cluster of a kubeconfig.
pub(crate) fn serve(pair: &CertificateFiles, kubeconfig: &str) -> Webhook {
    let files = ["--kubeconfig", kubeconfig, "--cert-file", &pair.certificate, "--key-file", &pair.key];
    Webhook::start(&files, || pair.ca.clone())
}

/// A usual pair: ECDSA, PKCS#8.
pub(crate) fn ecdsa(name: &str) -> CertificateFiles {
    pair(name, &KeyPair::generate().unwrap(), KeyPair::serialize_pem)
}

/// What a CA says of itself.
pub(crate) fn ca(name: &str) -> CertificateParams {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params
}

/// A certificate for localhost, not signed yet.
pub(crate) fn leaf() -> CertificateParams {
    CertificateParams::new(vec!["localhost".to_owned()]).unwrap()
}

/// A pair with this key, written to files; its CA is its own.
pub(crate) fn pair(name: &str, key: &KeyPair, write: impl Fn(&KeyPair) -> String) -> CertificateFiles {
    let root = CertifiedIssuer::self_signed(ca("root"), KeyPair::generate().unwrap()).unwrap();
    let certificate = leaf().signed_by(key, &root).unwrap().pem();
    CertificateFiles {
        certificate: file(&format!("{name}.crt"), &certificate),
        key: file(&format!("{name}.key"), &write(key)),
        ca: root.pem(),
    }
}

/// DER in the armour of PEM.
pub(crate) fn pem(label: &str, der: &[u8]) -> String {
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", STANDARD.encode(der))
}

/// A key of P-256 in SEC1, as openssl and cert-manager write it.
pub(crate) fn ecdsa_in_sec1(key: &KeyPair) -> String {
    pem("EC PRIVATE KEY", sec1(&key.serialize_der()))
}

/// The octets in a PKCS#8 key: a sequence of a version, an algorithm, and these.
fn sec1(der: &[u8]) -> &[u8] {
    let start = der.windows(4).position(|window| window[0] == 0x04 && window[2] == 0x30).unwrap() + 2;
    &der[start..]
}

/// A CA of clients, and a certificate that it has signed, with its key, in PEM.
pub(crate) fn client_certificate() -> [String; 3] {
    let ca = CertifiedIssuer::self_signed(ca("clients"), KeyPair::generate().unwrap()).unwrap();
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.distinguished_name.push(DnType::CommonName, "kube-apiserver");
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    let key = KeyPair::generate().unwrap();
    [ca.pem(), params.signed_by(&key, &ca).unwrap().pem(), key.serialize_pem()]
}
