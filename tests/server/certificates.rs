//! Certificates and keys: which the server takes, and how it refuses the others.

use rcgen::{CertifiedIssuer, KeyPair, PKCS_RSA_SHA256};

use crate::harness::caller::worker;
use crate::harness::certificates::{
    CertificateFiles, ca, ecdsa, ecdsa_in_sec1, leaf, pair, pem, serve_without_cluster,
};
use crate::harness::program::{file, kubeconfig, run};

fn answers(name: &str, pair: &CertificateFiles) {
    let (webhook, _) = serve_without_cluster(name, pair);
    assert_eq!(webhook.caller().review(&worker("x")).status, 200);
}

#[test]
fn an_rsa_key_in_pkcs1_is_served() {
    let key = KeyPair::generate_for(&PKCS_RSA_SHA256).unwrap();
    // What PKCS#8 wraps around a PKCS#1 key of 2,048 bits is 26 bytes long.
    answers("rsa", &pair("rsa", &key, |key| pem("RSA PRIVATE KEY", &key.serialize_der()[26..])));
    answers("rsa-pkcs8", &pair("rsa-pkcs8", &key, KeyPair::serialize_pem));
}

#[test]
fn an_elliptic_key_in_sec1_is_served() {
    let key = KeyPair::generate().unwrap();
    answers("sec1", &pair("sec1", &key, ecdsa_in_sec1));
}

#[test]
fn a_chain_with_an_intermediate_is_served() {
    let [root_key, intermediate_key] = [(); 2].map(|()| KeyPair::generate().unwrap());
    let root = CertifiedIssuer::self_signed(ca("root"), root_key).unwrap();
    let intermediate = CertifiedIssuer::signed_by(ca("intermediate"), intermediate_key, &root).unwrap();
    let key = KeyPair::generate().unwrap();
    let certificate = leaf().signed_by(&key, &intermediate).unwrap().pem();
    let chain = CertificateFiles {
        certificate: file("chain.crt", &(certificate + &intermediate.pem())),
        key: file("chain.key", &key.serialize_pem()),
        ca: root.pem(),
    };
    answers("chain", &chain);
}

#[test]
fn a_pair_that_cannot_be_served_is_refused_by_file_and_reason() {
    let (one, other) = (ecdsa("one"), ecdsa("other"));
    let missing = "/nowhere/tls.crt".to_owned();
    let (empty, garbage) = (file("empty.pem", ""), file("garbage.key", "-----BEGIN PRIVATE KEY-----\n!\n"));
    let encrypted =
        file("encrypted.key", "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n");
    let kubeconfig = kubeconfig("refused");
    // As after an environment variable, or a copy by hand.
    let text = std::fs::read_to_string(&one.key).unwrap();
    let one_line = file("one-line.key", &text.replace('\n', " "));
    for (certificate, key, words) in [
        (&one.certificate, &other.key, "does not belong to"),
        (&empty, &one.key, "contains no certificate"),
        (&one.certificate, &one.certificate, "failed to read a private key in PEM from"),
        (&one.certificate, &garbage, "failed to read a private key in PEM from"),
        (&one.certificate, &one_line, "a line -----END …----- is missing"),
        (
            &one.certificate,
            &encrypted,
            "is encrypted, and the webhook cannot ask for a password; decrypt it: openssl pkey",
        ),
        (&missing, &one.key, "No such file"),
    ] {
        let arguments = ["serve", "--kubeconfig", &kubeconfig, "--cert-file", certificate, "--key-file", key];
        let refused = run(&arguments, "");
        assert_eq!(refused.code, Some(1), "{words}");
        assert!(refused.errors.contains(words), "{words} is not in {}", refused.errors);
        let wrong = if [&empty, &missing].contains(&certificate) { certificate } else { key };
        assert!(refused.errors.contains(wrong.as_str()), "{wrong} is not in {}", refused.errors);
        let secret: Vec<_> = text.lines().filter(|line| !line.starts_with("-----")).collect();
        assert!(!secret.iter().any(|line| refused.errors.contains(&line[..16])), "{}", refused.errors);
        assert!(
            !refused.errors.contains(&format!("{:?}", &text.as_bytes()[30..40]).replace(['[', ']'], "")),
            "{}",
            refused.errors
        );
    }
}
