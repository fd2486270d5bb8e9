//! Certificates from files, and their replacement.

use std::fs;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::harness::control_plane::namespace::Namespace;
use crate::harness::control_plane::replicas::{Installation, alone};
use crate::harness::pods::worker;
use crate::harness::{ROOT, wait_for};

/// The commands of certs/README.md that bring a pair, but for where it is kept.
fn as_the_readme_says(folder: &str) -> String {
    let block = commands_of_the_readme("certs/dev");
    assert!(block.contains("kubectl patch mutatingwebhookconfiguration"), "no kubectl patch in: {block}");
    block.replace("/tmp/dynamo-cache-certs", folder)
}

/// The commands of certs/README.md that begin so.
pub(super) fn commands_of_the_readme(first: &str) -> String {
    let readme = fs::read_to_string(format!("{ROOT}/certs/README.md")).unwrap();
    let block = readme.split("```sh\n").find(|block| block.starts_with(first));
    let block = block.and_then(|rest| rest.split("```").next());
    block.unwrap_or_else(|| panic!("certs/README.md has no commands that begin with {first}")).to_owned()
}

#[test]
fn a_certificate_from_files_is_served_and_trusted() {
    let (plane, _one) = alone();
    let folder = plane.folder("loaded").display().to_string();
    let files = [
        format!("--cert-file={folder}/tls.crt"),
        format!("--key-file={folder}/tls.key"),
        "--shutdown-delay=0s".to_owned(),
    ];
    let files: Vec<_> = files.iter().map(String::as_str).collect();
    let installation = Installation::new(plane, "certificate.mode=secret", &files);
    let namespace = Namespace::opted_in(plane, &[]);
    let commands = as_the_readme_says(&folder);
    let (pair, patch) = commands.split_once("CA=$(").unwrap();
    plane.bash(pair).unwrap();
    let mut replica = installation.start("one");
    replica.wait_for(
        "/readyz",
        "[-]bundle: the API server does not trust the serving certificate with the caBundle of pods.dynamo-cache.io",
    );
    plane.bash(&format!("CA=$({patch}")).unwrap();
    replica.wait_until_ready();
    wait_for("a pod to be created", || namespace.create(&worker("loaded").to_string()).map(drop));
    // What renews it, in the readme's order, in the Secret of before.
    let renewals = [
        ("certs/dev --out /tmp/dynamo-cache-certs/new", format!("{folder}/new")),
        ("certs/dev --force", folder.clone()),
    ];
    for (first, pair) in renewals {
        let commands = commands_of_the_readme(first).replace("/tmp/dynamo-cache-certs", &folder);
        plane.bash(&commands).unwrap();
        let secret = plane.read(&["secret", "dynamo-cache-tls", "--namespace=dynamo-cache"]);
        let certificate = fs::read(format!("{pair}/tls.crt")).unwrap();
        assert_eq!(secret["data"]["tls.crt"], STANDARD.encode(certificate), "{first}");
    }
    plane.kubectl(&["delete", "secret", "dynamo-cache-tls", "--namespace=dynamo-cache"]).unwrap();
}

#[test]
fn an_untrusted_certificate_from_files_waits_and_is_reported() {
    let (plane, _one) = alone();
    let folder = plane.folder("held").display().to_string();
    let dev = format!("certs/dev --force --out '{folder}'");
    plane.bash(&dev).unwrap();
    let file = |option: &str, name: &str| format!("--{option}={folder}/{name}");
    let files = [file("cert-file", "tls.crt"), file("key-file", "tls.key"), "--propagation-delay=1s".to_owned()];
    let files: Vec<_> = files.iter().map(String::as_str).chain(["--shutdown-delay=0s"]).collect();
    let installation = Installation::new(plane, "certificate.mode=secret", &files);
    let mut replica = installation.start("one");
    installation.publish(&fs::read_to_string(format!("{folder}/ca.crt")).unwrap());
    replica.wait_until_ready();
    plane.bash(&dev).unwrap();
    replica
        .wait_for("/readyz?verbose", "[-]certificate: the files have a new certificate, which waits: the API server");
    assert!(replica.page("/readyz").unwrap().starts_with("HTTP/1.1 200"), "the last one is good");
    assert!(replica.log().contains("which waits"), "{}", replica.log());
    installation.publish(&fs::read_to_string(format!("{folder}/ca.crt")).unwrap());
    replica.wait_for("/readyz?verbose", "[+]certificate: ok");
    replica.wait_for("/readyz?verbose", "[+]self-call: ok");
}

