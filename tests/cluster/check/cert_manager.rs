//! `dynamo-cache check` of an installation for cert-manager, and of a server that accepts calls and never answers.

use std::net::TcpListener;

use serde_json::{Value, json};

use super::{CACHES, states};
use crate::harness::control_plane::ControlPlane;
use crate::harness::control_plane::child_process::Program;
use crate::harness::control_plane::namespace::claim;
use crate::harness::control_plane::webhook::external_name;
use crate::harness::wait_for;

/// A loopback address on which nothing else listens.
const ADDRESS: &str = "127.0.0.9";

#[test]
fn check_names_what_an_installation_for_cert_manager_lacks_and_a_silent_server() {
    let plane = ControlPlane::start().unwrap();
    for (kind, plural) in [("Issuer", "issuers"), ("Certificate", "certificates")] {
        plane.define("cert-manager.io", "v1", kind, plural);
    }
    // It takes connections and says nothing, as a firewall that swallows what comes back.
    let silent = TcpListener::bind((ADDRESS, 0)).unwrap();
    let address = silent.local_addr().unwrap();
    let values = format!("--set=certificate.mode=cert-manager,service.port={}", address.port());
    let install = "helm install dynamo-cache manifests/chart --namespace dynamo-cache --create-namespace";
    plane.bash(&format!("{install} {values}")).unwrap();
    plane.kubectl(&["label", "namespace", "default", "dynamo-cache.io/inject=enabled"]).unwrap();
    let claims = CACHES.map(|name| claim(name).to_string()).join("\n---\n");
    plane.kubectl(&["create", "-n", "default", "-f", &plane.file(&claims)]).unwrap();
    let check = || states(&plane.dynamo_cache(&["check", "-n", "default", "-o", "json"]));
    let line = |lines: &Value, check: &str| {
        let line = lines.as_array().unwrap().iter().find(|line| line["check"] == check).unwrap();
        let text = |key: &str| line[key].as_str().unwrap_or_default().to_owned();
        (text("text"), text("hint"))
    };
    let expect = |unwell: &[(&str, &str)]| {
        let (states, lines) = check();
        for (check, state) in &states {
            let well = if check == "pods" { "warning" } else { "ok" };
            let expected = unwell.iter().find(|(unwell, _)| unwell == check).map_or(well, |(_, state)| state);
            assert_eq!(state, expected, "{check}: {lines:#}");
        }
        lines
    };

    let unreachable = [("service", "failed"), ("canary", "not-checked"), ("version", "not-checked")];
    let lines = expect(&[&unreachable, [("certificate", "failed")].as_slice()].concat());
    let (text, hint) = line(&lines, "certificate");
    assert_eq!(text, "configuration dynamo-cache has no caBundle");
    let command = "cert-manager issues it: kubectl describe certificate dynamo-cache -n dynamo-cache; ";
    assert!(hint.starts_with(command), "{hint}");

    // What cert-manager would do: the Secret that the Certificate names, and its CA in the caBundle.
    let certificate = plane.read(&["certificates.cert-manager.io", "dynamo-cache", "--namespace=dynamo-cache"]);
    assert_eq!(certificate["spec"]["secretName"], "dynamo-cache-tls");
    let folder = plane.folder("certs").display().to_string();
    let printed = plane.bash(&format!("certs/dev --out '{folder}'")).unwrap().out;
    let commands = printed.split_once("installed with certificate.mode=secret:").unwrap().1;
    let (secret, bundle) = commands.split_once("CA=$(").unwrap();
    plane.bash(&format!("CA=$({bundle}")).unwrap();
    let lines = expect(&[&unreachable, [("certificate", "failed")].as_slice()].concat());
    let (text, hint) = line(&lines, "certificate");
    assert_eq!(text, "Secret dynamo-cache/dynamo-cache-tls does not exist, and the server's pods wait for it");
    assert!(hint.starts_with(command), "{hint}");
    plane.bash(secret).unwrap();
    let lines = expect(&unreachable);
    let (text, _) = line(&lines, "certificate");
    assert!(text.starts_with("caBundle verifies the server's certificate"), "{text}");

    plane.kubectl(&["replace", "--force", "-f", &plane.file(&external_name(ADDRESS).to_string())]).unwrap();
    let (text, hint) = wait_for("the API server to wait in vain", || {
        let lines = check().1;
        let (text, hint) = line(&lines, "canary");
        if text.contains("deadline exceeded") { Ok((text, hint)) } else { Err(format!("{text}: {hint}")) }
    });
    assert!(text.starts_with("the API server says: ") && text.contains("canary.dynamo-cache.io"), "{text}");
    assert!(hint.contains("firewall") && hint.contains("overlay network"), "{hint}");
    let not_seen = [("service", "not-checked"), ("canary", "failed"), ("version", "not-checked")];
    expect(&not_seen);

    drop(silent);
    let kubeconfig = plane.kubeconfig_of("dynamo-cache", "dynamo-cache");
    let arguments = [
        "serve".to_owned(),
        "--service=dynamo-cache".to_owned(),
        "--namespace=dynamo-cache".to_owned(),
        format!("--kubeconfig={kubeconfig}"),
        format!("--cert-file={folder}/tls.crt"),
        format!("--key-file={folder}/tls.key"),
        format!("--listen={address}"),
        format!("--admin-listen={ADDRESS}:0"),
        "--shutdown-delay=0s".to_owned(),
    ];
    let _served = Program::keep(env!("CARGO_BIN_EXE_dynamo-cache"), &arguments, &plane.folder("serve.log")).unwrap();
    wait_for("the canary to come back", || {
        let (states, lines) = check();
        if states["canary"] == "ok" { Ok(()) } else { Err(format!("{lines:#}")) }
    });
    let lines = expect(&[("service", "not-checked")]);
    assert!(lines.to_string().contains("the API server called the webhook for a pod"), "{lines:#}");
    assert_eq!(json!(lines).as_array().map(Vec::len), Some(16));
}
