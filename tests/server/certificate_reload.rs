//! Certificate files that change while they are served, as a kubelet changes them; and client certificates.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use crate::harness::caller::worker;
use crate::harness::certificates::{CertificateFiles, client_certificate, ecdsa};
use crate::harness::program::{file, kubeconfig};
use crate::harness::webhook::Webhook;

/// A folder as the kubelet mounts a Secret: its files are links through `..data`, which is swapped.
struct Mounted(PathBuf);

impl Mounted {
    fn new(name: &str) -> Self {
        let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
        // It may be there from an earlier run.
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir(&folder).unwrap();
        for name in ["tls.crt", "tls.key"] {
            symlink(Path::new("..data").join(name), folder.join(name)).unwrap();
        }
        Mounted(folder)
    }

    /// Writes a new folder aside, and swaps the link.
    fn swap(&self, version: &str, certificate: &CertificateFiles, key: &CertificateFiles) {
        let folder = self.0.join(version);
        fs::create_dir(&folder).unwrap();
        fs::copy(&certificate.certificate, folder.join("tls.crt")).unwrap();
        fs::copy(&key.key, folder.join("tls.key")).unwrap();
        symlink(version, self.0.join("..data_tmp")).unwrap();
        fs::rename(self.0.join("..data_tmp"), self.0.join("..data")).unwrap();
    }

    fn path(&self, name: &str) -> String {
        self.0.join(name).display().to_string()
    }
}

#[test]
fn a_certificate_that_the_kubelet_swaps_is_served_each_time_and_half_of_one_is_not() {
    let pairs = ["swap-0", "swap-1", "swap-2"].map(ecdsa);
    let mounted = Mounted::new("swapped");
    mounted.swap("..0", &pairs[0], &pairs[0]);
    let (kubeconfig, certificate, key) = (kubeconfig("swap"), mounted.path("tls.crt"), mounted.path("tls.key"));
    let files =
        ["--kubeconfig", &kubeconfig, "--cert-file", &certificate, "--key-file", &key, "--reload-interval", "20ms"];
    let mut webhook = Webhook::start(&files, || pairs[0].ca.clone());
    let mut kept = webhook.caller();
    assert_eq!(kept.review(&worker("x")).status, 200);
    for (number, two) in pairs.windows(2).enumerate() {
        let [last, next] = two else { unreachable!("windows of two") };
        mounted.swap(&format!("..{number}-half"), next, last);
        let refused = webhook.line("the changed certificate files are invalid");
        assert!(refused["why"].as_str().unwrap().contains("does not belong to"), "{refused}");
        assert_eq!(webhook.caller().review(&worker("x")).status, 200, "the last good one");
        let ready = webhook.page("/readyz?verbose").body;
        assert!(ready.contains("[-]certificate: the last valid files are served"), "{ready}");

        mounted.swap(&format!("..{number}-whole"), next, next);
        webhook.line("serving a certificate");
        webhook.trust(&next.ca);
        assert_eq!(webhook.caller().review(&worker("x")).status, 200);
        let ready = webhook.page("/readyz?verbose").body;
        assert!(ready.contains("[+]certificate: ok"), "{ready}");
    }
    assert_eq!(kept.review(&worker("x")).status, 200, "connections that are open stay");
    let page = webhook.page("/metrics").body;
    assert!(page.contains("dynamo_cache_certificate_renewals_total{certificate=\"leaf\"} 3\n"), "{page}");
    assert!(page.contains("dynamo_cache_certificate_failures_total{reason=\"files\"} 2\n"), "{page}");
}

#[test]
fn without_a_client_certificate_of_the_right_ca_the_handshake_fails() {
    let ([ca, certificate, key], [_, strange, strange_key]) = (client_certificate(), client_certificate());
    let ca = file("only-clients.crt", &ca);
    let webhook = Webhook::standalone("clients", &["--client-ca-file", &ca]);
    assert_eq!(webhook.review_with_client_certificate(Some([&certificate, &key])), Ok(200));
    for refused in [
        webhook.review_with_client_certificate(None),
        webhook.review_with_client_certificate(Some([&strange, &strange_key])),
    ] {
        assert!(refused.is_err(), "{refused:?}");
    }
    assert_eq!(webhook.review_with_client_certificate(Some([&certificate, &key])), Ok(200));
}