#[test]
fn a_change_from_files_to_self_managed_certificates_has_no_gap() {
    let (plane, _one) = alone();
    let folder = plane.folder("left").display().to_string();
    let installation = Installation::new(plane, "certificate.mode=secret", &["--shutdown-delay=0s"]);
    let namespace = Namespace::opted_in(plane, &[]);
    plane.bash(&as_the_readme_says(&folder)).unwrap();
    let files = ["cert-file=tls.crt", "key-file=tls.key"]
        .map(|file| format!("--{}", file.replace('=', &format!("={folder}/"))));
    let mut loaded = installation.start_with("loaded", &files);
    loaded.wait_until_ready();
    let wait_for_a_pod = |name: &str| {
        installation.balancer.cut();
        let pod = namespace.dry_run(&worker(name).to_string());
        assert!(pod["metadata"]["annotations"]["dynamo-cache.io/status"].is_string(), "{pod:#}");
    };
    wait_for("a pod to be created", || namespace.create(&worker("loaded").to_string()).map(drop));

    installation.helm(
        &["upgrade", "dynamo-cache", &format!("{ROOT}/manifests/chart"), "--reuse-values"],
        "certificate.mode=self-managed",
    );
    wait_for_a_pod("upgraded");
    let _own = installation.ready("own");
    for _ in 0..10 {
        wait_for_a_pod("either");
    }
    drop(loaded);
    wait_for_a_pod("own");
    assert!(installation.bundles()[0].contains(&installation.secret()[0]));
    plane.kubectl(&["delete", "secret", "dynamo-cache-tls", "--namespace=dynamo-cache"]).unwrap();
}

#[test]
fn a_certificate_of_a_new_ca_is_published_before_it_is_served() {
    let (plane, _one) = alone();
    let folder = plane.folder("published").display().to_string();
    let dev = format!("certs/dev --force --out '{folder}'");
    plane.bash(&dev).unwrap();
    let file = |option: &str, name: &str| format!("--{option}={folder}/{name}");
    let files = [file("cert-file", "tls.crt"), file("key-file", "tls.key"), file("ca-file", "ca.crt")];
    let more = ["--shutdown-delay=0s", "--propagation-delay=1s"];
    let arguments: Vec<_> = files.iter().map(String::as_str).chain(more).collect();
    let installation = Installation::new(plane, "certificate.mode=secret,certificate.publish=true", &arguments);
    let namespace = Namespace::opted_in(plane, &[]);
    let replica = installation.ready("one");
    wait_for("a pod to be created", || namespace.create(&worker("first").to_string()).map(drop));
    let first = installation.bundles();
    for name in ["second", "third"] {
        plane.bash(&dev).unwrap();
        let ca = fs::read_to_string(format!("{folder}/ca.crt")).unwrap();
        let before = replica.log().matches("serving a certificate").count();
        wait_for("the next leaf", || {
            // Before the change and after it: a review on a new connection gets through.
            installation.balancer.cut();
            let pod = namespace.dry_run(&worker(name).to_string());
            assert!(pod["metadata"]["annotations"]["dynamo-cache.io/status"].is_string(), "{pod:#}");
            let now = replica.log().matches("serving a certificate").count();
            if now == before + 1 { Ok(()) } else { Err(replica.log()) }
        });
        let bundles = installation.bundles();
        assert!(bundles[0].starts_with(&first[0]) && bundles[0].ends_with(&ca), "the old one stays: {bundles:?}");
    }
}
